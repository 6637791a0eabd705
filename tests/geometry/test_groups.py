"""The laws of a Lie group, over every group, batch shape, dtype and corner of the group."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd.functional import jacobian
from torch.testing import assert_close

from mcevae.geometry.groups import (
    SE2,
    SIM2,
    SO2,
    Aff2,
    GeneratorGroup,
    MatrixGroup,
    get_group,
    within,
    wrapped,
)

SHIFT_X = [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
SHIFT_Y = [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
SHEAR_X = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
SHEAR_Y = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
STRETCH = [[1, 0, 0], [0, -1, 0], [0, 0, 0]]
ROTATION = [[0, -1, 0], [1, 0, 0], [0, 0, 0]]

SHEARS = GeneratorGroup([SHEAR_X, SHIFT_X, SHIFT_Y], name="shears")
AREA_KEEPING = GeneratorGroup(
    [ROTATION, STRETCH, SHEAR_X], name="sl2", coordinates=("rotation", "stretch", "slant")
)
GROUPS = [SO2(), SE2(), SIM2(), Aff2(), SHEARS, AREA_KEEPING]
CLOSED_FORMS = GROUPS[:3]
DTYPES = [torch.float32, torch.float64]
CASES = ["identity", "within 1e-8", "within 1e-4", "generic", "near pi"]
GAP = 1e-3  # how near to pi "near pi" is

every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
every_batch = pytest.mark.parametrize("batch", [(), (1,), (3, 2)], ids=str)
every_case = pytest.mark.parametrize("case", CASES)


def everywhere(test):
    return every_group(every_batch(every_dtype(every_case(test))))


def coordinates(group: MatrixGroup, case: str, batch, dtype, seed: int = 0):
    """Tangent coordinates (also good as parameters) that stand for a corner of the group."""
    random = torch.Generator().manual_seed(seed)
    unit = 2 * torch.rand(*batch, group.dim, generator=random, dtype=torch.float64) - 1
    size = {"identity": 0.0, "within 1e-8": 1e-8, "within 1e-4": 1e-4}.get(case, 0.6)
    tau = size * unit
    if case == "near pi" and "rotation" in group.coordinates:
        turn = group.coordinates.index("rotation")
        tau[..., turn] = torch.sign(unit[..., turn]) * (math.pi - GAP)
        # Strain at the edge of the image of exp is a test of its own.
        for i, coordinate in enumerate(group.coordinates):
            if coordinate in ("stretch", "shear", "slant"):
                tau[..., i] = 0
    return tau.to(dtype)


def tolerance(dtype, loss: float = 1.0):
    """Absolute error allowed: some 100 roundings, times what the operation is known to lose."""
    return {"atol": 100 * torch.finfo(dtype).eps * loss, "rtol": 0.0}


def loss_of_log(group, case):
    """How much the logarithm of a general matrix magnifies rounding: pi / sin(angle)."""
    return math.pi / GAP if case == "near pi" and group not in CLOSED_FORMS else 1.0


def matrix_exponential(group, tau):
    """The exponential by torch, in float64; twice over, as it is less exact for one alone."""
    algebra = torch.einsum("...t,tij->...ij", tau, group.generators(dtype=tau.dtype))
    return torch.matrix_exp(torch.stack([algebra, algebra]).double())[0].to(tau.dtype)


# --- axioms -------------------------------------------------------------------------------------


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


# --- exp and log --------------------------------------------------------------------------------


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


# --- gradients ----------------------------------------------------------------------------------


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


# --- adjoint and action -------------------------------------------------------------------------


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


# --- the coordinates people read, sampling, distance ----------------------------------------------


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


# --- precision and devices ------------------------------------------------------------------------


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


# --- groups by name and by generators -------------------------------------------------------------


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


@pytest.mark.parametrize("rotations", [8, 36, 72])
def test_a_support_has_as_many_rotations_on_either_side(rotations: int) -> None:
    """Also where its edge falls between two rotations, whose rounding must not decide."""
    step = 2 * math.pi / rotations
    angles = wrapped(torch.arange(rotations) * step)
    for half_degrees in range(341):
        inside = within(angles, math.radians(half_degrees / 2), step)
        assert inside[0]
        assert inside[1:].equal(inside[1:].flip(0))  # rotation r and its mirror image R - r


def test_a_nearly_whole_circle_is_one() -> None:
    angles = wrapped(torch.arange(36) * math.radians(10))
    assert within(angles, math.radians(175), math.radians(10)).all()
