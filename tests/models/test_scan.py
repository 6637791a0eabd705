"""SCAN: neighbours of the invariant graph, whatever their pose, get the same cluster."""

import math

import pytest
import torch
from torch import Tensor

from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.models.peers.scan import SCAN, Neighbours, self_label_loss, semantic_loss
from mcevae.models.registry import build
from mcevae.training.schedule import planned
from tests.models.test_peers import few


def two_kinds(count: int = 80) -> tuple[Tensor, Tensor]:
    """Bars and crosses at any angle, uint8, and which of both each is."""
    kind = torch.arange(count) % 2
    x = torch.zeros(count, 1, 28, 28)
    x[:, :, 5:23, 12:16] = 1.0
    x[kind == 1, :, 12:16, 5:23] = 1.0
    turn = torch.rand(count, generator=torch.Generator().manual_seed(0)) * 2 * math.pi
    model = build(few("scan", group="so2"), (1, 28, 28))
    return to_bytes(warp(x, model.group.from_parameters(turn[:, None]))), kind


def made(**changes: object) -> tuple[SCAN, Neighbours, Tensor]:
    """A model of two clusters, its teacher, and which kind each training image is."""
    torch.manual_seed(0)
    pixels, kind = two_kinds()
    config = few("scan", group="so2", rotation=180.0, clusters=2, neighbours=5, **changes)
    model = build(config, (1, 28, 28)).train()
    assert isinstance(model, SCAN)
    teacher = model.teacher(planned(config, len(pixels)), pixels)
    assert isinstance(teacher, Neighbours)
    return model, teacher, kind


def test_the_loss_is_that_of_the_paper_and_least_for_sure_even_agreeing_clusters() -> None:
    own, theirs = (torch.randn(50, 4).softmax(-1) for _ in range(2))
    together = -sum(math.log(float(a @ b)) for a, b in zip(own, theirs, strict=True)) / 50
    entropy = torch.distributions.Categorical(own.mean(0)).entropy()
    expected = together - 5 * entropy + 5 * math.log(4)
    assert semantic_loss(own, theirs).allclose(expected, atol=1e-5)
    even = torch.eye(4).repeat(10, 1)
    assert semantic_loss(even, even) == pytest.approx(0, abs=1e-5)
    same = torch.eye(4)[:1].repeat(40, 1)  # all in one cluster
    assert semantic_loss(same, same) == pytest.approx(5 * math.log(4), abs=1e-4)
    assert semantic_loss(even, even.roll(1, 0)) > 10  # neighbours that differ


def test_only_sure_images_teach_and_clusters_count_alike() -> None:
    own = torch.tensor([[0.995, 0.005], [0.999, 0.001], [0.004, 0.996], [0.6, 0.4]])
    copies = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]], requires_grad=True)
    loss = self_label_loss(own, copies)
    first = -(math.log(0.8) + math.log(0.6)) / 2
    assert loss.item() == pytest.approx((first - math.log(0.5)) / 2, abs=1e-5)
    loss.backward()
    assert copies.grad is not None and not copies.grad[3].any()
    assert self_label_loss(own[3:], own[3:]) == 0


def test_partners_are_of_one_kind_however_they_are_turned_and_then_the_images_themselves() -> None:
    _, teacher, kind = made()
    first = teacher.prepare(0, 4)
    assert "5 neighbours of each of 80 images" in first
    one = teacher.partner
    assert (one != torch.arange(80)).all() and (kind[one] == kind).float().mean() > 0.97
    assert teacher.columns["partner"].equal(teacher.pixels[one])
    assert teacher.prepare(1, 4) == "" and not teacher.partner.equal(one)
    kept = {name: value.clone() for name, value in teacher.state().items()}
    other = made()[1]
    other.restore(kept)
    assert other.columns["partner"].equal(teacher.columns["partner"])
    assert other.prepare(1, 4) == ""  # the neighbours are there
    with pytest.raises(ValueError, match="80 images, not of 70"):
        Neighbours(teacher.model, planned(few("scan"), 70), teacher.pixels[:70]).restore(kept)
    assert teacher.model.labelling == 0 and "teach their copies" in teacher.prepare(2, 4)
    assert teacher.model.labelling == 1 and teacher.partner.equal(torch.arange(80))


def test_two_kinds_are_found_at_any_angle() -> None:
    model, teacher, kind = made()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(10):
        teacher.prepare(epoch, 10)
        for _ in range(5):
            optimizer.zero_grad()
            model.terms(model, teacher.pixels / 255, teacher.columns).loss.backward()
            assert all(one.grad is not None for one in model.parameters())
            optimizer.step()
    found = model.eval()(teacher.pixels / 255).responsibilities.argmax(-1)
    right = (found == kind).float().mean()
    assert max(right, 1 - right) > 0.95
