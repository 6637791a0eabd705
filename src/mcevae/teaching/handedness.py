"""Whether mirror images occur among images, decided from the invariant graph.

The nearest neighbours of an image are found over all turns of it and of its mirror image. A pair of
neighbours tells something if one of the two fits much better than the other, also compared with how
much they differ for images that have nothing to do with each other: then what they show is not its
own mirror image. If mirror images occur, each of the two is the better one about equally
often among such pairs. If they do not, it is nearly always the image as it is. Pairs in which both
fit alike show things that look like their own mirror image, or little at all: for them a mirror
image makes no difference, so they do not count.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.images.arrays import require
from mcevae.teaching.rings import Track, most_alike, turned, turns

NEIGHBOURS = 5
"""Neighbours of each image that are looked at."""
CLEARER = 2.0
"""A pair tells something if the worse of the two fits is this much farther, in squared distance."""
BY_CHANCE = 0.9
"""And if the two differ more than in this share of random pairs, which have no such relation."""
LEAST = 0.01
"""And by at least this much, where 1 is an image without any likeness: sampling alone differs."""
ENOUGH = 0.1
"""Fewer telling pairs than this share of all pairs say nothing."""
MIRRORED = 0.35
"""Mirror images occur if they fit better in more than this share of the telling pairs."""


@dataclass(frozen=True, kw_only=True)
class Handedness:
    """How neighbours are related by mirror images.

    Attributes:
        telling: share of pairs of neighbours that tell the two apart, 0 to 1.
        mirrored: share of the mirror image among these, 0 to 1; 0 if there are none.
    """

    telling: float
    mirrored: float

    @property
    def occurs(self) -> bool:
        """Whether mirror images occur."""
        return self.telling >= ENOUGH and self.mirrored > MIRRORED

    def in_words(self) -> str:
        """Say what was found, and why, in one line."""
        if self.telling < ENOUGH:
            return (
                f"Mirror images: no. Only {self.telling:.0%} of the pairs of neighbours differ "
                "from their mirror images, so that these make no difference."
            )
        better = f"the mirror image fits better in {self.mirrored:.0%}"
        return (
            f"Mirror images: {'yes' if self.occurs else 'no'}. Of the pairs of neighbours that "
            f"tell ({self.telling:.0%}), {better} (about 50 % if they occur, few if not)."
        )


def handedness(
    rings: Float[Tensor, "n c rings angles"],
    *,
    reach: float = math.pi,
    seed: int = 0,
    track: Track = iter,
) -> Handedness:
    """Find out whether mirror images occur among images. No label is read.

    Args:
        rings: images on rings, of norm one.
        reach: how far two images may be turned from each other, radians.
        seed: seed of the random pairs.
        track: wraps the list of parts, to show progress.

    Raises:
        UserError: there is only one image.
    """
    n = len(rings)
    require(n > 1, "1 image is too few to look for mirror images; give more.")
    count = min(NEIGHBOURS, n - 1)
    nearest = most_alike(rings, count, reach=reach, mirror=True, track=track).flatten()
    own = torch.arange(n, device=rings.device).repeat_interleave(count)
    upright = rings.new_zeros(n)
    flipped = turned(rings, upright, torch.ones(n, dtype=torch.bool, device=rings.device))

    def apart(other: Int[Tensor, " pairs"]) -> list[Float[Tensor, " pairs"]]:
        """Half the squared distances of each image, and of its mirror image, from another."""
        second = rings[other]
        return [1 - turns(each[own], second, reach, False).likeness for each in (rings, flipped)]

    generator = torch.Generator().manual_seed(seed)
    chance, mirrored = apart(torch.randint(n, own.shape, generator=generator).to(rings.device))
    differ = (chance - mirrored).abs().quantile(BY_CHANCE).clamp_min(LEAST)
    plain, mirrored = apart(nearest)
    better, worse = torch.minimum(plain, mirrored), torch.maximum(plain, mirrored)
    telling = (worse > CLEARER * better) & (worse - better > differ)
    share = telling.float().mean().item()
    by_mirror = (mirrored < plain)[telling].float()
    return Handedness(telling=share, mirrored=by_mirror.mean().item() if len(by_mirror) else 0.0)
