"""How far images show something: the rings of the invariant graph need not reach farther.

A small thing in a large frame leaves most rings empty, and the few that it has are too coarse to
tell it from others.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import moments
from mcevae.images.arrays import shrink, to_float
from mcevae.teaching.rings import polar

LONGEST = 48
"""Pixels of the longer side, at most; a neighbour needs no finer detail."""
SAMPLE = 500
"""Images that are looked at."""
HELD = 0.99
"""Share of what an image shows, as squared differences from the background, that lies inside its
outermost ring."""
MOST = 0.95
"""Share of the images for which this holds."""
LEAST, WIDE = 0.25, 0.9
"""Extents are at least this; one above the other is as good as 1, the whole frame."""
RINGS, ANGLES = 64, 48
"""On which images are looked at."""


def frame_of(
    intensities: Float[Tensor, "b c h w"], group: MatrixGroup
) -> tuple[Float[Tensor, "b rest"], Float[Tensor, "b 2"], Float[Tensor, " b"]]:
    """Where the content of images is, and how large, as far as the group moves it.

    Args:
        intensities: at least 0: differences of images from their background.
        group: of the poses.

    Returns:
        Parameters of the pose other than the rotation, from moments; of these the middle, and the
        scale.
    """
    rest = moments(intensities, group)
    names = group.coordinates[1:] if group.polar else ()  # moments know no other groups
    named = dict(zip(names, rest.unbind(1), strict=False))
    nothing = rest.new_zeros(len(rest))
    middle = torch.stack([named.get(f"shift_{axis}", nothing) for axis in "xy"], 1)
    return rest, middle, named.get("log_scale", nothing).exp()


def extent_of(pixels: UInt8[Tensor, "n c h w"], group: MatrixGroup, background: float) -> float:
    """Find how far most images show something, about their middles and relative to their scales.

    Noise and uneven backgrounds fill the frame, so that they give 1.

    Args:
        pixels: the images.
        group: of the poses.
        background: of all images, from 0 to 1.

    Returns:
        Diameter of the outermost ring that is needed, in image sides: 0.25 to 1.
    """
    some = pixels[:: max(1, len(pixels) // SAMPLE)][:SAMPLE]
    differences = shrink(to_float(some), LONGEST) - background
    _, middle, scale = frame_of(differences.abs(), group)
    farther = 2**0.5 * scale  # rings that reach to the corners
    rings = polar(differences, middle, farther, RINGS, ANGLES)
    inside = rings.square().sum((1, 3)).cumsum(1)
    inside = inside[inside[:, -1] > 0]  # blank images need no rings
    if not len(inside):
        return LEAST
    needed = (inside < HELD * inside[:, -1:]).sum(1) + 1
    extent = float(needed.float().quantile(MOST)) * 2**0.5 / RINGS
    return max(LEAST, extent) if extent < WIDE else 1.0
