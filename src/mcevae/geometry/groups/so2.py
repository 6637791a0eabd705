"""SO(2): rotations about the image centre."""

from mcevae.geometry.groups.contract import AFFINE
from mcevae.geometry.groups.similarity import Similarity


class SO2(Similarity):
    """Rotations about the image centre. Coordinates: rotation."""

    name = "so2"
    coordinates = AFFINE[:1]
