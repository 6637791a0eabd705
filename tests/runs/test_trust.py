"""Cues about clusters, and the trust that follows from them."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.neighbors import NearestNeighbors

from mcevae.runs.confidence import LEVELS, Calibration
from mcevae.runs.scores import effective_number
from mcevae.runs.trust.advice import advice, in_words
from mcevae.runs.trust.backgrounds import by_background, by_border
from mcevae.runs.trust.cues import Cues, by_averages
from mcevae.runs.trust.enough import enough_of
from mcevae.runs.trust.links import halved, links
from mcevae.runs.trust.trust import LIMIT, Trust, shift_to, word
from mcevae.runs.trust.weights import NAMES, SLOPES, factor, weights
from mcevae.teaching.communities import communities
from mcevae.teaching.graph import Graph
from mcevae.teaching.rings import Turn

GOOD = {
    "neighbours": 0.98,
    "stable": 0.97,
    "halves": 1.0,
    "nearest": 0.02,
    "again": 0.99,
    "sure": 0.98,
    "average": 0.98,
    "explained": 0.8,
    "enough": 0.98,
    "needed": 0.98,
    "noise": 0.02,
    "border": 0.02,
    "beyond": 0.0,
    "mirror": 0.0,
}
"""Cues of a cluster that is right."""


def blobs(sizes: list[int], between: float, seed: int = 0) -> sp.csr_matrix:
    """A graph of blobs; an image has about 12 neighbours in its blob, few in others."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(sizes)), sizes)
    same = kind[:, None] == kind
    chance = np.where(same, 12 / np.array(sizes)[kind][:, None], between / len(kind))
    upper = np.triu(rng.uniform(size=same.shape) < chance, k=1)
    return sp.csr_matrix((upper | upper.T).astype(float))


def trusted(cues: list[dict[str, float]], other: int = -1, **values: float) -> Trust:
    """Trust of clusters with these cues, as the package's weights estimate it."""
    table = {name: tuple(one[name] for one in cues) for name in NAMES}
    k = len(cues)
    each = [values.get("each", 0.95)] * k
    return Trust(
        clusters=tuple(each),
        pure=tuple(each),
        sizes=(100,) * k,
        shifts=(0.0,) * k,
        other=(other,) * k,
        cues=table,
    )


def test_clusters_that_are_kinds_are_found_again_and_connect_with_nothing() -> None:
    edges = blobs([80, 60, 100], between=1)
    labels = np.repeat([0, 1, 2], [80, 60, 100])
    found = links(edges, labels, 3)
    assert (found.neighbours > 0.9).all() and (found.stable > 0.9).all()
    assert (found.nearest < 0.15).all() and (found.halves > 0.3).all()


def test_halves_of_one_kind_are_connected_as_chance_would_have_it() -> None:
    edges = blobs([160, 100], between=1)
    labels = np.r_[np.arange(160) % 2, np.full(100, 2)]
    found = links(edges, labels, 3)
    assert (found.nearest[:2] > 0.8).all() and found.nearest[2] < 0.2
    assert found.other[:2].tolist() == [1, 0]
    assert (found.neighbours[:2] < 0.7).all()


def test_a_cluster_of_two_kinds_falls_apart() -> None:
    edges = blobs([80, 80, 80], between=0.5)
    assert halved(edges, np.arange(160)) < 0.06
    assert halved(edges, np.arange(80)) > 0.2
    assert halved(edges, np.arange(5)) == 1


def test_the_border_predicts_clusters_only_if_it_decides_them() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    images = torch.zeros(300, 1, 16, 16)
    images[:, :, 6:10, 6:10] = torch.from_numpy(labels).float()[:, None, None, None] / 3
    images += 0.05 * torch.from_numpy(rng.normal(size=images.shape)).float()
    alike = sp.csr_matrix((labels[:, None] == labels).astype(float))
    assert by_border(images, labels) < 0.15
    assert by_background(images[:, :, 4:12, 4:12], labels, alike, never_asked) == 0
    images += torch.from_numpy(labels).float()[:, None, None, None] / 3
    assert by_border(images, labels) > 0.9
    assert by_border(torch.zeros(300, 1, 16, 16), labels) == 0
    assert by_background(images, labels, alike, lambda: alike) == 0  # kinds differ there as well
    assert by_background(images, labels, alike, lambda: None) == 0  # it shows no background
    mixed = rng.permutation(labels)
    random = sp.csr_matrix((mixed[:, None] == mixed).astype(float))
    assert by_background(images, labels, alike, lambda: random) > 0.8  # backgrounds were sorted


def never_asked() -> sp.csr_matrix:
    """The graph is only made if the border predicts something."""
    raise AssertionError


def test_averages_tell_right_clusters_from_random_ones_also_in_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(4, 1, 12, 12, generator=generator) - 0.5
    labels = torch.arange(400) % 4
    images = pictures[labels] + 0.3 * torch.randn(400, 1, 12, 12, generator=generator)
    right, explained = by_averages(images, labels.numpy(), 4, 0.09)
    assert (right > 0.95).all() and (explained > 0.9).all()
    mixed = torch.randint(0, 4, (400,), generator=generator).numpy()
    right, explained = by_averages(images, mixed, 4, 0.09)
    assert right.mean() < 0.5 and explained.mean() < 0.5


def test_trust_rises_with_each_cue_that_speaks_for_clusters() -> None:
    for name in ("with_like", "pure"):
        fitted = weights(name)
        assert set(NAMES) == set(GOOD) and len(fitted.slope) == len(SLOPES)


def test_a_firm_run_gets_no_advice() -> None:
    trust = trusted([GOOD | {"halves": 0.01, "nearest": 0.9, "border": 0.9}] * 3, other=1)
    assert advice(trust, ["a", "b", "c"]) == []
    assert in_words(trust) == "trust 0.95, firm: about 10 of 10 images are with their like"


@pytest.mark.parametrize(
    ("cues", "flag"),
    [
        ({"border": 0.8}, "--flatten"),
        ({"beyond": 0.5}, "--rotation"),
        ({"mirror": 0.4}, "--mirror"),
        ({"again": 0.4}, "--epochs"),
        ({"noise": 0.9}, "--size"),
        ({"halves": 0.01}, "more clusters with --clusters"),
        ({"nearest": 0.9}, "fewer clusters with --clusters"),
    ],
)
def test_advice_of_a_doubtful_run_names_the_flag(cues: dict[str, float], flag: str) -> None:
    said = advice(trusted([GOOD | cues] * 3, other=1, each=0.4), ["a", "b", "c"])
    assert flag in said[0].text
    others = {"--flatten", "--mirror", "--size"} - {flag}
    assert not any(other in one.text for one in said for other in others)


@pytest.mark.parametrize(("trust", "known"), [(0.9, "firm"), (0.7, "fair"), (0.2, "doubtful")])
def test_words(trust: float, known: str) -> None:
    assert word(trust) == known


def test_confidence_has_the_mean_that_trust_says_and_keeps_the_order() -> None:
    generator = torch.Generator().manual_seed(0)
    likeliest = 0.5 + 0.49 * torch.rand(200, generator=generator)
    p = torch.stack([likeliest, 1 - likeliest], 1)
    plain = Calibration(temperature=1.0, misfits=tuple(map(float, range(LEVELS))), n=100)
    shift = shift_to(0.6, plain.steadiness(p).numpy())
    trust = replace(trusted([GOOD] * 2), shifts=(shift, 0.0), pure=(0.6, 0.6))
    own = replace(plain, trust=trust)
    drawn_well = torch.zeros(200)
    confidence = own.confidence(p, drawn_well)
    assert confidence.mean().item() == pytest.approx(0.6, abs=0.01)
    assert torch.equal(confidence.argsort(), likeliest.argsort())
    assert torch.equal(plain.confidence(p, drawn_well), plain.steadiness(p))
    assert abs(shift_to(0.999999, np.array([1e-6]))) == LIMIT


def test_an_outlier_is_never_sure() -> None:
    found = Calibration(temperature=1.0, misfits=tuple(map(float, range(LEVELS))), n=100)
    p = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    confidence = found.confidence(p, torch.tensor([50.0, 99.0, 100.0, 1000.0]))
    assert confidence[0] > 0.99 and confidence[1] > 0.99
    assert confidence[2] == pytest.approx(0.5, abs=0.01) and confidence[3] < 0.1


def test_trust_is_kept_and_damage_is_refused() -> None:
    known = trusted([GOOD] * 3)
    assert Trust.from_dict(asdict(known)) == known
    with pytest.raises(ValueError, match="not from 0 to 1"):
        Trust.from_dict(asdict(known) | {"clusters": [0.5, 0.5, 2.0]})
    with pytest.raises(ValueError, match="different lengths"):
        Trust.from_dict(asdict(known) | {"pure": [0.5]})
    with pytest.raises(ValueError, match="other cluster"):
        Trust.from_dict(asdict(known) | {"other": [0, 1, 7]})


def test_communities_are_the_blobs_and_say_that_clusters_are_too_few() -> None:
    sizes = [80, 60, 100, 70]
    edges, kind = blobs(sizes, between=1), np.repeat(np.arange(4), sizes)
    found = communities(edges)
    assert len(np.unique(found)) == 4
    assert all(len(np.unique(found[kind == k])) == 1 for k in range(4))
    assert (communities(edges) == found).all()  # no chance is left
    assert effective_number([2, 2, 0, 2]) == pytest.approx(3)


@pytest.mark.parametrize("each", [16, 120])
def test_too_few_and_too_many_clusters_are_seen_however_few_images_there_are(each: int) -> None:
    """With 16 images of a kind, most of 15 neighbours are of other kinds."""
    rng = np.random.default_rng(0)
    kind = np.repeat(np.arange(8), each)
    middle = 5 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], 1)
    places = np.pad(middle[kind], ((0, 0), (0, 6))) + rng.normal(0, 0.7, (len(kind), 8))
    near = NearestNeighbors(n_neighbors=15).fit(places)
    distance, index = (torch.from_numpy(one) for one in near.kneighbors())
    none = torch.zeros(index.numel())
    turn = Turn(likeness=none, angle=none, mirrored=none.bool())
    graph = Graph(index=index, distance=distance.float(), turn=turn)
    enough, needed = enough_of(graph, kind)
    assert enough > 0.85 and needed > 0.85
    enough, needed = enough_of(graph, kind // 3)
    assert enough < 0.5 and needed == 1
    enough, needed = enough_of(graph, 2 * kind + np.arange(len(kind)) % 2)  # two clusters of each
    assert enough == 1 and 0.4 < needed < 0.6


def test_too_few_clusters_are_named_with_a_number_that_would_do() -> None:
    bad = GOOD | {"enough": 0.25}
    said = [one.text for one in advice(trusted([bad, bad, bad], each=0.6), ["a", "b", "c"])]
    assert any("about 12 groups, but you have 3" in one and "--clusters 12" in one for one in said)
    said = [one.text for one in advice(trusted([GOOD] * 3, each=0.6), ["a", "b", "c"])]
    assert not any("groups, but you have" in one for one in said)


def test_trust_is_at_most_the_share_of_kinds_that_have_a_cluster() -> None:
    def cues(**some: float) -> Cues:
        return Cues(**{name: np.array([value]) for name, value in (GOOD | some).items()})

    for name in ("with_like", "pure"):
        whole, half = (weights(name)(cues(enough=each, needed=1.0))[0] for each in (1.0, 0.5))
        assert 0.8 < whole < 1 and half == pytest.approx(whole / 2)
        spread = weights(name)(cues(enough=1.0, needed=0.5))[0]
        assert half < spread < 0.9 * whole  # kinds in two clusters each
    assert factor({"enough": [0.5, 1.0], "needed": [1.0, 0.0]}).tolist() == [0.5, 0.0]


def test_trust_from_other_cues_is_not_known() -> None:
    values = asdict(trusted([GOOD, GOOD]))
    assert Trust.from_dict(values) == trusted([GOOD, GOOD])
    values["cues"].pop("enough")
    assert Trust.from_dict(values) is None
    values["cues"]["wrong"] = (1.0, 1.0)
    with pytest.raises(ValueError, match="other cues"):
        Trust.from_dict(values)
