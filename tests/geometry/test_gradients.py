"""Derivatives, also exactly at zero and at a half turn."""

import math

import pytest
import torch
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from tests.geometry.cases import (
    coordinates,
    every_case,
    every_dtype,
    every_group,
    loss_of_log,
    tolerance,
)


@every_group
def test_gradcheck_exactly_at_zero(group):
    zero = torch.zeros(2, group.dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(group.exp, zero)
    assert torch.autograd.gradcheck(lambda tau: group.log(group.exp(tau)), zero)
    assert torch.autograd.gradcheck(group.from_parameters, zero)
    assert torch.autograd.gradcheck(lambda p: group.to_parameters(group.from_parameters(p)), zero)


@every_group
@every_dtype
def test_derivative_of_exp_at_zero_is_the_generators(group, dtype):
    derivative = jacobian(group.exp, torch.zeros(group.dim, dtype=dtype))
    assert_close(derivative.movedim(-1, 0), group.generators(dtype=dtype), **tolerance(dtype))


@every_group
@every_dtype
@every_case
def test_gradient_of_log_of_exp_is_one(group, dtype, case):
    tau = coordinates(group, case, (), dtype)
    derivative = jacobian(lambda tau: group.log(group.exp(tau)), tau)
    loss = loss_of_log(group, case) ** 2  # a derivative divides by sin(angle) once more
    assert_close(derivative, torch.eye(group.dim, dtype=dtype), **tolerance(dtype, loss))


@every_group
@every_dtype
@pytest.mark.parametrize("angle", [0.0, 3 * math.pi / 4, math.pi - 1e-6, math.pi, -math.pi])
def test_gradients_are_finite(group, dtype, angle):
    tau = torch.zeros(group.dim, dtype=dtype)
    tau[0] = angle
    tau.requires_grad_()
    M = group.exp(tau)
    (group.log(M).sum() + group.to_parameters(M).sum()).backward()
    assert tau.grad is not None and tau.grad.isfinite().all()
