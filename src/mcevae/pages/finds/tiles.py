"""Pictures of frames of any size: tiles at several resolutions, each as large as a page shows it.

At level l a pixel is the mean of 2^l x 2^l pixels of the frame. A tile has `SIDE` pixels a side. At
the last level the whole frame is one tile.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mcevae.finding.finder import MARGIN, Finder
from mcevae.finding.frames import Large, Scale
from mcevae.finding.placing import Placer, Places
from mcevae.finding.tiles import TILE
from mcevae.images.arrays import to_bytes
from mcevae.images.composites import composite
from mcevae.images.readers.axes import LEAST
from mcevae.images.recipe import Recipe
from mcevae.pages.sheets import png

SIDE = 512
AT_ONCE = 2**22
"""Pixels of a frame that are read at a time."""
MOST_READ = 2**28
"""Pixels that are read for a tile, at most; of larger parts of a frame only some rows are read."""
MOST_CACHED = 2**26
"""Bytes of pictures that are kept."""
MOST_THINGS = 400
"""Things that are drawn in the residual of a tile, at most."""
STEPS = 1000
"""Parts of the range of percentiles that black and white can be chosen from."""
Residual = tuple[str, Places, Tensor]
"""What a residual is of: the version of the things, their places, and their clusters, -1: unknown.
"""
K = TypeVar("K")
V = TypeVar("V")


class TooMuch(ValueError):
    """A residual would take too long."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A tile of a level.

    Attributes:
        level: see the head of this file.
        row, column: its place among the tiles of the level.
    """

    level: int
    row: int
    column: int

    def check(self, frame: Large) -> None:
        """Refuse a tile that a frame does not have.

        Raises:
            IndexError: it has none.
        """
        places = zip((self.row, self.column), frame.view.shape, strict=False)
        inside = all(0 <= place < math.ceil(n / (SIDE << self.level)) for place, n in places)
        if not 0 <= self.level < levels_of(frame) or not inside:
            raise IndexError("there is no such tile")

    def rows(self, frame: Large) -> tuple[int, int]:
        """First row of the frame, and one behind the last."""
        return self._ends(self.row, frame.view.shape[0])

    def columns(self, frame: Large) -> tuple[int, int]:
        """First column of the frame, and one behind the last."""
        return self._ends(self.column, frame.view.shape[1])

    def _ends(self, place: int, length: int) -> tuple[int, int]:
        reach = SIDE << self.level
        return place * reach, min(length, (place + 1) * reach)


def levels_of(frame: Large) -> int:
    """How many levels a frame has."""
    return max(1, math.ceil(math.log2(max(frame.view.shape[:2]) / SIDE)) + 1)


def values_of(frame: Large, scale: Scale, window: Window) -> Float[Tensor, "C h w"]:
    """The intensities of a tile.

    Raises:
        Unreadable: it cannot be read.
    """
    (top, bottom), (left, right) = window.rows(frame), window.columns(frame)
    step = 1 << window.level
    wide = right - left
    share = min(1.0, MOST_READ / ((bottom - top) * wide))
    read = min(step, max(LEAST, int(step * share)))  # rows of each block
    band = max(1, AT_ONCE // (wide * step)) * step if read == step else step
    parts = []
    for first in range(top, bottom, band):
        last = min(bottom, first + (band if read == step else read))
        some = cut(frame, scale, (first, last), (left, right))
        size = (min(step, read), step)
        parts.append(F.avg_pool2d(some, size, ceil_mode=True, count_include_pad=False))
    return torch.cat(parts, 1)


def cut(
    frame: Large, scale: Scale, rows: tuple[int, int], columns: tuple[int, int]
) -> Float[Tensor, "C h w"]:
    """A window of a frame, which may be smaller than any image that can be used."""
    begins = [
        max(0, min(first, last - LEAST)) for first, last in (rows, columns)
    ]  # more is read, and cut off
    ends = [
        min(length, max(last, begin + LEAST))
        for (_, last), begin, length in zip((rows, columns), begins, frame.view.shape, strict=False)
    ]
    read = scale(frame, *(slice(*pair) for pair in zip(begins, ends, strict=True)))
    return read[:, rows[0] - begins[0] :, columns[0] - begins[1] :][
        :, : rows[1] - rows[0], : columns[1] - columns[0]
    ]


@dataclass(kw_only=True)
class Tiles:
    """Makes tiles of frames, and keeps those that were made last.

    Attributes:
        recipe: how intensities are read.
        colours: of channels, as for `composite`.
        finder: makes what the residual needs, when it is needed.
    """

    recipe: Recipe
    colours: tuple[str, ...]
    finder: Callable[[], Finder]
    _kept: OrderedDict[tuple, bytes] = field(init=False, default_factory=OrderedDict)
    _scales: OrderedDict[int, Scale] = field(init=False, default_factory=OrderedDict)
    _ranges: OrderedDict[tuple[int, int], np.ndarray] = field(
        init=False, default_factory=OrderedDict
    )

    def scale(self, index: int, frame: Large) -> Scale:
        """The scale of a frame's numbers."""
        return remembered(self._scales, index, lambda: Scale.of(frame, self.recipe))

    def range_of(self, index: int, frame: Large, level: int) -> np.ndarray:
        """Percentiles of the values of a level, `STEPS` + 1 of them, from the lowest.

        They are those of the whole frame at the last level, and of the middle tile at this one,
        since means of many pixels vary less.
        """

        def measured() -> np.ndarray:
            scale, last = self.scale(index, frame), levels_of(frame) - 1
            reach = SIDE << level
            middle = Window(
                level=level,
                row=frame.view.shape[0] // 2 // reach,
                column=frame.view.shape[1] // 2 // reach,
            )
            whole = Window(level=last, row=0, column=0)
            seen = [values_of(frame, scale, one).flatten().numpy() for one in {middle: 0, whole: 0}]
            return np.quantile(np.concatenate(seen), np.linspace(0, 1, STEPS + 1))

        return remembered(self._ranges, (index, level), measured)

    def png(
        self,
        index: int,
        frame: Large,
        window: Window,
        ends: tuple[int, int],
        residual: Residual | None = None,
    ) -> bytes:
        """A tile as PNG.

        Args:
            index: number of the frame in its album.
            frame: the frame.
            window: which tile.
            ends: percentiles that are black and white, of `STEPS`.
            residual: see `Residual`. None: the picture itself.

        Raises:
            IndexError: there is no such tile.
            ValueError: there are no such percentiles, or too much would have to be drawn.
            Unreadable: the frame cannot be read.
            UserError: the finder cannot be made.
        """
        if not 0 <= ends[0] < ends[1] <= STEPS:
            raise ValueError(f"black and white are percentiles of {STEPS}, black below white")
        window.check(frame)
        key = (index, window, ends, residual and residual[0])
        if key not in self._kept:
            known = self.range_of(index, frame, window.level)
            black, white = known[ends[0]], known[ends[1]]
            wide = max(white - black, 1e-6)
            if residual is None:
                seen = (values_of(frame, self.scale(index, frame), window) - black) / wide
                seen = composite(seen.clamp(0, 1)[None].float(), self.colours)[0]
            else:
                seen = self.residual(index, frame, window, *residual[1:]) / wide + 0.5
                seen = seen.mean(0, keepdim=True) if self.colours else seen
            self._kept[key] = png(to_bytes(seen.clamp(0, 1).float()))
            while sum(map(len, self._kept.values())) > MOST_CACHED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def residual_levels(self, frame: Large) -> int:
        """How many levels have residuals: those whose tiles the finder takes at once."""
        finder = self.finder()
        return sum((SIDE << i) * finder.ratio <= TILE for i in range(levels_of(frame)))

    def residual(
        self, index: int, frame: Large, window: Window, places: Places, clusters: Tensor
    ) -> Float[Tensor, "C h w"]:
        """What is left over of a tile without its background and things.

        Raises:
            TooMuch: the tile is too large, or has too many things.
        """
        if window.level >= self.residual_levels(frame):
            raise TooMuch("zoom in to see the residual; it takes too long for so large a part")
        finder = self.finder()
        placer = Placer(finder)
        rows, columns = window.rows(frame), window.columns(frame)
        margin = MARGIN * finder.size
        tile = placer.around(frame, rows, columns, margin)
        x, y = places.T
        near = (x > tile.columns[0]) & (x < tile.columns[1])
        near &= (y > tile.rows[0]) & (y < tile.rows[1])
        if int(near.sum()) > MOST_THINGS:
            raise TooMuch(f"zoom in to see the residual; here are more than {MOST_THINGS} things")
        scale = self.scale(index, frame)
        rest, _, _ = placer.rest_in(frame, scale, tile, places[near], clusters[near])
        size = [last - first for first, last in (tile.rows, tile.columns)]
        step = 1 << window.level
        if list(rest.shape[1:]) != size:
            rest = F.interpolate(rest[None], size=size, mode="bilinear", antialias=True)[0]
        own = rest[
            :,
            rows[0] - tile.rows[0] : rows[1] - tile.rows[0],
            columns[0] - tile.columns[0] : columns[1] - tile.columns[0],
        ]
        return F.avg_pool2d(own, step, ceil_mode=True, count_include_pad=False)


def remembered(kept: OrderedDict[K, V], key: K, make: Callable[[], V], most: int = 64) -> V:
    """A value that was made before, or is made now and kept."""
    if key not in kept:
        kept[key] = make()
        while len(kept) > most:
            kept.popitem(last=False)
    kept.move_to_end(key)
    return kept[key]
