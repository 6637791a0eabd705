"""Mixed precision: every preset learns in it, and poses and their maths stay in float32."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.amp import GradScaler

from mcevae.base.errors import UserError
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import spec_of
from mcevae.runs.checkpoint import load, run_file
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import as_recorded, planned
from mcevae.training.trainer import Trainer
from tests.sizes import taught, tiny
from tests.training.ranks_worker import few, small, steady

HALF = [torch.bfloat16, torch.float16]
TRAINED = [name for name, make in PRESETS.items() if spec_of(make().model.kind).trained]


def reconstruction(run: Path) -> list[float]:
    return [row["reconstruction"] for row in read_log(run) if row["split"] == "validation"]


@pytest.mark.parametrize(
    ("config", "images"),
    [(tiny(), 400), (taught(grouping="kmeans", subset=150), 200)],
    ids=["paper", "default"],
)
def test_bf16_learns_what_float32_does(
    small_data: Splits, tmp_path: Path, config: Config, images: int
) -> None:
    """The same seeds, so that rounding to 8 bits is all that differs; seeds differ by as much."""
    data = replace(small_data, train=small_data.train.subset(slice(images)))
    for precision in ("no", "bf16"):
        assert fit(config.changed(train={"precision": precision}), data, tmp_path / precision)
    assert reconstruction(tmp_path / "bf16") == pytest.approx(
        reconstruction(tmp_path / "no"), rel=0.06
    )
    weights, _ = load(run_file(tmp_path / "bf16", "best"))
    assert {v.dtype for v in weights.values() if v.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize(("known", "precision"), [(True, "bf16"), (False, "no")])
def test_auto_takes_what_is_fastest_and_a_run_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for faster in (known, not known):  # the second time on another machine
        told = {"avx512_bf16": faster}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda told=told: told, raising=False)
        if faster == known:
            chosen = planned(Config(), 1000)
            (tmp_path / "settings.toml").write_text(chosen.to_toml())
    assert chosen.train.precision == precision
    assert as_recorded(Config(), tmp_path).train.precision == precision
    assert PRESETS["paper"]().train.precision == "no"


def test_fp16_on_a_cpu_is_refused_in_words(small_data: Splits, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="use precision bf16 or no"):
        fit(tiny(precision="fp16"), small_data, tmp_path / "run")


@pytest.mark.parametrize("dtype", HALF, ids=["bf16", "fp16"])
@pytest.mark.parametrize("preset", TRAINED)
def test_every_preset_steps_in_half_precision(tmp_path: Path, preset: str, dtype: torch.dtype):
    """As on CUDA: autocast and, for float16, a loss whose scale is halved until gradients are
    finite. They point where those of float32 do, and the weights move.
    """
    trainer = Trainer(small(preset, 20), few(), tmp_path)
    trainer.teach()
    batch, optimizer = next(iter(trainer.loader)), trainer.optimizer.optimizer
    scaler = GradScaler("cpu", enabled=dtype == torch.float16)
    noise = torch.get_rng_state()

    def gradient(half: bool) -> dict[str, torch.Tensor]:
        optimizer.zero_grad()
        torch.set_rng_state(noise)
        with torch.autocast("cpu", dtype, enabled=half):
            loss = trainer.terms(batch).loss
        (scaler.scale(loss) if half else loss).backward()
        if half:
            scaler.unscale_(optimizer)
        named = trainer.inner.named_parameters()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}

    plain, before = gradient(False), flat(trainer)
    for _ in range(20):
        found = gradient(True)
        scaler.step(optimizer)
        scaler.update()
        if all(each.isfinite().all() for each in found.values()):
            break
    own, half = (
        torch.cat([each.flatten() for name, each in some.items() if steady(preset, name)])
        for some in (plain, found)
    )
    assert torch.cosine_similarity(own, half, dim=0) > 0.9
    assert flat(trainer).isfinite().all() and not flat(trainer).equal(before)


def flat(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.inner.parameters()])


@pytest.mark.parametrize("dtype", HALF, ids=["bf16", "fp16"])
@pytest.mark.parametrize("preset", TRAINED)
def test_poses_stay_in_float32(tmp_path: Path, preset: str, dtype: torch.dtype) -> None:
    trainer = Trainer(small(preset, 50), few(), tmp_path)
    x = few().train.images.pixels[:20].float() / 255
    with torch.autocast("cpu", dtype), torch.no_grad():
        out = trainer.inner.eval()(x, sample=False)
    group = trainer.inner.group
    for tensor in (out.tau, out.element, out.reconstruction):
        assert tensor.dtype == torch.float32
    assert torch.allclose(group.exp(out.tau), out.element, atol=1e-5)
