"""SE(2): rotations and shifts."""

from mcevae.geometry.groups.contract import AFFINE
from mcevae.geometry.groups.similarity import Similarity


class SE2(Similarity):
    """Rotations and shifts (MCE-VAE, eq. 1). Coordinates: rotation, shift_x, shift_y."""

    name = "se2"
    coordinates = AFFINE[:3]
