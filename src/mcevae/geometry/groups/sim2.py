"""SIM(2): rotations, shifts and scalings."""

from mcevae.geometry.groups.contract import AFFINE
from mcevae.geometry.groups.similarity import Similarity


class SIM2(Similarity):
    """Rotations, shifts and scalings. Coordinates: rotation, shift_x, shift_y, log_scale."""

    name = "sim2"
    coordinates = AFFINE[:4]
