"""Autocast and half precision."""

import pytest
import torch

from tests.geometry.cases import coordinates, every_group


@every_group
def test_autocast_leaves_float32_alone(group):
    tau = coordinates(group, "generic", (3,), torch.float32)
    points = torch.rand(3, 4, 2)

    def everything():
        M = group.exp(tau)
        results = [M, group.log(M), group.compose(M, M), group.inverse(M), group.adjoint(M)]
        results += [group.act(M, points), group.from_parameters(tau), group.to_parameters(M)]
        return [*results, *group.distance(M, group.inverse(M)).values()]

    plain = everything()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = everything()
    for a, b in zip(plain, under_autocast, strict=True):
        assert b.dtype == torch.float32 and torch.equal(a, b)


@every_group
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_widened(group, half):
    tau = coordinates(group, "generic", (3,), half)
    assert torch.equal(group.exp(tau), group.exp(tau.float()))
    assert group.exp(tau=tau).dtype == torch.float32
