"""Hypotheses about things in a tile, and what is done with them on its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Things:
    """Hypotheses about n things in a tile.

    Attributes:
        corner: (n, 2) row and column of the first pixel of each one's window.
        cluster: (n,) of each.
        chance: (n, K) probability of each cluster, by what explains it best: the model's, or all on
            the cluster of a template.
        z: (n, V) its variation.
        element: (n, 3, 3) its pose in the window.
        drawn: (n, C, H, W) what it adds to the background there.
        amplitude: (n,) of that, in shares of the canonical image.
        gain: (n,) nats that it explains better than the background.
    """

    corner: Int[Tensor, "n 2"]
    cluster: Int[Tensor, " n"]
    chance: Float[Tensor, "n K"]
    z: Float[Tensor, "n V"]
    element: Float[Tensor, "n 3 3"]
    drawn: Float[Tensor, "n C H W"]
    amplitude: Float[Tensor, " n"]
    gain: Float[Tensor, " n"]

    def __len__(self) -> int:
        """Count the things."""
        return len(self.gain)

    def __getitem__(self, rows: Tensor) -> "Things":
        """Some of them."""
        return Things(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence["Things"]) -> "Things":
        """All things of several."""
        names = [one.name for one in fields(cls)]
        return cls(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})

    def replaced(self, rows: Int[Tensor, " m"], others: "Things") -> "Things":
        """The same, but others in some rows."""
        names = [one.name for one in fields(self)]
        made = {name: getattr(self, name).clone() for name in names}
        for name in names:
            made[name][rows] = getattr(others, name)
        return Things(**made)


def windows_of(
    wide: Float[Tensor, "n C h w"], start: Int[Tensor, "n 2"], height: int, width: int
) -> Float[Tensor, "n C H W"]:
    """Cut a window from each of n images; `start` is the column and row of its first pixel."""
    rows = start[:, 1:] + torch.arange(height)
    columns = start[:, :1] + torch.arange(width)
    n = torch.arange(len(wide))
    return wide[n[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def add(frame: Float[Tensor, "C h w"], things: Things, sign: int) -> None:
    """Draw things on a frame (sign 1), or take them off (-1)."""
    height, width = things.drawn.shape[-2:]
    tall, wide = frame.shape[1:]
    for (row, column), drawn in zip(things.corner.tolist(), things.drawn, strict=True):
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + height, tall), min(column + width, wide)
        if top < bottom and left < right:
            own = drawn[:, top - row : bottom - row, left - column : right - column]
            frame[:, top:bottom, left:right] += sign * own


def apart(things: Things, distance: float) -> Things:
    """The best things of which no two are nearer than a distance, pixels."""
    order = things.gain.argsort(descending=True)
    places = things.corner[order].float()
    near = torch.cdist(places, places) < distance
    kept: list[int] = []
    for i in range(len(order)):
        if not near[i, kept].any():
            kept.append(i)
    return things[order[kept]]


def colours(corner: Int[Tensor, "n 2"], size: int) -> tuple[Tensor, list[Tensor]]:
    """Rows of the things that touch no other, and sets of the others of which no two touch.

    Args:
        corner: of each thing, pixels.
        size: of a thing, pixels.
    """
    touch = ((corner[:, None] - corner[None]).abs() < size + 2).all(-1)
    colour = torch.full((len(corner),), -1)
    for i in (touch.sum(1) > 1).nonzero()[:, 0].tolist():
        taken = set(colour[touch[i]].tolist())
        colour[i] = next(c for c in range(len(corner)) if c not in taken)
    sets = [(colour == c).nonzero()[:, 0] for c in colour.unique().tolist() if c >= 0]
    return (colour < 0).nonzero()[:, 0], sets
