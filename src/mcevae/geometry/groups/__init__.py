"""Matrix Lie groups acting on image coordinates, all under one contract.

An element is a plain tensor of shape (..., 3, 3): a homogeneous matrix that acts on points
(x, y, 1), its last row (0, 0, 1). Points have x to the right and y DOWN, their origin at the image
centre, and the image side as unit. Angles are radians, positive from the x axis towards the y axis,
which is clockwise on the screen.

Two coordinate systems, each of T numbers, name an element:

- tangent coordinates `tau`, with M = exp(sum_i tau_i G_i) (MCE-VAE, Bajaj, Roy, Zhang, Section 2);
- `parameters`, which people read: M = translate(shift) . rotate(rotation) . exp(symmetric part).
  The shift is where the image centre lands, the rotation is the polar angle, `log_scale` is half
  the log determinant, `stretch` and `shear` are the traceless part of the symmetric logarithm.

`Reflected` adds mirror images to a group. `mirrored` tells which elements have one, and both
coordinate systems name the rest of the element.

Every function keeps the device and dtype of its tensors; half precision is widened to float32, and
autocast is switched off inside.

>>> import torch
>>> se2 = get_group("se2")
>>> quarter_turn = se2.exp(torch.tensor([torch.pi / 2, 0.0, 0.0]))
>>> right = torch.tensor([[0.5, 0.0]])
>>> torch.round(100 * se2.act(quarter_turn, right)).int()  # in hundredths: now below
tensor([[ 0, 50]], dtype=torch.int32)
"""

from mcevae.geometry.groups.aff2 import Aff2
from mcevae.geometry.groups.angles import WHOLE_CIRCLE, within, wrapped
from mcevae.geometry.groups.contract import AFFINE, COORDINATES, MatrixGroup
from mcevae.geometry.groups.generators import GeneratorGroup
from mcevae.geometry.groups.precision import full_precision
from mcevae.geometry.groups.reflected import MIRROR, Reflected, mirrored, proper_part, reflect
from mcevae.geometry.groups.se2 import SE2
from mcevae.geometry.groups.sim2 import SIM2
from mcevae.geometry.groups.so2 import SO2

__all__ = [
    "AFFINE",
    "COORDINATES",
    "GROUPS",
    "MIRROR",
    "SE2",
    "SIM2",
    "SO2",
    "WHOLE_CIRCLE",
    "Aff2",
    "GeneratorGroup",
    "MatrixGroup",
    "Reflected",
    "full_precision",
    "get_group",
    "mirrored",
    "proper_part",
    "reflect",
    "within",
    "wrapped",
]

GROUPS = {group.name: group for group in (SO2, SE2, SIM2, Aff2)}


def get_group(name: str, *, mirror: bool = False) -> MatrixGroup:
    """Return the group with the name "so2", "se2", "sim2" or "aff2".

    Args:
        name: name of the group.
        mirror: whether to add reflections: O(2) for "so2", E(2) for "se2".

    Raises:
        ValueError: there is no group with this name.
    """
    if name not in GROUPS:
        raise ValueError(f"There is no group {name!r}; choose one of {', '.join(GROUPS)}.")
    group = GROUPS[name]()
    return Reflected(group) if mirror else group
