"""Shifts of new images: the centroid of what they show, and of what their frame cuts off.

The network was taught with the centroids of images that show all of their content, and comes close
to them. Those of the others are known once the model has drawn what is cut off.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import EXPLAINED, at_border, completed, noise_level
from mcevae.geometry.warp import warp

LOUD = 6.0
"""Noise may be, in all pixels together, so many times as much as what is brighter than noise."""
WORSE = 1.25
"""Shifts stay as they were if others make the squared error of the drawing larger than this many
times: the middle of what is drawn need not be its centroid."""

Explained = tuple[Tensor, Normal, Tensor, Tensor, Tensor]
"""Poses, posterior of the variation, the variation, canonical images, and these moved by the poses:
what the model draws."""


def centred(
    x: Float[Tensor, "B C H W"],
    canonical: Float[Tensor, "B C H W"],
    drawn: Float[Tensor, "B C H W"],
    element: Float[Tensor, "B 3 3"],
    group: MatrixGroup,
    background: float,
) -> Float[Tensor, "B 3 3"]:
    """Shift poses so that the centroid of the whole content is where the pose puts it.

    Intensities that noise may have do not count. Images with much noise, and those that show at
    their border what is not drawn, keep their shift.

    Args:
        x: images with values from 0 to 1.
        canonical: their canonical images.
        drawn: these, moved by the poses.
        element: their poses.
        group: of the poses.
        background: value of empty pixels.
    """
    left = (x - drawn).abs()
    noise = noise_level(left)
    x, canonical, left = (
        (each - noise).clamp_min(0)
        for each in ((x - background).abs(), (canonical - background).abs(), left)
    )
    total = x.sum((1, 2, 3))
    right = (at_border(left) <= EXPLAINED * total) & (
        noise.flatten() * x[0].numel() <= LOUD * total
    )
    shown = warp(torch.ones_like(x[:, :1]), group.inverse(element))
    middle = completed(x, canonical * (1 - shown), element)
    shift = torch.where(right[:, None], middle, element[:, :2, 2])
    return torch.cat([torch.cat([element[:, :2, :2], shift[..., None]], 2), element[:, 2:]], 1)


def either_of(new: Bool[Tensor, " B"], one: Explained, other: Explained) -> Explained:
    """Take the first of two explanations of some images, and the second of the others."""

    def either(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(new.view(-1, *[1] * (a.dim() - 1)), a, b)

    (element, q, *rest), (element2, q2, *rest2) = one, other
    # Validation would wait for the device.
    q = Normal(either(q.loc, q2.loc), either(q.scale, q2.scale), validate_args=False)
    z, canonical, drawn = (either(a, b) for a, b in zip(rest, rest2, strict=True))
    return either(element, element2), q, z, canonical, drawn
