"""The axioms of a group."""

import torch
from torch.testing import assert_close

from tests.geometry.cases import coordinates, everywhere, tolerance


@everywhere
def test_closure(group, batch, dtype, case):
    a, b = (group.exp(coordinates(group, case, batch, dtype, seed)) for seed in (1, 2))
    ab = group.compose(a, b)
    assert ab.shape == (*batch, 3, 3) and ab.dtype == dtype
    assert torch.equal(ab[..., 2, :], ab.new_tensor([0, 0, 1]).expand(*batch, 3))
    assert_close(group.exp(group.log(ab)), ab, **tolerance(dtype, 10))


@everywhere
def test_associativity(group, batch, dtype, case):
    a, b, c = (group.exp(coordinates(group, case, batch, dtype, seed)) for seed in (1, 2, 3))
    left = group.compose(group.compose(a, b), c)
    assert_close(left, group.compose(a, group.compose(b, c)), **tolerance(dtype))


@everywhere
def test_identity(group, batch, dtype, case):
    M = group.exp(coordinates(group, case, batch, dtype))
    e = group.identity(*batch, dtype=dtype)
    assert e.shape == M.shape and e.dtype == dtype
    assert torch.equal(group.compose(e, M), M) and torch.equal(group.compose(M, e), M)
    assert torch.equal(group.log(e), torch.zeros(*batch, group.dim, dtype=dtype))


@everywhere
def test_inverse(group, batch, dtype, case):
    tau = coordinates(group, case, batch, dtype)
    M = group.exp(tau)
    e = group.identity(*batch, dtype=dtype)
    assert_close(group.compose(M, group.inverse(M)), e, **tolerance(dtype))
    assert_close(group.compose(group.inverse(M), M), e, **tolerance(dtype))
    assert_close(group.exp(-tau), group.inverse(M), **tolerance(dtype))
