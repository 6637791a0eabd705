"""Move every image by a known random pose, so that the poses that a model finds can be scored."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

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
    """Move every image by its own random group element, uniform over the support.

    If the group has reflections, about half of the images are mirrored.

    The same seed gives the same bytes.

    Args:
        images: images to move.
        group: Lie group of the poses.
        support: half-widths, as ``group.support(...)`` returns them.
        seed: seed of the poses.
        background: brightness of what comes in from outside the image, 0 (black) to 1 (white).
    """
    generator = torch.Generator().manual_seed(seed)
    elements = group.sample((len(images),), support, generator=generator)
    return moved_by(images, elements, background=background)


def moved_by(images: Images, elements: Float[Tensor, "n 3 3"], *, background: float = 0.0) -> Posed:
    """Move every image by its own group element.

    Args:
        images: images to move.
        elements: x right, y down, shifts in image sides.
        background: brightness of what comes in from outside the image, 0 (black) to 1 (white).
    """
    moved = torch.empty_like(images.pixels)
    for start in range(0, len(images), POSE_CHUNK):
        chunk = slice(start, start + POSE_CHUNK)
        upright = to_float(images.pixels[chunk])
        moved[chunk] = to_bytes(warp(upright, elements[chunk], background=background))
    return Posed(images=replace(images, pixels=moved), upright=images.pixels, elements=elements)


def pose_seed(seed: int, stream: str) -> int:
    """The seed for the poses of one split, or for a second pose ("again"). All four differ."""
    return 4 * seed + ("train", "validation", "test", "again").index(stream)
