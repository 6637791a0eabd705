"""New kinds of images: communities that are nearly all new, and images like nothing known."""

import math

import pytest
import torch
from torch import Tensor

from mcevae.images.loading import load
from mcevae.models.own_group import group_of
from mcevae.teaching import novel
from mcevae.teaching.graph import describe_pixels
from mcevae.teaching.novel import LEAST, NONE, Kinds, new_kinds


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """Digits on rings, and what they show."""
    images = load("mnist-mini").train
    assert images.labels is not None
    return describe_pixels(images.pixels, group_of("se2"), 0.0).rings, images.labels


def found(rings: Tensor, known: Tensor, new: Tensor, kind: Tensor) -> Kinds:
    return new_kinds(rings[known], kind[known], rings[new], math.pi / 4)


def of(labels: Tensor, kinds: tuple[int, ...]) -> Tensor:
    return torch.isin(labels, torch.tensor(kinds)).nonzero()[:, 0]


def test_a_community_of_new_images_is_a_new_kind(
    digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rings, labels = digits
    monkeypatch.setattr(novel, "of_far", lambda *_, **__: [])
    usual, ones = of(labels, (0, 2, 7)), of(labels, (1,))[:40]
    known, more = usual[:240], usual[240:300]
    kinds = found(rings, known, torch.cat([more, ones]), labels)
    assert kinds.count == 1
    assert (kinds.number[len(more) :] != NONE).float().mean() > 0.8
    assert (kinds.number[: len(more)] != NONE).float().mean() < 0.1
    assert not found(rings, known, torch.cat([more, ones[: LEAST - 1]]), labels).count


@pytest.mark.parametrize(("before", "more"), [(240, 60), (60, 240)])
def test_more_images_of_known_kinds_are_no_new_kind(
    digits: tuple[Tensor, Tensor], before: int, more: int
) -> None:
    rings, labels = digits
    usual = of(labels, (0, 2, 7))[: before + more]
    assert len(usual) == before + more
    kinds = found(rings, usual[:before], usual[before:], labels)
    assert kinds.count == 0 and (kinds.number == NONE).all()


def test_what_both_ways_find_is_one_kind(
    digits: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rings, labels = digits
    usual, ones = of(labels, (0, 2, 7))[:240], of(labels, (1,))[:80]
    first, second = torch.arange(40), torch.arange(30, 80)
    for other, counts in ((second, [40, 40]), (second[:15], [40])):
        monkeypatch.setattr(novel, "of_communities", lambda *_, **__: [first])
        monkeypatch.setattr(novel, "of_far", lambda *_, other=other, **__: [other])
        kinds = found(rings, usual, ones, labels)
        assert kinds.number[kinds.number != NONE].bincount().tolist() == counts
