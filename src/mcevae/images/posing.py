"""Posed sets: every image moved by a known random element, so that poses can be scored."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Images, to_bytes, to_float
from mcevae.images.splits import Posed

POSE_CHUNK = 1000  # images moved at once: as floats they take four times the memory


def pose(
    images: Images,
    group: MatrixGroup,
    support: Sequence[float],
    seed: int,
    *,
    background: float = 0.0,
) -> Posed:
    """Move every image by an element of its own, drawn uniformly over the support.

    `support` holds half-widths as ``group.support(...)`` gives them; `background`, 0 (black) to
    1 (white), fills what comes in from outside the frame. The same seed gives the same bytes.
    """
    generator = torch.Generator().manual_seed(seed)
    elements = group.sample((len(images),), support, generator=generator)
    moved = torch.empty_like(images.pixels)
    for start in range(0, len(images), POSE_CHUNK):
        chunk = slice(start, start + POSE_CHUNK)
        upright = to_float(images.pixels[chunk])
        moved[chunk] = to_bytes(warp(upright, elements[chunk], background=background))
    return Posed(images=replace(images, pixels=moved), upright=images.pixels, elements=elements)


def pose_seed(seed: int, stream: str) -> int:
    """Seed of the poses of one split, or of a second pose ("again"): all four differ."""
    return 4 * seed + ("train", "validation", "test", "again").index(stream)
