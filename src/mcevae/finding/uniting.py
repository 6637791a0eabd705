"""One thing that was taken for two: pairs are explained anew as one, if that is nearly as good."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.finding.things import Things, add

CLOSE = 0.65
"""Pairs that are nearer than this, in image sides, may be one thing."""
ALMOST = 0.8
"""One thing is preferred to two if it explains this share of what they do."""
Tell = Callable[[Tensor, Tensor, int], Things]


def united(things: Things, rest: Float[Tensor, "C h w"], noise: float, tell: Tell) -> Things:
    """Replace pairs of things by one where that is nearly as good. It changes `rest`.

    Args:
        things: of a tile.
        rest: what is left over of it.
        noise: variance of a pixel.
        tell: the best explanation of windows of a tile with a margin, see `Explainer.told`.
    """
    size = max(things.drawn.shape[-2:])
    for first, second in pairs(things, CLOSE * size):
        pair = things[torch.tensor([first, second])]
        both = pair.gain.sum() + overlap(pair) / noise
        add(rest, pair, 1)
        middle = (pair.gain[:, None] * pair.corner).sum(0, keepdim=True) / pair.gain.sum()
        corner = middle.round().long()
        margin = int((pair.corner - corner).abs().max()) + 1
        one = tell(rest, corner, margin)
        better = one.gain[0] > ALMOST * both
        add(rest, one if better else pair, -1)
        if better:
            left = torch.ones(len(things), dtype=torch.bool)
            left[[first, second]] = False
            return united(Things.joined([things[left], one]), rest, noise, tell)
    return things


def pairs(things: Things, distance: float) -> list[list[int]]:
    """Pairs of things that are nearer than a distance, pixels."""
    places = things.corner.float()
    near = (torch.cdist(places, places) < distance).triu(1)
    return near.nonzero().tolist()


def overlap(pair: Things) -> Float[Tensor, ""]:
    """Inner product of what two things draw on a tile."""
    height, width = pair.drawn.shape[-2:]
    (top, left), (down, right) = pair.corner.amin(0).tolist(), pair.corner.amax(0).tolist()
    canvas = torch.zeros(2, pair.drawn.shape[1], down - top + height, right - left + width)
    for one, own in zip(canvas, range(2), strict=True):
        moved = pair[torch.tensor([own])]
        shifted = Things(**{**vars(moved), "corner": moved.corner - torch.tensor([top, left])})
        add(one, shifted, 1)
    return (canvas[0] * canvas[1]).sum()
