"""The coordinates that people read; sampling and distance in them."""

import math

import pytest
import torch
from torch.testing import assert_close

from mcevae.geometry.groups import (
    SE2,
    SIM2,
    SO2,
    Aff2,
    GeneratorGroup,
)
from tests.geometry.cases import (
    AREA_KEEPING,
    GROUPS,
    SHEARS,
    coordinates,
    every_dtype,
    every_group,
    everywhere,
    loss_of_log,
    tolerance,
)


@everywhere
def test_parameters_round_trip(group, batch, dtype, case):
    p = coordinates(group, case, batch, dtype)
    M = group.from_parameters(p)
    assert M.shape == (*batch, 3, 3) and M.dtype == dtype
    loss = loss_of_log(group, case) if isinstance(group, GeneratorGroup) else 1.0
    assert_close(group.to_parameters(M), p, **tolerance(dtype, loss))


def test_parameters_mean_what_they_say():
    rotation, x, y, log_scale, stretch, shear = p = torch.tensor([0.5, 0.1, -0.2, 0.3, 0.2, -0.1])
    M = Aff2().from_parameters(p)
    assert_close(Aff2().act(M, torch.zeros(1, 2)), torch.stack([x, y])[None])
    assert_close(torch.linalg.det(M), torch.exp(2 * log_scale))
    turned_back = SO2().inverse(SO2().exp(rotation[None])) @ M
    symmetric = torch.stack([log_scale + stretch, shear, shear, log_scale - stretch])
    assert_close(turned_back[:2, :2], torch.matrix_exp(symmetric.reshape(2, 2)))


@pytest.mark.parametrize("group", GROUPS[:4], ids=lambda group: group.name)
def test_sample_fills_its_support(group):
    support = group.support(rotation_deg=90.0, shift=0.25, scale=1.4, strain=0.2)
    M = group.sample(2000, support, generator=torch.Generator().manual_seed(0))
    assert M.shape == (2000, 3, 3)
    p = group.to_parameters(M).abs()
    widths = torch.tensor(support)
    assert (p <= widths + 1e-6).all() and (p.amax(0) > 0.99 * widths).all()
    assert_close(p.mean(0), widths / 2, atol=0, rtol=0.05)  # the mean of |uniform|


@every_group
@every_dtype
def test_sample_is_reproducible(group, dtype):
    def draw():
        generator = torch.Generator().manual_seed(7)
        return group.sample((3, 2), (0.1,) * group.dim, generator=generator, dtype=dtype)

    assert draw().shape == (3, 2, 3, 3) and draw().dtype == dtype
    assert torch.equal(draw(), draw())


@pytest.mark.parametrize("support", [(0.1,), (0.1, 0.1, -0.1), (0.1, 0.1, math.inf)])
def test_sample_rejects_a_bad_support(support):
    with pytest.raises(ValueError, match="half-widths"):
        SE2().sample(1, support)


def test_support_speaks_degrees_sides_and_factors():
    assert SO2().support() == (math.pi / 2,)
    assert SE2().support(rotation_deg=180.0, shift=0.1) == (math.pi, 0.1, 0.1)
    assert SIM2().support(scale=1.4)[3] == math.log(1.4)
    assert Aff2().support(strain=0.2)[4:] == (0.2, 0.2)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("rotation_deg", -1.0),
        ("rotation_deg", 181.0),
        ("shift", -0.1),
        ("scale", 0.9),
        ("scale", math.nan),
        ("strain", -0.1),
    ],
)
def test_support_names_the_bad_setting(setting, value):
    with pytest.raises(ValueError, match=f"{setting} must .* but is {value}"):
        Aff2().support(**{setting: value})


def test_support_of_own_coordinates_is_left_to_the_user():
    with pytest.raises(ValueError, match=r"tau_0.*half-widths"):
        SHEARS.support()


def test_distance_has_units_people_know():
    p = torch.tensor([math.radians(170), 0.1, 0.0, 0.0, 0.0, 0.0])
    q = torch.tensor([math.radians(-170), 0.1, 0.3, math.log(2), 0.0, 0.0])
    d = Aff2().distance(Aff2().from_parameters(p), Aff2().from_parameters(q))
    expected = {"rotation_deg": 20.0, "shift_side": 0.3, "log_scale": math.log(2), "strain": 0.0}
    assert d.keys() == expected.keys()
    for measure, value in expected.items():
        assert_close(d[measure], torch.tensor(value), atol=1e-4, rtol=0)
    strained = Aff2().from_parameters(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.3, 0.4]))
    assert_close(Aff2().distance(Aff2().identity(), strained)["strain"], torch.tensor(0.5))


@pytest.mark.parametrize(
    ("group", "measures"),
    [
        (SO2(), {"rotation_deg"}),
        (SE2(), {"rotation_deg", "shift_side"}),
        (SIM2(), {"rotation_deg", "shift_side", "log_scale"}),
        (SHEARS, {"rotation_deg", "shift_side", "strain"}),
        (AREA_KEEPING, {"rotation_deg", "strain"}),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_distance_measures_what_the_group_can_change(group, measures):
    e = group.identity()
    assert group.distance(e, e) == dict.fromkeys(measures, 0.0)


@every_group
def test_distance_is_symmetric_and_the_same_after_a_common_move(group):
    a, b, c = (
        group.exp(coordinates(group, "generic", (5,), torch.float64, seed)) for seed in (1, 2, 3)
    )
    assert_close(group.distance(a, b), group.distance(b, a))
    moved = group.distance(group.compose(c, a), group.compose(c, b))
    for measure in moved.keys() - {"shift_side"}:  # a common magnification magnifies shifts
        assert_close(moved[measure], group.distance(a, b)[measure])
