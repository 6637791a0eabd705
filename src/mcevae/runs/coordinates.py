"""The coordinates of poses, in the units that people read."""

from collections.abc import Sequence
from dataclasses import dataclass

from mcevae.geometry.groups import MatrixGroup
from mcevae.runs.infer import human


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A coordinate of the pose: name, the unit that people read, and its support.

    `factor` converts to this unit from the unit of the group.
    """

    name: str
    unit: str
    half_width: float
    factor: float


def coordinates_of(
    group: MatrixGroup, support: Sequence[float], shape: tuple[int, int, int]
) -> tuple[Coordinate, ...]:
    """The coordinates of a group's poses.

    Args:
        group: of the poses.
        support: half-widths of its parameters, in its own units.
        shape: (C, H, W) of the images.
    """
    units = [human(unit, shape) for unit in group.units]
    return tuple(
        Coordinate(name=name, unit=unit, half_width=width * factor, factor=factor)
        for name, (unit, factor), width in zip(group.coordinates, units, support, strict=True)
    )
