"""Poses as RELION and cryoSPARC write them: an angle and an origin for each particle.

A pose M moves the canonical image to the particle. RELION says the opposite, how the particle is
moved to its class: first by the origin, then turned by psi around the pixel (W // 2, H // 2),

    p' - c = R(psi) (p - c + origin),    R = [[cos, -sin], [sin, cos]],

with p counted in columns and rows of the file, as `relion_stack_create --apply_transformation` does
(`src/apps/stack_create.cpp`, with `rotation2DMatrix` of `src/transformations.cpp`). Rows of MRC
files count from the bottom: there, positive psi is counter-clockwise; on a screen that shows the
first row on top it is clockwise. cryoSPARC keeps the same angle in radians (`alignments2D/pose`)
and the same origin in pixels (`alignments2D/shift`), as pyem's csparc2star.py converts them.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup, reflect
from mcevae.images.placement import Fit, placement


class Alignments(NamedTuple):
    """How particles are moved to their classes.

    Attributes:
        psi: (n,) degrees.
        origin: (n, 2) pixels of the particles, x and y.
        mirrored: (n,) whether the class is a mirror image of the canonical image, left and right
            exchanged; these programs have no pose that says so.
    """

    psi: Float[np.ndarray, " n"]
    origin: Float[np.ndarray, "n 2"]
    mirrored: Bool[np.ndarray, " n"]


def alignments(
    elements: Float[np.ndarray, "n 3 3"], frame: tuple[int, int], shape: tuple[int, int], fit: Fit
) -> Alignments:
    """Alignments of particles of one size. Scale and strain of poses are left out.

    Args:
        elements: poses; lengths are sides of the model's image.
        frame: height and width of the particles, pixels.
        shape: height and width of the model's image.
        fit: how particles are fitted into it.
    """
    height, width = frame
    share = np.diag([1 / width, 1 / height, 1.0])  # from pixels beside the centre
    inside = placement(frame, shape, fit).numpy().astype(np.float64) @ share
    back = np.linalg.inv(inside) @ np.linalg.inv(elements.astype(np.float64)) @ inside
    mirrored = np.linalg.det(back[:, :2, :2]) < 0
    back[mirrored, 0] *= -1
    linear = back[:, :2, :2]
    psi = np.arctan2(linear[:, 1, 0] - linear[:, 0, 1], linear[:, 0, 0] + linear[:, 1, 1])
    # The middle of an even number of pixels lies half a pixel before RELION's.
    middle = np.array([(side - 1) / 2 - side // 2 for side in (width, height)])
    cosine, sine = np.cos(psi), np.sin(psi)
    unturned = np.stack(
        [cosine * middle[0] + sine * middle[1], cosine * middle[1] - sine * middle[0]], -1
    )
    origin = np.linalg.solve(linear, back[:, :2, 2:])[..., 0] + unturned - middle
    return Alignments(np.degrees(psi), origin, mirrored)


def elements_of(rows: pa.Table, group: MatrixGroup) -> Float64[Tensor, "n 3 3"]:
    """Poses, from the columns of a table.

    Args:
        rows: of the table of a prediction.
        group: of the poses.
    """
    coordinates = zip(group.coordinates, group.units, strict=True)
    tau = np.stack([rows[f"tau_{one}_{unit}"].to_numpy() for one, unit in coordinates], -1)
    elements = group.exp(torch.from_numpy(tau).double())
    if group.mirrors:
        elements = reflect(elements, torch.from_numpy(rows["mirrored"].to_numpy()))
    return elements
