"""Clusters by several descriptions: which graphs are tried, and what each may change."""

import math
import warnings
from typing import Any

import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from mcevae.geometry.groups import get_group
from mcevae.images.arrays import NO_HINT, Hints
from mcevae.teaching.cluster import Grouping
from mcevae.teaching.described import (
    LESS,
    assortativity,
    closest,
    confirmed,
    described_graph,
    sorted_by_all,
    steadiest,
)
from mcevae.teaching.graph import Graph, Neighbours, candidates_of, describe, invariant_graph

KINDS = 4
HOW: dict[str, Any] = {"neighbours": 8, "reach": 0.2, "mirror": False, "restarts": 3}


def patterns(count: int = 240, noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
    """Noisy patterns on rings, features that tell their kinds apart, and the kinds."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.arange(count) % KINDS
    drawn = torch.rand(KINDS, 1, 24, 24, generator=generator)[kind]
    images = 0.5 + 0.06 * drawn + noise * torch.rand(count, 1, 24, 24, generator=generator)
    telling = torch.randn(KINDS, 12, generator=generator)[kind]
    telling = telling + 0.5 * torch.randn(count, 12, generator=generator)
    return describe([images], get_group("so2"), 0.5).rings, telling, kind


def right(graph: Graph, kind: Tensor) -> float:
    """Share of neighbours that are of the same kind."""
    return (kind[graph.index] == kind[:, None]).float().mean().item()


def test_features_join_the_graph_and_noise_does_little_harm() -> None:
    """Half of the neighbours are of one kind by pixels; features that know kinds mend it."""
    rings, telling, kind = patterns()
    noise = torch.randn(len(kind), 60, generator=torch.Generator().manual_seed(1))
    alone = right(invariant_graph(rings, 8, reach=0.2), kind)
    with_telling, found = sorted_by_all(rings, telling, KINDS, **HOW)
    with_noise, _ = sorted_by_all(rings, noise, KINDS, **HOW)
    assert right(with_telling, kind) > max(alone + 0.1, 0.9)
    assert right(with_noise, kind) > alone - 0.15
    for graph in (with_telling, with_noise):
        own = torch.arange(len(kind))[:, None]
        assert (graph.index != own).all() and (graph.distance.diff(dim=1) >= 0).all()
        assert all(len(set(row)) == 8 for row in graph.index.tolist())
    assert found.agreement > 0.9 and adjusted_rand_score(kind, found.labels) > 0.9


def test_features_find_kinds_with_one_restart_and_choose_how_many_there_are() -> None:
    rings, telling, kind = patterns()
    _, single = sorted_by_all(rings, telling, KINDS, **(HOW | {"restarts": 1}))
    _, chosen = sorted_by_all(rings, telling, None, **HOW)
    assert chosen.clusters == KINDS
    for found in (single, chosen):
        assert adjusted_rand_score(kind, found.labels) > 0.9


def test_hints_number_the_clusters_that_features_find() -> None:
    rings, telling, kind = patterns()
    of = torch.full((len(kind),), NO_HINT)
    of[:40] = KINDS - 1 - kind[:40]
    hints = Hints(names=tuple("abcd"), of=of, apart=())
    _, found = sorted_by_all(rings, telling, KINDS, hints=hints, **HOW)
    assert (found.labels == KINDS - 1 - kind).float().mean() > 0.9


def test_the_distance_that_was_asked_for_is_used_with_features_too() -> None:
    rings, telling, _ = patterns(60)
    alike = candidates_of(rings, 5, reach=0.2, mirror=False)
    near = closest(telling, alike.shape[1])
    tangent, euclidean = (
        described_graph(rings, alike, telling, near, 5, reach=0.2, mirror=False, by=by)
        for by in ("tangent", "euclidean")
    )
    assert (tangent.by, euclidean.by) == ("tangent", "euclidean")
    assert not torch.equal(tangent.distance, euclidean.distance)
    graph, _ = sorted_by_all(rings, telling, KINDS, by="euclidean", **HOW)
    assert graph.by == "euclidean"


def test_neighbours_share_clusters_more_than_by_chance_or_as_much() -> None:
    index = torch.arange(400).view(2, 200)[[0, 1]].repeat_interleave(200, 0)  # two halves
    graph = Neighbours(index=index, distance=torch.zeros(400, 200))
    halves = torch.arange(400) // 200
    assert assortativity(graph, halves) == pytest.approx(1)
    for share in (0.5, 0.1):  # whether they are of equal size or not
        chance = (torch.rand(400, generator=torch.Generator().manual_seed(0)) < share).long()
        assert abs(assortativity(graph, chance)) < 0.02
    assert assortativity(graph, torch.zeros(400).long()) == 0


def test_features_confirm_the_clusters_that_their_neighbours_share() -> None:
    _, telling, kind = patterns()
    mixed = torch.where(torch.arange(len(kind)) % 5 == 0, 0, kind)
    assert confirmed(telling, kind, mixed, 8)
    assert not confirmed(telling, mixed, kind, 8)
    assert not confirmed(telling, kind, KINDS - 1 - kind, 8)  # the same, with other numbers


@pytest.mark.parametrize(
    ("agreements", "kept", "tried"),
    [
        ((0.99, 1.0), 0, 1),  # nothing could be clearly better
        ((0.9, 0.95), 1, 2),
        ((0.9, 0.92), 0, 2),  # about as good
        ((0.9, 0.5), 0, 2),
        ((math.nan, 1.0), 0, 1),  # a single restart has nothing to agree with
    ],
)
def test_another_graph_is_taken_if_restarts_agree_clearly_better_on_it(
    agreements: tuple[float, float], kept: int, tried: int
) -> None:
    rings, _, _ = patterns(30)
    graphs = [invariant_graph(rings, count) for count in (3, 4)]
    made: list[int] = []

    def group(graph: Graph) -> Grouping:
        number = graph.index.shape[1] - 3
        made.append(number)
        warnings.warn(f"graph {number}", stacklevel=2)
        labels = torch.zeros(len(graph.index), dtype=torch.long)
        return Grouping(clusters=1, labels=labels, agreement=agreements[number], duplicates=[])

    with pytest.warns(UserWarning) as told:
        graph, _ = steadiest([lambda: graphs[0], lambda: graphs[1]], group)
    assert graph is graphs[kept] and len(made) == tried
    assert [str(one.message) for one in told] == [f"graph {kept}"]
    assert 0.02 < LESS < 0.05
