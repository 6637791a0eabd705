"""The coordinates of poses, in the units that people read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import side
from mcevae.images.arrays import Images
from mcevae.images.placement import Fit, in_pixels, in_sides, ratios

SHIFTS = ("shift_x", "shift_y")
PIXELS = "px"


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A coordinate of the pose: name, the unit that people read, and its support.

    `factor` converts to this unit from the unit of the group.
    """

    name: str
    unit: str
    half_width: float
    factor: float


def human(unit: str, shape: tuple[int, int, int]) -> tuple[str, float]:
    """The unit in which people read a coordinate, and the factor that converts to it.

    Args:
        unit: of the coordinate, as `MatrixGroup.units` has it.
        shape: (C, H, W) of the images whose pixels are meant.
    """
    return {"rad": ("deg", 180 / np.pi), "side": (PIXELS, float(side(*shape[1:])))}.get(
        unit, (unit, 1.0)
    )


def coordinates_of(
    group: MatrixGroup, support: Sequence[float], shape: tuple[int, int, int]
) -> tuple[Coordinate, ...]:
    """The coordinates of a group's poses, with shifts in pixels of the images of the model.

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


@dataclass(frozen=True, kw_only=True)
class Originals:
    """Images as they lie in their files, in whose pixels people read shifts.

    Attributes:
        shape: (C, H, W) of the images that the model takes.
        fit: how the originals are fitted into them, see `Recipe`.
        sizes: (n, 2) height and width of each original. None: those of the model's images.
    """

    shape: tuple[int, int, int]
    fit: Fit
    sizes: Int[np.ndarray, "n 2"] | None

    @classmethod
    def of(cls, parts: Sequence[Images], shape: tuple[int, int, int], fit: Fit) -> "Originals":
        """The originals of images that may be in several parts."""
        sizes = [
            np.tile(shape[1:], (len(one), 1)) if one.sizes is None else one.sizes for one in parts
        ]
        return cls(shape=shape, fit=fit, sizes=np.concatenate(sizes))

    def taken(self, keep: Int[np.ndarray, " m"]) -> "Originals":
        """Some of them, by their numbers."""
        return replace(self, sizes=None if self.sizes is None else self.sizes[keep])

    @property
    def differ(self) -> bool:
        """Whether they differ in size."""
        return self.sizes is not None and len(np.unique(self.sizes, axis=0)) > 1

    def read(
        self, parameters: Float[Tensor, "n T"], group: MatrixGroup
    ) -> Float32[np.ndarray, "n T"]:
        """Poses in degrees, pixels and so on. A shift says where the image's middle lands.

        Both are counted from the middle of the original. Pixels of a coordinate of your own are
        those of the original's longer side.

        Args:
            parameters: of poses in images of the model, as `MatrixGroup.to_parameters` gives them.
            group: of the poses.
        """
        found = parameters.numpy().astype(np.float64)
        values = found * self._factors(group)
        if (both := self._shifts(group)) is not None and self.sizes is not None:
            values[:, both] = in_pixels(found[:, both], self.sizes, self.shape[1:], self.fit)
        return values.astype(np.float32)

    def written(
        self, values: Float[np.ndarray, "n T"], group: MatrixGroup
    ) -> Float32[np.ndarray, "n T"]:
        """Parameters of poses that people gave in degrees, pixels and so on: inverse of `read`."""
        found = values / self._factors(group)
        if (both := self._shifts(group)) is not None and self.sizes is not None:
            found[:, both] = in_sides(values[:, both], self.sizes, self.shape[1:], self.fit)
        return found.astype(np.float32)

    def _factors(self, group: MatrixGroup) -> Float[np.ndarray, "m T"]:
        """By what parameters are multiplied; m is 1 if it is the same for all images."""
        factors = np.array([[human(unit, self.shape)[1] for unit in group.units]])
        if self.sizes is None:
            return factors
        larger = 1 / ratios(self.sizes, self.shape[1:], self.fit)[:, None]
        return np.where([unit == "side" for unit in group.units], factors * larger, factors)

    @staticmethod
    def _shifts(group: MatrixGroup) -> list[int] | None:
        """Places of the coordinates that say where the middle lands. None: there are none."""
        known = {*SHIFTS} <= {*group.coordinates}
        return [group.coordinates.index(one) for one in SHIFTS] if known else None

    def widest(self, coordinates: Sequence[Coordinate]) -> tuple[Coordinate, ...]:
        """Coordinates of the model's images, with the support that the largest original has."""
        if self.sizes is None or not len(self.sizes):
            return tuple(coordinates)
        larger = float((1 / ratios(self.sizes, self.shape[1:], self.fit)).max())
        return tuple(
            replace(one, half_width=one.half_width * larger) if one.unit == PIXELS else one
            for one in coordinates
        )
