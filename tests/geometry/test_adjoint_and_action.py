"""The adjoint and the action on points."""

import torch
from torch.testing import assert_close

from tests.geometry.cases import coordinates, every_group, everywhere, tolerance


@everywhere
def test_adjoint(group, batch, dtype, case):
    M = group.exp(coordinates(group, case, batch, dtype))
    tau = coordinates(group, "generic", batch, dtype, seed=1)
    moved = (group.adjoint(M) @ tau[..., None]).squeeze(-1)
    conjugate = group.compose(group.compose(M, group.exp(tau)), group.inverse(M))
    assert_close(group.exp(moved), conjugate, **tolerance(dtype, 10))


@everywhere
def test_action_is_compatible_with_composition(group, batch, dtype, case):
    a, b = (group.exp(coordinates(group, case, batch, dtype, seed)) for seed in (1, 2))
    points = torch.linspace(-0.5, 0.5, 10, dtype=dtype).reshape(5, 2).expand(*batch, 5, 2)
    moved = group.act(a, group.act(b, points))
    assert moved.shape == points.shape and moved.dtype == dtype
    assert_close(group.act(group.compose(a, b), points), moved, **tolerance(dtype))
    assert torch.equal(group.act(group.identity(*batch, dtype=dtype), points), points)


@every_group
def test_batches_broadcast(group):
    one = group.exp(coordinates(group, "generic", (), torch.float32))
    many = group.exp(coordinates(group, "generic", (3, 2), torch.float32))
    assert group.compose(one, many).shape == (3, 2, 3, 3)
    assert group.act(many, torch.zeros(4, 2)).shape == (3, 2, 4, 2)
    assert all(value.shape == (3, 2) for value in group.distance(one, many).values())
