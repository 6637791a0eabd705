"""Features that are learned from images alone."""

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mcevae.base.errors import SettingError
from mcevae.geometry.groups import get_group
from mcevae.images.arrays import shrink, to_bytes, to_float
from mcevae.images.datasets import DATASETS
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.contract import Stopped
from mcevae.models.default import beginning, describing, selftraining
from mcevae.models.default.beginning import begin_with_graph, graph_start
from mcevae.models.default.canonical import TURNED, group_canonical, numbered_as
from mcevae.models.default.describing import from_moments, learn_features
from mcevae.runs.run import TrainedRun
from mcevae.teaching.cluster import Grouping
from mcevae.teaching.described import closest, standardised
from mcevae.teaching.learned import (
    COVERED,
    Network,
    contrastive_loss,
    learned_features,
    moves_within,
    view,
)
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.schedule import planned
from tests.sizes import changed, taught
from tests.training.test_loop import interrupt_at


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
    moves = moves_within(0.0, mirror=False)
    assert (view(torch.zeros(8, 3, 20, 24), moves).abs() < 0.05).all()
    seen = view(torch.ones(200, 1, 40, 40), moves)[:, :, 8:32, 8:32]
    covered = (seen == 0).float().mean((1, 2, 3))
    assert 0 < covered.mean() < COVERED**2
    assert seen.amax((1, 2, 3)).std() > 0.1  # in contrast


def test_views_turn_within_the_support_and_are_mirrored_only_if_allowed() -> None:
    for half_width, mirror in ((0.3, False), (math.pi, False), (0.3, True)):
        M = moves_within(half_width, mirror=mirror)(500)
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


@pytest.mark.parametrize(("count", "steps"), [(40, 100), (1000, 391), (9000, 2000)])
def test_few_images_take_fewer_steps(count: int, steps: int) -> None:
    asked: list[int] = []

    def stop(parts: range) -> range:
        asked.append(len(parts))
        raise Stopped

    with pytest.raises(Stopped):
        learned_features(torch.zeros(count, 1, 8, 8, dtype=torch.uint8), 0.0, 0.0, track=stop)
    assert asked == [steps]


def test_learning_can_be_stopped() -> None:
    def stop(steps: object) -> object:
        raise Stopped

    with pytest.raises(Stopped):
        learned_features(digits(20)[0], 0.0, 0.2, track=stop)  # pyright: ignore[reportArgumentType]


def test_features_have_a_gradient_to_every_weight() -> None:
    network, x = Network(1), to_float(digits(8)[0])
    contrastive_loss(network(x), network(x.flip(0))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def learning(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let all learn for two steps only; the list gets what each was asked for."""
    asked: list[dict[str, Any]] = []

    def learn(pixels: Tensor, background: float, half_width: float, **how: Any) -> Tensor:
        asked.append({"pixels": pixels, "half_width": half_width, "background": background} | how)
        return learned_features(pixels, background, half_width, steps=2, **how)

    monkeypatch.setattr(describing, "learned_features", learn)
    return asked


def test_they_are_learned_from_images_about_their_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, group = learning(monkeypatch), get_group("se2")
    pixels = torch.zeros(40, 1, 28, 28, dtype=torch.uint8)
    pixels[:, :, 2:8, 16:22] = 255
    config = planned(Config().changed(train={"seed": 4, "precision": "no"}), 40)
    middle = from_moments(config, pixels, group, iter)
    features = learn_features(config, pixels, group, math.pi / 2, iter, middle)
    assert features is not None and features.shape == (40, 64)
    (how,) = asked
    rows, columns = how["pixels"][0, 0].float().sum(1), how["pixels"][0, 0].float().sum(0)
    assert (rows @ torch.arange(28.0) / rows.sum()).item() == pytest.approx(13.5, abs=0.1)
    assert (columns @ torch.arange(28.0) / columns.sum()).item() == pytest.approx(13.5, abs=0.1)
    assert how["half_width"] == pytest.approx(math.pi / 2) and how["seed"] == 4
    assert not how["mirror"] and not how["bfloat16"]


def test_nothing_is_learned_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, group = learning(monkeypatch), get_group("se2")
    pixels = to_bytes(0.5 + 0.1 * torch.randn(200, 1, 28, 28))
    config = planned(Config().changed(data={"background": 0.5}), 200)
    assert learn_features(config, pixels, group, 1.0, iter, group.identity(200)) is None
    assert not asked


def test_a_training_learns_them_from_canonical_images_also_after_a_stop(
    small_data: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, used = learning(monkeypatch), []

    def spied(*given: Any) -> Any:
        used.append(given[5])
        return group_canonical(*given)

    monkeypatch.setattr(selftraining, "group_canonical", spied)
    config = taught(descriptions="learned")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3, signal.SIGINT)
        assert not fit(config, small_data, tmp_path / "run")
    assert not asked and not used  # poses are not known yet
    assert fit(config, small_data, tmp_path / "run", resume=True)
    assert fit(config, small_data, tmp_path / "whole")
    assert len(asked) == 2
    first, again, *others = used
    assert first is None  # the first clusters are of pixels; poses have no common frame yet
    assert again is not None and others[0] is None and torch.equal(again, others[1])
    assert all(how["half_width"] == TURNED for how in asked)
    as_they_lie = shrink(to_float(small_data.train.images.pixels))
    learned_from = to_float(asked[0]["pixels"])
    assert learned_from.std(0).mean() < as_they_lie.std(0).mean()  # they are moved back
    assert read_log(tmp_path / "run")[-1]["loss"] == read_log(tmp_path / "whole")[-1]["loss"]


@pytest.mark.parametrize(("agreement", "learns"), [(0.8, True), (0.99, False)])
def test_a_training_learns_them_by_itself_where_restarts_on_pixels_disagree(
    agreement: float,
    learns: bool,
    small_data: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = learning(monkeypatch)

    def found(*given: Any) -> Any:
        grouping, message = group_canonical(*given)
        return replace(grouping, agreement=agreement), message

    monkeypatch.setattr(selftraining, "group_canonical", found)
    assert fit(taught(descriptions="auto"), small_data, tmp_path / "run")
    assert len(asked) == learns


@pytest.mark.parametrize(
    ("agreement", "mixed", "learns"), [(0.8, False, True), (0.8, True, True), (0.99, False, False)]
)
def test_in_any_direction_they_are_kept_if_neighbours_share_clusters_as_often(
    agreement: float, mixed: bool, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With features, clusters are at random here if they are `mixed`."""
    asked, group = learning(monkeypatch), get_group("so2")

    def started(config: Any, rings: Any, *given: Any) -> Any:
        found, featured = graph_start(config, rings, *given), given[3] is not None
        labels = found.grouping.labels
        # Without features, clusters are a little worse than they could be.
        spoiled = labels.where(torch.arange(300) % 10 > 0, 0)
        labels = (labels.roll(1) if mixed else labels) if featured else spoiled
        new = replace(found.grouping, labels=labels, agreement=1.0 if featured else agreement)
        return replace(found, grouping=new)

    monkeypatch.setattr(beginning, "graph_start", started)
    config = planned(taught(descriptions="auto", group="so2", rotation=180), 300)
    given = digits(300)[0], group, (math.pi,), iter
    first = begin_with_graph(config, *given)
    assert len(asked) == learns and first.grouping is not None
    kept = learns and not mixed
    assert (first.grouping.agreement == 1) == ("and features" in first.message) == kept
    begin_with_graph(config, *given, learn=False)
    begin_with_graph(planned(taught(descriptions="auto", minutes=5.0), 300), *given)
    assert len(asked) == learns  # nobody asked, or there is no time


def test_given_features_stay_and_pixels_alone_learn_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, group = learning(monkeypatch), get_group("so2")
    given = digits(300)[0], group, (math.pi,), iter
    for descriptions, features in (("learned", torch.rand(300, 5)), ("pixels", None)):
        config = planned(taught(descriptions=descriptions, group="so2", rotation=180), 300)
        begin_with_graph(config, *given, features)
    assert not asked


def test_clusters_that_are_found_again_keep_their_numbers() -> None:
    known = torch.tensor([0, 0, 1, 1, 2, 2, -1])
    found = Grouping(
        clusters=3,
        labels=torch.tensor([2, 2, 0, 0, 1, 2, 1]),
        agreement=1.0,
        duplicates=[(0, 2)],
    )
    same = numbered_as(found, known)
    assert same.labels.tolist() == [0, 0, 1, 1, 2, 0, 2]
    assert same.duplicates == [(0, 1)]
    fewer = replace(found, clusters=2, labels=torch.tensor([1, 1, 0, 0, 0, 0, 1]), duplicates=[])
    assert numbered_as(fewer, known).labels.tolist() == [0, 0, 1, 1, 1, 1, 0]


def test_they_need_a_graph() -> None:
    with pytest.raises(SettingError, match="need the graph of preset default"):
        Config().changed(start={"descriptions": "learned", "grouping": "kmeans"})


def test_a_run_without_a_network_learns_them(
    small_data: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = learning(monkeypatch)
    changes = {"clusters": 4, "descriptions": "learned", "neighbours": 8, "restarts": 2}
    config = changed(
        PRESETS["quick"]().changed(data={"source": "mnist-mini", "limit": 400}), changes
    )
    assert fit(config, small_data, tmp_path / "run")
    assert TrainedRun.open(tmp_path / "run").settings.start.descriptions == "learned"
    assert len(asked) == 1
