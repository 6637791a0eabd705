"""Things at places that are known: their poses, and what they draw on a frame."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.finding.finder import MARGIN, Finder
from mcevae.finding.frames import Large, Scale
from mcevae.finding.things import Things, add, colours
from mcevae.finding.tiles import Tile

NEAR = 0.2
"""How far a thing may lie from the place that a person points at, in its sizes."""
EXACT = 2
"""The same for places of a table, pixels of the model."""
SWEEPS = 2
"""Times that things which touch are drawn anew while the others are taken off."""
Places = Float[Tensor, "n 2"]
"""x and y, pixels of the frame."""


class Placer:
    """Tells of things whose places in a frame are known."""

    def __init__(self, finder: Finder) -> None:
        self.finder, self.explainer = finder, finder.explainer
        self.drawn = torch.bincount(
            self.explainer.templates.cluster, minlength=len(self.explainer.templates.energy)
        ).bool()
        """Which clusters have templates."""

    def placed(
        self,
        frame: Large,
        scale: Scale,
        at: tuple[float, float],
        only: Bool[Tensor, " K"],
        others: Places,
        clusters: Int[Tensor, " n"],
    ) -> dict[str, Any]:
        """The row of a thing at a place, as `Finder.rows` has it, with the pose that suits it best.

        Args:
            frame: the frame.
            scale: of its numbers.
            at: x and y, pixels of the frame. The thing may lie a fifth of its size from there.
            only: clusters that it may be of.
            others: places of the other things around, which are taken off first.
            clusters: of these; -1: unknown.

        Raises:
            Unreadable: the frame cannot be read.
        """
        size = self.finder.size
        tile = self.around(frame, (at[1], at[1]), (at[0], at[0]), MARGIN * size)
        near = (others - torch.tensor(at)).abs().amax(1) < 2 * size
        rest, noise, contrast = self.rest_in(frame, scale, tile, others[near], clusters[near])
        corner = self.corners(torch.tensor([at]), tile)
        margin = math.ceil(NEAR * max(self.explainer.shape))
        only = self.with_templates(only[None])
        found = self.explainer.told(rest, corner, margin, noise, contrast, only)
        place = self.finder.places_in(found, tile, rest.shape[1:])
        table = self.finder.rows(frame, found, place, torch.zeros(1))
        return table.to_pylist()[0]

    def rest_in(
        self,
        frame: Large,
        scale: Scale,
        tile: Tile,
        places: Places,
        clusters: Int[Tensor, " n"],
    ) -> tuple[Float[Tensor, "C h w"], float, float]:
        """What is left over of a tile without its background and things; noise; contrast.

        Args:
            frame, scale: as for `placed`.
            tile: of the frame.
            places, clusters: of the things that are taken off; cluster -1: unknown.

        Raises:
            Unreadable: the frame cannot be read.
        """
        rest, noise = self.finder.apart_in(frame, scale, tile)
        noise, contrast = self.finder.levels(rest, noise)
        if not len(places):
            return rest, noise, contrast
        corner = self.corners(places, tile)
        only = clusters[:, None] == torch.arange(len(self.drawn))
        only = self.with_templates(only)
        _, sets = colours(corner, max(self.explainer.shape))

        def told(rows: Tensor) -> Things:
            found = self.explainer.told(rest, corner[rows], EXACT, noise, contrast, only[rows])
            add(rest, found, -1)
            return found

        every = torch.arange(len(corner))
        alone = every[~torch.isin(every, torch.cat([*sets, every[:0]]))]
        told(alone)
        drawn = [told(rows) for rows in sets]
        for _ in range(SWEEPS):
            for i, rows in enumerate(sets):
                add(rest, drawn[i], 1)
                drawn[i] = told(rows)
        return rest, noise, contrast

    def with_templates(self, only: Bool[Tensor, "n K"]) -> Bool[Tensor, "n K"]:
        """The clusters that things may be of; any, where none of them has a template."""
        none = ~(only & self.drawn).any(1, keepdim=True)
        return only | none

    def corners(self, places: Places, tile: Tile) -> Int[Tensor, "n 2"]:
        """Row and column of the windows around places, pixels of the model in a tile."""
        first = torch.tensor([tile.columns[0], tile.rows[0]])
        own = (places - first) * self.finder.ratio
        half = torch.tensor(self.explainer.shape[::-1]) / 2
        return (own - half).round().long().flip(1)

    @staticmethod
    def around(
        frame: Large, rows: tuple[float, float], columns: tuple[float, float], margin: float
    ) -> Tile:
        """The tile of a frame with some rows and columns and a margin around them, in pixels."""
        ends = []
        for (first, last), length in zip((rows, columns), frame.view.shape[:2], strict=True):
            ends.append((max(0, math.floor(first - margin)), min(length, math.ceil(last + margin))))
        return Tile(rows=ends[0], columns=ends[1], own_rows=ends[0], own_columns=ends[1])
