"""Tiles of a frame that overlap, each thing counted in one of them."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

TILE = 1024
"""Side of what a tile counts, pixels of the model, at most."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A part of a frame, and what of it counts, in pixels: first and one behind the last.

    Attributes:
        rows, columns: that are read.
        own_rows, own_columns: in which the middles of its things lie.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    own_rows: tuple[int, int]
    own_columns: tuple[int, int]


def tiles_of(height: int, width: int, side: float, margin: float) -> Iterator[Tile]:
    """Cover a frame with tiles.

    Args:
        height, width: of the frame, pixels.
        side: of what a tile counts, at most.
        margin: that is read around it.
    """
    down, across = cuts(height, side), cuts(width, side)
    reach = math.ceil(margin)
    for top, bottom in itertools.pairwise(down):
        for left, right in itertools.pairwise(across):
            yield Tile(
                rows=(max(0, top - reach), min(height, bottom + reach)),
                columns=(max(0, left - reach), min(width, right + reach)),
                own_rows=(top, bottom),
                own_columns=(left, right),
            )


def cuts(length: int, side: float) -> list[int]:
    """Where a length is cut into equal parts, from 0 to the length."""
    parts = max(1, math.ceil(length / side))
    return [round(i * length / parts) for i in range(parts + 1)]
