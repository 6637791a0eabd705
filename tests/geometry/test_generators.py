"""Groups by name and by generators."""

import math

import pytest
import torch
from torch.testing import assert_close

from mcevae.geometry.groups import (
    GeneratorGroup,
    get_group,
)
from tests.geometry.cases import (
    ROTATION,
    SHEAR_X,
    SHEAR_Y,
    SHIFT_X,
    SHIFT_Y,
    coordinates,
    every_dtype,
    tolerance,
)


@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_get_group(name):
    group = get_group(name)
    assert group.name == name
    assert len(group.coordinates) == len(group.units) == group.dim
    assert group.generators().shape == (group.dim, 3, 3)


def test_get_group_lists_the_names():
    with pytest.raises(ValueError, match=r"'so3'.*so2, se2, sim2, aff2"):
        get_group("so3")


@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
@every_dtype
def test_group_from_generators_equals_the_named_one(name, dtype):
    named = get_group(name)
    listed = GeneratorGroup(list(named.generators()), coordinates=named.coordinates)
    assert listed.units == named.units and listed.support() == named.support()
    assert torch.equal(listed.generators(dtype=dtype), named.generators(dtype=dtype))
    tau = coordinates(named, "generic", (3, 2), dtype)
    M = named.exp(tau)
    assert_close(listed.exp(tau), M, **tolerance(dtype))
    assert_close(listed.log(M), tau, **tolerance(dtype))
    assert_close(listed.adjoint(M), named.adjoint(M), **tolerance(dtype))


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ([], "one or more 3x3"),
        ([[[0, 1], [1, 0]]], r"3x3 matrices, but have shapes \[\(2, 2\)\]"),
        ([[[0, 0, 0], [0, 0, 0], [0, 0, 1]]], "last row must be zero"),
        ([[[math.nan, 0, 0], [0, 0, 0], [0, 0, 0]]], "finite"),
        ([SHIFT_X, SHIFT_Y, SHIFT_X], "linearly independent"),
        ([SHEAR_X, SHEAR_Y], "closed under the bracket, but that of numbers 0 and 1"),
        ([ROTATION, SHIFT_X], "closed under the bracket"),
    ],
)
def test_bad_generators(generators, message):
    with pytest.raises(ValueError, match=message):
        GeneratorGroup(generators)


def test_bad_number_of_coordinate_names():
    with pytest.raises(ValueError, match="1 generators have 2 coordinate names"):
        GeneratorGroup([SHIFT_X], coordinates=("x", "y"))
