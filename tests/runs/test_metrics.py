"""Scores on made-up answers whose right score is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from mcevae.geometry.groups import MatrixGroup, get_group, mirrored, reflect
from mcevae.images.splits import Splits
from mcevae.models.default.model import DefaultModel
from mcevae.models.paper import PaperModel
from mcevae.models.registry import build
from mcevae.runs.infer import Embedding, embed
from mcevae.runs.metrics import (
    clustering,
    coverage,
    evaluate,
    invariance,
    matched_accuracy,
    repose,
    ward,
)
from mcevae.runs.pose_scores import circular, frame, frames, poses, shift_correlations
from mcevae.runs.scores import Score
from tests.sizes import taught, tiny

SUPPORT = (math.pi / 2, 0.25, 0.25)


def embedding(clusters: torch.Tensor, element: torch.Tensor | None = None, k: int = 3) -> Embedding:
    """An embedding that is sure of the given clusters."""
    n = len(clusters)
    one_hot = torch.nn.functional.one_hot(clusters, k).float()
    element = torch.eye(3).repeat(n, 1, 1) if element is None else element
    return Embedding(
        responsibilities=one_hot,
        z_c=one_hot * 5,
        z=torch.zeros(n, 2),
        tau=get_group("se2").log(element),
        element=element,
        canonical=one_hot[:, None, None, :].repeat(1, 1, 3, 1),
    )


def coded(*lumps: tuple[float, int]) -> Embedding:
    """An embedding of one cluster whose codes lie in lumps: where, and how many."""
    places = torch.cat([torch.full((count,), place) for place, count in lumps])
    empty = embedding(torch.zeros(len(places), dtype=torch.long), k=1)
    return dataclasses.replace(empty, z_c=places[:, None])


def test_ward_sorts_the_codes_themselves_and_by_clusters_of_held_out_codes() -> None:
    found, labels = coded((0.0, 30), (1.0, 30), (2.5, 1)), torch.tensor([0] * 60 + [1])
    held = coded((0.0, 15), (1.0, 15), (2.5, 30))
    scores = ward(found, labels, held, 2)
    assert scores["ward_accuracy"].value == pytest.approx(31 / 61)  # it splits the commonest kind
    assert scores["ward_held_accuracy"].value == 1 and scores["ward_held_nmi"].value == 1
    assert ward(found, None, held, 2) == ward(found, torch.full((61,), -1), held, 2) == {}
    assert ward(coded((0.0, 2)), labels[:2], coded((0.0, 2)), 2) == {}


def test_k_means_looks_for_as_many_clusters_as_it_is_told() -> None:
    """A code of 3 numbers may hold 6 groups; without a number it is the model's own K."""
    truth = torch.arange(6).repeat(20)
    code = torch.stack([truth % 2, truth // 2 % 2, truth // 4], 1).float()
    one = dataclasses.replace(embedding(torch.zeros(120, dtype=torch.long)), z_c=code)
    assert clustering(one, truth, clusters=6)["kmeans_accuracy"].value == 1
    assert clustering(one, truth)["kmeans_accuracy"].value == 0.5


def test_accuracy_is_that_of_the_best_matching() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert matched_accuracy(np.array([2, 2, 0, 0, 1, 1]), labels) == 1
    assert matched_accuracy(np.array([0, 0, 0, 0, 0, 1]), labels) == 0.5
    assert (
        matched_accuracy(np.array([0, 1, 2, 3, 4, 5]), labels) == 0.5
    )  # more clusters than labels


def test_clustering_scores_of_perfect_and_of_collapsed_clusters() -> None:
    labels = torch.arange(3).repeat(20)
    perfect = clustering(embedding((labels + 1) % 3), labels)
    for name in ("accuracy", "nmi", "ari", "kmeans_accuracy", "kmeans_nmi"):
        assert perfect[name].value == pytest.approx(1)
    assert perfect["effective_clusters"].value == pytest.approx(3)
    collapsed = clustering(embedding(torch.zeros(60, dtype=torch.long)), labels=None)
    assert collapsed["effective_clusters"].value == pytest.approx(1)
    assert collapsed["empty_clusters"].value == 2
    assert [collapsed[f"occupancy_{k}"].value for k in range(3)] == [1, 0, 0]
    assert "accuracy" not in collapsed


@pytest.mark.parametrize("name", ["so2", "se2", "sim2"])
def test_frame_is_a_robust_mean(name: str) -> None:
    group = get_group(name)
    center = group.from_parameters(torch.tensor([2.9, 0.1, -0.2, 0.3])[: group.dim])
    generator = torch.Generator().manual_seed(0)
    near = group.sample(200, (0.1, 0.02, 0.02, 0.05)[: group.dim], generator=generator)
    anywhere = group.sample(40, (3.0, 0.2, 0.2, 0.3)[: group.dim], generator=generator)
    found = frame(group.compose(center, torch.cat([near, anywhere])), group)
    error = group.distance(found, center)
    assert error["rotation_deg"].item() < 2
    assert all(value.item() < 0.02 for key, value in error.items() if key != "rotation_deg")


def aligned(
    found: Embedding,
    truth: torch.Tensor,
    held: Embedding,
    held_truth: torch.Tensor,
    group: MatrixGroup,
) -> dict[str, Score]:
    return poses(found, truth, frames(held, held_truth, group), group, 28)


def test_poses_are_right_up_to_each_clusters_own_frame(model: PaperModel) -> None:
    """Aligned error is zero for a model that is right but for its frames; raw error is not."""
    group = model.group
    generator = torch.Generator().manual_seed(0)
    own = group.from_parameters(torch.tensor([[3, 0.1, 0.2], [-1, 0, 0.1], [1, -0.2, 0]]))
    clusters = torch.arange(3).repeat(30)
    answers = []
    for _ in range(2):
        truth = group.sample(90, SUPPORT, generator=generator)
        found = group.compose(truth, group.inverse(own[clusters]))
        answers += [embedding(clusters, found), truth]
    scores = aligned(*answers, group)
    assert scores["rotation_error_median"].value < 0.1
    assert scores["shift_error_mean"].value < 0.05
    assert scores["raw_rotation_error_median"].value > 5
    assert scores["rotation_correlation"].value > 0.999
    assert scores["rotation_spread"].value < 0.1
    assert scores["rotation_error_median"].n == 90
    for axis in "xy":
        assert scores[f"shift_{axis}_correlation"].value > 0.999


def test_frames_may_be_mirrored_and_wrong_signs_are_counted_apart() -> None:
    """A third of the signs is wrong in one cluster; all else is right but for the frames."""
    group = get_group("se2", mirror=True)
    generator = torch.Generator().manual_seed(0)
    own = group.from_parameters(torch.tensor([[3, 0.1, 0.2], [-1, 0, 0.1], [1, -0.2, 0]]))
    own = reflect(own, torch.tensor([True, False, True]))
    clusters = torch.arange(3).repeat(30)
    wrong = torch.arange(90) % 9 == 0  # all of them in cluster 0, of 30 images
    answers = []
    for _ in range(2):
        truth = group.sample(90, SUPPORT, generator=generator)
        found = group.compose(truth, group.inverse(own[clusters]))
        answers += [embedding(clusters, reflect(found, wrong)), truth]
    frames_found = frames(*answers[2:], group)
    assert mirrored(frames_found).tolist() == [True, False, True]
    scores = aligned(*answers, group)
    assert scores["mirror_right"].value == pytest.approx(8 / 9)
    assert scores["mirror_right"].n == 90
    assert scores["rotation_error_mean"].value < 0.1 and scores["rotation_error_mean"].n == 80
    assert scores["shift_error_mean"].value < 0.05
    assert scores["rotation_spread"].value < 0.1
    assert not any("mirrored" in name for name in scores)


def test_no_sign_that_is_right_leaves_no_error_to_report() -> None:
    group = get_group("so2", mirror=True)
    truth = group.from_parameters(torch.rand(8, 1))
    found = embedding(torch.zeros(8).long(), reflect(truth, torch.ones(8, dtype=torch.bool)))
    scores = poses(found, truth, group.identity(3), group, 28)
    assert scores["mirror_right"].value == 0 and "rotation_error_mean" not in scores


def test_frames_are_not_estimated_on_the_images_that_are_scored(model: PaperModel) -> None:
    """Poses that have nothing to do with the truth stay wrong, however many clusters there are."""
    group = model.group
    generator = torch.Generator().manual_seed(0)
    clusters = torch.arange(60) % 20
    answers = []
    for _ in range(2):
        answers.append(embedding(clusters, group.sample(60, SUPPORT, generator=generator), 20))
        answers.append(group.sample(60, SUPPORT, generator=generator))
    assert aligned(*answers, group)["rotation_error_median"].value > 25


def test_a_cluster_with_few_images_takes_the_common_frame(model: PaperModel) -> None:
    group = model.group
    common = group.from_parameters(torch.tensor([0.4, 0.1, 0.0]))
    clusters = torch.tensor([0] * 20 + [1])
    truth = common.repeat(21, 1, 1)
    found = frames(embedding(clusters), truth, group)
    assert found[1].allclose(common, atol=1e-4)
    assert found[2].allclose(common, atol=1e-4)


def test_circular_statistics_do_not_see_the_seam() -> None:
    truth = torch.linspace(-3, 3, 50)
    wrapped = torch.atan2(torch.sin(truth + 3), torch.cos(truth + 3))
    scores = circular(wrapped, truth)
    assert scores["rotation_correlation"].value == pytest.approx(1, abs=1e-4)
    assert scores["rotation_spread"].value == pytest.approx(0, abs=0.1)
    shuffled = truth[torch.randperm(50, generator=torch.Generator().manual_seed(0))]
    assert abs(circular(shuffled, truth)["rotation_correlation"].value) < 0.5


def test_shifts_are_correlated_along_each_axis() -> None:
    """Pearson's: neither a common shift nor another scale counts, and half noise leaves 0.71."""
    group = get_group("se2")
    generator = torch.Generator().manual_seed(0)
    truth = group.sample(4000, SUPPORT, generator=generator)
    found = truth.clone()
    found[:, 0, 2] = 0.5 * truth[:, 0, 2] + 0.3
    noise = truth[:, 1, 2][torch.randperm(4000, generator=generator)]
    found[:, 1, 2] = noise - truth[:, 1, 2]
    scores = shift_correlations(found, truth, group)
    assert scores["shift_x_correlation"].value == pytest.approx(1, abs=1e-4)
    assert scores["shift_y_correlation"].value == pytest.approx(-(0.5**0.5), abs=0.05)
    assert scores["shift_x_correlation"].n == 4000
    still = group.from_parameters(torch.zeros(4000, 3))
    assert scores.keys() == shift_correlations(still, truth, group).keys()
    assert all(one.value == 0 for one in shift_correlations(still, truth, group).values())
    assert shift_correlations(truth, truth, get_group("so2")) == {}


def test_half_turns_count_for_the_rotation_but_not_for_the_axis() -> None:
    truth = torch.linspace(-1.5, 1.5, 50)
    turned = truth + torch.pi * (torch.arange(50) % 2)
    scores = circular(turned, truth)
    assert scores["rotation_spread"].value > 90
    assert scores["rotation_axis"].value == pytest.approx(1, abs=1e-4)
    assert circular(torch.zeros(50), truth)["rotation_axis"].value < 0.1


def test_invariance_of_a_model_that_is_and_of_one_that_is_not() -> None:
    clusters = torch.arange(60) % 3
    same = invariance(embedding(clusters), embedding(clusters))
    assert same["same_cluster"].value == 1
    assert same["same_cluster_chance"].value == pytest.approx(1 / 3)
    one = torch.zeros(60, dtype=torch.long)
    assert "same_cluster" not in invariance(embedding(one, k=1), embedding(one, k=1))
    assert same["canonical_change"].value == 0
    other = invariance(embedding(clusters), embedding((clusters + 1) % 3))
    assert other["same_cluster"].value == 0
    assert other["canonical_change"].value == pytest.approx(1.5, rel=0.2)  # 1 / P(different)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_repose_gives_the_same_images_another_pose(small_data: Splits, split: str) -> None:
    posed = getattr(small_data, split)
    moved = repose(posed, tiny())
    assert moved.upright.equal(posed.upright)
    assert get_group("se2").distance(moved.elements, posed.elements)["rotation_deg"].min() > 1e-4
    unknown = dataclasses.replace(posed, upright=None, elements=None)
    assert not repose(unknown, tiny()).images.pixels.equal(unknown.images.pixels)


def test_repose_follows_the_group_of_the_data(small_data: Splits) -> None:
    moved = repose(small_data.test, tiny(group="so2", pose="se2"))
    assert moved.elements[:, :2, 2].abs().max() > 0.1


def test_evaluate_leaves_out_what_cannot_be_known(model: PaperModel, small_data: Splits) -> None:
    full = evaluate(model, tiny(), small_data)
    assert {"accuracy", "bce", "mse", "rotation_error_median", "same_cluster"} <= set(full)
    assert all(math.isfinite(score.value) and score.n == 100 for score in full.values())
    images = dataclasses.replace(small_data.test.images, labels=None)
    bare = dataclasses.replace(small_data.test, images=images, upright=None, elements=None)
    scores = evaluate(model, tiny(), dataclasses.replace(small_data, test=bare))
    assert not {"accuracy", "rotation_error_median"} & set(scores)
    assert {"bce", "same_cluster", "effective_clusters"} <= set(scores)


def test_embedding_does_not_depend_on_the_batch_size(model: PaperModel, small_data: Splits) -> None:
    pixels = small_data.test.images.pixels
    whole = embed(model, pixels).z_c
    model.at_once = 7
    assert embed(model, pixels).z_c.allclose(whole, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_coverage_is_that_of_the_posterior(mirror: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truths drawn from the posterior itself are covered as often as it says."""
    hypotheses = build(taught(rotations=72, mirror=mirror), (1, 28, 28)).eval()
    assert isinstance(hypotheses, DefaultModel)
    group, n = hypotheses.group, 600
    torch.manual_seed(0)
    p = torch.softmax(3 * torch.randn(n, 1, len(hypotheses.angles)), -1)
    joint = torch.cat([p, torch.zeros(n, 2, len(hypotheses.angles))], 1)
    drawn = torch.multinomial(p[:, 0], 1)[:, 0]
    own = group.from_parameters(torch.tensor([[0.4, 0.0, 0.0]])).repeat(3, 1, 1)
    own = reflect(own, torch.tensor([mirror, False, False]))
    elements = hypotheses.element(
        hypotheses.angles[drawn], torch.zeros(n, 2), hypotheses.mirrored[drawn]
    )
    truth = group.compose(elements, own[:1])
    parts = iter(joint.split(500))

    def infer(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return next(parts), torch.zeros(len(x), 2)

    monkeypatch.setattr(hypotheses, "infer", infer)
    pixels = torch.zeros(n, 1, 28, 28, dtype=torch.uint8)
    scores = coverage(hypotheses, pixels, truth, own)
    assert 0.45 < scores["rotation_coverage_50"].value < 0.55
    assert 0.87 < scores["rotation_coverage_90"].value < 0.99
