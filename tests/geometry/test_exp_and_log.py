"""Exponential and logarithm."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from mcevae.geometry.groups import (
    SIM2,
    SO2,
    Aff2,
)
from tests.geometry.cases import (
    coordinates,
    every_dtype,
    every_group,
    everywhere,
    loss_of_log,
    matrix_exponential,
    tolerance,
)


@everywhere
def test_log_undoes_exp(group, batch, dtype, case):
    tau = coordinates(group, case, batch, dtype)
    M = group.exp(tau)
    assert M.shape == (*batch, 3, 3) and M.dtype == dtype
    back = group.log(M)
    assert back.shape == tau.shape and back.dtype == dtype
    assert_close(back, tau, **tolerance(dtype, loss_of_log(group, case)))
    assert_close(group.exp(back), M, **tolerance(dtype))


@everywhere
def test_one_parameter_subgroup(group, batch, dtype, case):
    tau = coordinates(group, case, batch, dtype)
    parts = group.compose(group.exp(0.3 * tau), group.exp(0.7 * tau))
    assert_close(parts, group.exp(tau), **tolerance(dtype))


@everywhere
def test_exp_equals_matrix_exponential(group, batch, dtype, case):
    tau = coordinates(group, case, batch, dtype)
    assert_close(group.exp(tau), matrix_exponential(group, tau), **tolerance(dtype))


@every_group
@pytest.mark.parametrize("size", [1e-12, 1e-4, 0.0999, 0.1001, 0.3, 3.0])
def test_derivative_of_exp_on_both_sides_of_the_series(group, size):
    tau = torch.full((group.dim,), size / math.sqrt(2), dtype=torch.float64)
    ours = jacobian(group.exp, tau)
    theirs = jacobian(lambda tau: matrix_exponential(group, tau), tau)
    assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@given(tau=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_log_undoes_exp_for_any_float(tau):
    tau = torch.tensor(tau, dtype=torch.float64)
    assert_close(SIM2().log(SIM2().exp(tau)), tau, atol=1e-12, rtol=1e-12)


def test_rotation_is_from_x_towards_y():
    quarter = SO2().exp(torch.tensor([math.pi / 2]))
    assert_close(SO2().act(quarter, torch.tensor([[1.0, 0.0]])), torch.tensor([[0.0, 1.0]]))


@every_dtype
def test_affine_log_with_real_eigenvalues_shear_and_half_turn(dtype):
    tau = torch.tensor(
        [
            [0.1, 0.2, -0.3, 0.1, 0.9, -0.4],  # hyperbolic: strain outweighs rotation
            [0.5, 0.2, -0.3, 0.1, 0.3, 0.4],  # parabolic: they balance
            [2.5, 0.2, -0.3, 0.1, 0.3, 0.4],  # elliptic
            [math.pi, 0.2, -0.3, 0.1, 0.0, 0.0],  # a half turn
        ],
        dtype=dtype,
    )
    M = Aff2().exp(tau)
    back = Aff2().log(M)
    assert_close(back[:3], tau[:3], **tolerance(dtype))
    assert_close(back[3].abs()[0], tau[3, 0], **tolerance(dtype))  # pi and -pi are one half turn
    assert_close(Aff2().exp(back), M, **tolerance(dtype))


@every_dtype
def test_affine_log_is_nan_where_there_is_none_and_parameters_are_not(dtype):
    p = torch.tensor([math.pi, 0.1, 0.2, 0.3, 0.4, 0.0], dtype=dtype)
    M = Aff2().from_parameters(p)  # its linear part has two unlike negative eigenvalues
    assert Aff2().log(M).isnan().any()
    back = Aff2().to_parameters(M)
    assert_close(back[1:], p[1:], **tolerance(dtype))
    assert_close(back[0].abs(), p[0], **tolerance(dtype))
