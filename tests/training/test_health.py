"""Training that goes wrong says so: each fault is made for real, and a healthy run says nothing."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from mcevae.geometry.groups import get_group
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.nets import Extractor, GatedDense, HypothesisNet
from mcevae.models.registry import build, spec_of
from mcevae.pages.gallery import findings as report_findings
from mcevae.pages.gallery import hang
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.training.health import (
    at_border,
    begun,
    dead,
    examine,
    findings,
    stuck_at_last,
    stuck_units,
)
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.state import save
from mcevae.training.trainer import Trainer
from tests.sizes import taught, tiny


def said(config: Config, data: Splits, run: Path, **how: Any) -> str:
    """What a training prints."""
    text = io.StringIO()
    assert fit(config, data, run, console=Console(file=text, width=200), **how)
    return text.getvalue()


def test_clusters_that_nothing_is_in_are_named_once(tmp_path: Path, small_data: Splits) -> None:
    """The model as published puts posed digits into one of five clusters when it begins."""
    config = tiny(epochs=4, clusters=5)
    text = said(config, small_data, tmp_path / "run")
    assert text.count("of 5 clusters have almost no images: ask for fewer (--clusters)") == 1
    signs = [row["signs"] for row in read_log(tmp_path / "run") if "signs" in row]
    assert len(signs) == 4 and all(one["clusters"] == 5 and one["dead"] > 0 for one in signs)


def test_a_resumed_run_does_not_say_it_again(tmp_path: Path, small_data: Splits) -> None:
    first = said(tiny(epochs=2, clusters=5), small_data, tmp_path / "run")
    again = said(tiny(epochs=4, clusters=5), small_data, tmp_path / "run", resume=True)
    assert "almost no images" in first and "almost no images" not in again


def test_a_support_that_is_too_small_is_named(tmp_path: Path, small_data: Splits) -> None:
    """Digits moved by a quarter of the side, and told that it is at most a fiftieth."""
    config = taught(shift=0.02, rotation=180)
    text = said(config, small_data, tmp_path / "run")
    assert (
        text.count("at the border of the support of shift x: widen it with a larger --shift") == 1
    )
    assert "support of rotation" not in text  # the whole circle has no border
    run = TrainedRun.open(tmp_path / "run")
    run.calibrate(small_data)
    gallery = replace(hang(run, small_data), trust=None)
    assert any("larger --shift" in one["text"] for one in report_findings(gallery, [FULL]))


FULL = {"name": "a", "size": 100, "sure": 1.0}


@pytest.mark.parametrize("part", ["extract_cluster", "decoder"])
def test_saturated_units_are_named(tmp_path: Path, small_data: Splits, part: str) -> None:
    """Weights as a step that was much too large leaves them."""
    trainer = Trainer(tiny(clusters=1, epochs=3), small_data, tmp_path / "run")
    assert f"stuck_{part}" not in findings(trainer.examine())
    layers = [m for m in trainer.inner.get_submodule(part).modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        layers[0].bias.fill_(300.0)
    save(trainer)
    text = said(tiny(clusters=1, epochs=3), small_data, tmp_path / "run", resume=True)
    assert text.count(f"of a layer of {part} are saturated for nearly all images") == 1
    assert "a third of the --lr" in text


def test_a_healthy_run_says_nothing(tmp_path: Path) -> None:
    """The default preset on three digits of mnist-mini with the sizes of the tests."""
    config = taught(limit=2500, epochs=8, redraws=1, batch_size=25, subset=1000)
    data = prepare_for(config)
    wanted = {
        part: torch.isin(getattr(data, part).images.labels, torch.tensor([0, 1, 4])).nonzero()[:, 0]
        for part in ("train", "validation")
    }
    data = replace(data, **{part: getattr(data, part).subset(wanted[part]) for part in wanted})
    text = said(config, data, tmp_path / "run")
    signs = [row["signs"] for row in read_log(tmp_path / "run") if "signs" in row]
    assert begun([{"signs": one, "epoch": n} for n, one in enumerate(signs)], len(signs)) == []
    assert signs[-1]["clusters"] == 3 and "border_rotation" in signs[-1]
    for word in ("almost no images", "border of the support", "saturated"):
        assert word not in text


NEVER_STUCK = {"target-vae"}
"""All of its units are leaky."""


TRAINED = {name for name, make in PRESETS.items() if spec_of(make().model.kind).trained}


@pytest.mark.parametrize("preset", sorted(TRAINED - {"affine-vae"}))
def test_every_model_is_examined_without_a_trace(preset: str, small_data: Splits) -> None:
    """It draws no random numbers, and leaves no hook and no gradient behind."""
    config = PRESETS[preset]()
    torch.manual_seed(0)
    model = build(config, (1, 28, 28)).eval()
    pixels = small_data.validation.images.pixels[:40]
    before = torch.get_rng_state()
    signs = examine(model, pixels, config.support.half_widths(model.group))
    assert torch.get_rng_state().equal(before)
    assert not any(module._forward_hooks for module in model.modules())
    assert signs == examine(model, pixels, config.support.half_widths(model.group))
    assert all(0 <= share <= 1 for name, share in signs.items() if "_" in name)
    assert any(name.startswith("stuck_") for name in signs) or preset in NEVER_STUCK


def test_models_that_search_for_each_pose_are_not_examined(
    tmp_path: Path, small_data: Splits
) -> None:
    """It would take longer than the epoch."""
    assert Trainer(PRESETS["affine-vae"](), small_data, tmp_path).examine() == {}


def test_border_and_dead_clusters_are_counted() -> None:
    pose = torch.zeros(100, 3)
    pose[:20] = torch.tensor([0.96, 0.3, 0.0])
    pose[20:40, 0], pose[40:, 0] = -2.0, 0.5
    shares = at_border(pose, torch.zeros(100).long(), get_group("se2"), (1.0, 0.14, 0.0))
    # The middle is halfway between the ends: -0.52 for the rotation, 0.15 for the shift.
    assert shares == {"border_rotation": pytest.approx(1.0), "border_shift_x": pytest.approx(1.0)}
    even = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = at_border(even[:, None], torch.zeros(100_000).long(), get_group("so2"), (1.0,))
    assert found["border_rotation"] == pytest.approx(0.05, abs=0.005) and not findings(found)
    assert dead(torch.tensor([0] * 970 + [1] * 27 + [2] * 3), 4) == 2  # 3 of 250, and none


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("sizes", [[400], [40] * 10, [200, 100, 50, 25, 12, 6]], ids=str)
def test_a_support_is_too_small_if_a_cluster_spreads_wider_and_not_if_its_frame_is_off(
    spread: float, sizes: list[int]
) -> None:
    """Frames lie up to two half-widths off, and poses spread this many half-widths to each side."""
    draw = torch.Generator().manual_seed(0)
    cluster = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    frame = torch.rand(len(sizes), 3, generator=draw) * 4 - 2
    width = torch.tensor([0.5, 0.1, 0.2])
    apart = (torch.rand(len(cluster), 3, generator=draw) * 2 - 1) * spread
    pose = (frame[cluster] + apart) * width
    found = findings(at_border(pose, cluster, get_group("se2"), width.tolist()))
    assert len(found) == (3 if spread == 2.0 else 0)
    clipped = torch.minimum(torch.maximum(apart * width, -width), width)  # poses that pile up there
    found = findings(at_border(clipped, cluster, get_group("se2"), width.tolist()))
    assert len(found) == (3 if spread == 2.0 else 0)


def test_a_warm_up_has_no_signs(tmp_path: Path, small_data: Splits) -> None:
    """Although its poses lie beyond the support, and half of its units are stuck at zero."""
    text = said(taught(shift=0.02, epochs=6, warmup=0.5), small_data, tmp_path / "run")
    rows = [row for row in read_log(tmp_path / "run") if "signs" in row]
    assert [bool(row["signs"]) for row in rows] == [False] * 3 + [True] * 3
    assert "epoch   5" in text[: text.index("at the border")].splitlines()[-1]  # of three quarters


@pytest.mark.parametrize("sign", ["stuck_net", "border_shift_x"])
def test_signs_that_pass_are_not_named_and_those_that_stay_are(sign: str) -> None:
    def heard(bad: range) -> list[int]:
        rows, said = [], []
        for epoch in range(20):
            rows.append({"epoch": epoch, "signs": {sign: 0.6 * (epoch in bad)}})
            said += [epoch] * len(begun(rows, 20))
        return said

    assert heard(range(14)) == heard(range(3, 14)) == []
    assert heard(range(20)) == heard(range(10, 20)) == [14]
    assert heard(range(16, 20)) == [17]


def test_a_report_tells_of_units_that_are_stuck_at_the_end() -> None:
    rows = [
        {"split": "validation", "signs": {"stuck_net": 0.9, "border_rotation": 0.4}},
        {"split": "validation", "signs": {"stuck_net": 0.1, "border_rotation": 0.4}},
        {"split": "train"},
    ]
    assert stuck_at_last(rows) == {"stuck_net": 0.1} and stuck_at_last(rows[2:]) == {}


@pytest.mark.parametrize(
    "layer",
    [nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Sequential(nn.Linear(3, 4), nn.Tanh())],
    ids=["relu", "tanh"],
)
def test_units_that_never_move_are_counted(layer: nn.Sequential) -> None:
    model = nn.ModuleDict({"net": layer})
    first = layer[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.bias.copy_(torch.tensor([0.0, 0.0, -100.0, -100.0]))
    with stuck_units(model) as signs:
        for _ in range(2):
            layer(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))
    assert signs == {"stuck_net": 0.5}


def test_gates_and_sigmoids_are_watched_and_pixels_are_not() -> None:
    gated = GatedDense(3, 4)
    extractor = Extractor(3, 4, 2)
    with torch.no_grad():
        gated.both.bias[4:] = -100  # the gates' half
        extractor[2].bias.fill_(100)
    pixels = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid())
    model = nn.ModuleDict({"a": gated, "b": extractor, "c": pixels})
    with stuck_units(model) as signs:
        for module in model.values():
            module(100 * torch.ones(5, 3))
    assert signs == {"stuck_a": 1.0, "stuck_b": 1.0}


def test_channels_of_images_are_units() -> None:
    torch.manual_seed(3)  # with some others, a unit more is stuck by chance
    net = HypothesisNet((1, 16, 16), 2, 8, 2).eval()
    norm = net.features[1]
    with torch.no_grad():
        norm.weight[:12], norm.bias[:12] = 0, -1  # half of the channels
    with stuck_units(nn.ModuleDict({"net": net})) as signs:
        net(torch.rand(4, 2, 16, 16))
    assert signs["stuck_net"] == 0.5


def test_what_comes_once_may_be_chance_and_what_was_said_is_not_said_again() -> None:
    bad, good = {"border_rotation": 0.5}, {"border_rotation": 0.1}
    rows = [{"split": "train"}]
    heard = []
    for epoch, signs in enumerate((bad, good, bad, bad, bad, good, bad, bad), start=92):
        rows.append({"split": "validation", "epoch": epoch, "signs": signs})
        heard.append(len(begun(rows, 100)))
    assert heard == [0, 0, 0, 1, 0, 0, 0, 0]
