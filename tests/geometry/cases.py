"""Groups, batch shapes, dtypes and corners of a group that the tests of its laws go through."""

import math

import pytest
import torch

from mcevae.geometry.groups import (
    SE2,
    SIM2,
    SO2,
    Aff2,
    GeneratorGroup,
    MatrixGroup,
    Reflected,
    reflect,
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
REFLECTED = [Reflected(group) for group in GROUPS[:4]]
DTYPES = [torch.float32, torch.float64]
CASES = ["identity", "within 1e-8", "within 1e-4", "generic", "near pi"]
GAP = 1e-3  # how near to pi "near pi" is

every_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
every_reflected = pytest.mark.parametrize("group", REFLECTED, ids=["o2", "e2", "sim2", "aff2"])
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


def mixed(group: Reflected, case: str, batch, dtype, seed: int = 0):
    """Elements of a group with reflections, of which about half are mirrored."""
    random = torch.Generator().manual_seed(seed + 100)
    which = torch.rand(batch, generator=random) < 0.5
    return reflect(group.exp(coordinates(group, case, batch, dtype, seed)), which)


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
