"""Whether images are moved in ways that the settings of a run do not allow. No label is read."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.teaching.handedness import CLEARER, NEIGHBOURS
from mcevae.teaching.rings import most_alike, turns


def beyond_reach(rings: Float[Tensor, "n c rings angles"], reach: float) -> float:
    """Share of the most similar pairs of images that lie further apart than the support allows.

    A pair counts if it fits much better beyond the reach: at half of the squared distance.

    Args:
        rings: images on rings, of norm one.
        reach: how far two images of the support can be turned from each other, radians.
    """
    n = len(rings)
    if reach >= math.pi or n < 2:
        return 0.0
    count = min(NEIGHBOURS, n - 1)
    nearest = most_alike(rings, count).flatten()
    own = torch.arange(n, device=rings.device).repeat_interleave(count)
    anyhow, within = (
        1 - turns(rings[own], rings[nearest], limit, False).likeness for limit in (math.pi, reach)
    )
    return (within > CLEARER * anyhow).float().mean().item()
