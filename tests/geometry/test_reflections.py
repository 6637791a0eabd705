"""The laws of groups with reflections, on elements of which some are mirrored."""

import math

import pytest
import torch
from torch.testing import assert_close

from mcevae.geometry.groups import (
    GROUPS,
    Reflected,
    get_group,
    mirrored,
    proper_part,
    reflect,
)
from mcevae.geometry.warp import warp
from tests.geometry.cases import (
    REFLECTED,
    SHEARS,
    coordinates,
    every_batch,
    every_case,
    every_dtype,
    every_reflected,
    mixed,
    tolerance,
)
from tests.geometry.test_warp import blobs

SUPPORT = {"rotation_deg": 90.0, "shift": 0.25, "scale": 1.4, "strain": 0.2}


def everywhere(test):
    return every_reflected(every_batch(every_dtype(every_case(test))))


def rebuilt(group, M):
    """The element that its logarithm and its sign describe."""
    return reflect(group.exp(group.log(M)), mirrored(M))


@everywhere
def test_products_and_inverses_stay_in_the_group(group, batch, dtype, case):
    a, b = (mixed(group, case, batch, dtype, seed) for seed in (1, 2))
    ab, e = group.compose(a, b), group.identity(*batch, dtype=dtype)
    assert ab.shape == (*batch, 3, 3) and ab.dtype == dtype
    assert_close(rebuilt(group, ab), ab, **tolerance(dtype, 10))
    assert_close(rebuilt(group, group.inverse(a)), group.inverse(a), **tolerance(dtype, 10))
    assert torch.equal(mirrored(ab), mirrored(a) ^ mirrored(b))
    assert torch.equal(mirrored(group.inverse(a)), mirrored(a))
    assert torch.equal(group.compose(e, a), a) and torch.equal(group.compose(a, e), a)
    for product in (group.compose(a, group.inverse(a)), group.compose(group.inverse(a), a)):
        assert_close(product, e, **tolerance(dtype))


@everywhere
def test_associativity(group, batch, dtype, case):
    a, b, c = (mixed(group, case, batch, dtype, seed) for seed in (1, 2, 3))
    left = group.compose(group.compose(a, b), c)
    assert_close(left, group.compose(a, group.compose(b, c)), **tolerance(dtype))


@everywhere
def test_coordinates_are_those_of_the_proper_part(group, batch, dtype, case):
    p = coordinates(group, case, batch, dtype)
    for make, read in ((group.exp, group.log), (group.from_parameters, group.to_parameters)):
        P = make(p)
        assert not mirrored(P).any()
        M = reflect(P, torch.ones(batch, dtype=torch.bool))
        assert mirrored(M).all()
        assert torch.equal(read(M), read(P)) and torch.equal(proper_part(M), P)


@everywhere
def test_adjoint(group, batch, dtype, case):
    M = mixed(group, case, batch, dtype)
    tau = coordinates(group, "generic", batch, dtype, seed=1)
    moved = (group.adjoint(M) @ tau[..., None]).squeeze(-1)
    conjugate = group.compose(group.compose(M, group.exp(tau)), group.inverse(M))
    assert_close(group.exp(moved), conjugate, **tolerance(dtype, 10))


@every_reflected
def test_distance_has_the_laws_of_a_distance_and_sees_the_mirror(group):
    a, b, c = (mixed(group, "generic", (20,), torch.float64, seed) for seed in (1, 2, 3))
    here = group.distance(a, b)
    assert_close(here, group.distance(b, a))
    assert torch.equal(here["mirrored"] == 1, mirrored(a) ^ mirrored(b))
    assert 0 < here["mirrored"].sum() < 20
    moved = group.distance(group.compose(c, a), group.compose(c, b))
    for measure in moved.keys() - {"shift_side"}:  # a common magnification magnifies shifts
        assert_close(moved[measure], here[measure])
    assert all(value.abs().max() < 1e-6 for value in group.distance(a, a).values())


@every_reflected
def test_sample_mirrors_half_and_its_proper_parts_fill_the_support(group):
    support = group.support(**SUPPORT)
    draw = torch.Generator().manual_seed(0)
    M = group.sample((4, 500), support, generator=draw)
    assert M.shape == (4, 500, 3, 3)
    assert 0.45 < mirrored(M).float().mean() < 0.55
    p = group.to_parameters(M).abs().flatten(0, 1)
    widths = torch.tensor(support)
    assert (p <= widths + 1e-6).all() and (p.amax(0) > 0.99 * widths).all()
    again = group.sample((4, 500), support, generator=torch.Generator().manual_seed(0))
    assert torch.equal(M, again)


@every_reflected
def test_gradients_reach_the_coordinates_of_mirrored_elements(group):
    tau = coordinates(group, "generic", (3,), torch.float64).requires_grad_()
    which = torch.tensor([True, False, True])
    assert torch.autograd.gradcheck(lambda tau: group.log(reflect(group.exp(tau), which)), tau)


@every_reflected
@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 56)])
def test_warp_is_an_action(group, height, width):
    image = blobs(height, width, (0.1, 0.05), (-0.08, 0.12), (-0.05, -0.1))
    small = group.support(rotation_deg=60, shift=0.05, scale=1.1, strain=0.05)
    draw = torch.Generator().manual_seed(0)
    for _ in range(6):
        a, b = (group.sample(1, small, generator=draw, dtype=torch.float64) for _ in range(2))
        twice = warp(warp(image, a, mode="bicubic"), b, mode="bicubic")
        once = warp(image, group.compose(b, a), mode="bicubic")
        assert_close(twice, once, atol=0.05, rtol=0)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 1, 9, 14)])
def test_the_mirror_exchanges_left_and_right(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    mirror = reflect(torch.eye(3)[None], torch.tensor([True]))
    assert_close(warp(images, mirror), images.flip(-1), atol=1e-5, rtol=0)
    assert_close(REFLECTED[0].act(mirror, torch.tensor([[[0.2, 0.3]]]))[0, 0].tolist(), [-0.2, 0.3])


def test_the_mirror_comes_first_and_then_the_rotation():
    group = get_group("se2", mirror=True)
    p = torch.tensor([[math.pi / 2, 0.1, 0.0]])
    M = reflect(group.from_parameters(p), torch.tensor([True]))
    image = torch.rand(1, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    expected = warp(image.flip(-1), group.from_parameters(p))
    assert_close(warp(image, M), expected, atol=1e-5, rtol=0)


def test_groups_are_made_by_name_and_generators_have_no_mirror():
    for name in GROUPS:
        group = get_group(name, mirror=True)
        assert isinstance(group, Reflected) and group.mirrors and not get_group(name).mirrors
        assert group.coordinates == get_group(name).coordinates
        assert group.units == get_group(name).units
    with pytest.raises(ValueError, match="no mirror"):
        Reflected(SHEARS)
