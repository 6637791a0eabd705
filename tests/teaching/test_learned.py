"""Features that are learned from images alone."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mcevae.geometry.groups import get_group
from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.datasets import DATASETS
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.contract import Stopped
from mcevae.models.default import beginning
from mcevae.models.default.beginning import begin_with_graph
from mcevae.models.default.canonical import SLIGHT, group_canonical
from mcevae.runs.run import TrainedRun
from mcevae.teaching.described import closest, standardised
from mcevae.teaching.learned import (
    COVERED,
    Network,
    contrastive_loss,
    learned_features,
    moves_within,
    view,
)
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from tests.sizes import changed


def digits(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Some digits of mnist-mini, as bytes, and their labels."""
    images = DATASETS["mnist-mini"].loader().train
    assert images.labels is not None
    return images.pixels[:count], images.labels[:count]


def test_features_tell_kinds_apart_better_than_an_untaught_network_does() -> None:
    pixels, labels = digits(600)
    right = []
    for steps in (1, 150):
        features = learned_features(pixels, 0.0, 0.2, steps=steps)
        index, _ = closest(standardised(features), 5)
        right.append((labels[index] == labels[:, None]).float().mean().item())
    assert right[1] > right[0] + 0.05


def test_the_same_seed_gives_the_same_features_and_other_random_numbers_stay() -> None:
    pixels, _ = digits(60)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    one, again, other = (learned_features(pixels, 0.0, 0.2, steps=2, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(4), expected)
    assert torch.equal(one, again) and not torch.allclose(one, other)
    assert one.shape == (60, 64) and one.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
def test_large_colour_and_few_images_have_features(channels: int) -> None:
    pixels = to_bytes(torch.rand(3, channels, 50, 40))
    assert learned_features(pixels, 0.5, math.pi, mirror=True, steps=2).isfinite().all()


def test_views_keep_the_background_and_cover_a_part() -> None:
    torch.manual_seed(0)
    moves = moves_within(0.0, mirror=False, device=torch.device("cpu"))
    assert (view(torch.zeros(8, 3, 20, 24), moves).abs() < 0.05).all()
    seen = view(torch.ones(200, 1, 40, 40), moves)[:, :, 8:32, 8:32]
    covered = (seen == 0).float().mean((1, 2, 3))
    assert 0 < covered.mean() < COVERED**2
    assert seen.amax((1, 2, 3)).std() > 0.1  # in contrast


def test_views_turn_within_the_support_and_are_mirrored_only_if_allowed() -> None:
    device = torch.device("cpu")
    for half_width, mirror in ((0.3, False), (math.pi, False), (0.3, True)):
        M = moves_within(half_width, mirror=mirror, device=device)(500)
        flipped = torch.linalg.det(M[:, :2, :2]) < 0
        assert flipped.any() == mirror and not flipped.all()
        turn = torch.atan2(M[:, 1, 0] - M[:, 0, 1], M[:, 0, 0] + M[:, 1, 1])[~flipped]
        assert turn.abs().max() <= half_width + 1e-3
        assert turn.abs().max() > 0.9 * half_width


def test_the_loss_is_least_if_views_of_an_image_are_alike_and_others_are_not() -> None:
    codes = torch.eye(6)
    assert contrastive_loss(codes, codes) < contrastive_loss(codes, codes.roll(1, 0))
    same = torch.ones(6, 1)
    assert contrastive_loss(same, same).item() == pytest.approx(math.log(11), rel=1e-5)


def test_learning_can_be_stopped() -> None:
    def stop(steps: object) -> object:
        raise Stopped

    with pytest.raises(Stopped):
        learned_features(digits(20)[0], 0.0, 0.2, track=stop)  # pyright: ignore[reportArgumentType]


def test_features_have_a_gradient_to_every_weight() -> None:
    network, x = Network(1), to_float(digits(8)[0])
    contrastive_loss(network(x), network(x.flip(0))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("whole", [True, False], ids=["graph", "canonical"])
def test_they_join_the_graph_if_they_are_asked_for(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that know the labels give clusters that are the labels, whatever the pixels say."""
    pixels, group = to_bytes(torch.rand(90, 1, 20, 20)), get_group("se2")
    labels, asked = torch.arange(90) % 3, []

    def knowing(pixels: Tensor, background: float, half_width: float, **how: Any) -> Tensor:
        asked.append((pixels.shape, background, half_width, how["mirror"], how["seed"]))
        return 20 * torch.eye(3)[labels] + 0.1 * torch.rand(len(pixels), 3)

    monkeypatch.setattr(beginning, "learned_features", knowing)
    config = planned(
        Config().changed(
            model={"clusters": 3},
            start={"descriptions": "learned", "neighbours": 8},
            support={"rotation": 180.0},
            train={"seed": 4},
        ),
        90,
    )
    if whole:
        support = config.support.half_widths(group)
        found = begin_with_graph(config, pixels, group, support, iter).grouping
    else:
        found = group_canonical(config, to_float(pixels), group, iter)[0]
    assert found is not None
    assert asked == [((90, 1, 20, 20), 0.0, math.pi if whole else SLIGHT, False, 4)]
    pairs = torch.stack([found.labels, labels], 1).unique(dim=0)
    assert len(pairs) == 3


def test_given_features_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "learned_features", lambda *_, **__: pytest.fail("learned"))
    config, group = Config().changed(start={"descriptions": "learned"}), get_group("se2")
    given = planned(config, 60), to_bytes(torch.rand(60, 1, 20, 20)), group
    features = torch.rand(60, 4)
    begin_with_graph(*given, config.support.half_widths(group), iter, features)


def test_a_run_without_a_network_learns_them(
    small_data: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = partial(learned_features, steps=3)
    monkeypatch.setattr(beginning, "learned_features", learn)
    changes = {"clusters": 4, "descriptions": "learned", "neighbours": 8, "restarts": 2}
    config = changed(
        PRESETS["quick"]().changed(data={"source": "mnist-mini", "limit": 400}), changes
    )
    assert fit(config, small_data, tmp_path / "run")
    assert TrainedRun.open(tmp_path / "run").settings.start.descriptions == "learned"
