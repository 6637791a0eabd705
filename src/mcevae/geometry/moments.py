"""Position and size of an image's content, from the moments of its intensities.

Where the frame cuts content off, the model draws what lies outside: `completed`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import side

RADIUS = 0.22
"""Radius (root mean square distance from the centroid, in image sides) that counts as scale 1."""
BORDER, EXPLAINED = 0.005, 0.02
"""An image shows its whole content if its outermost pixels have at most the first share of its
intensity, and a model draws its border if it leaves there at most the second share of it."""


def places(x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Positions of columns (W,) and rows (H, 1), in image sides from the centre."""
    height, width = x.shape[-2:]
    across, down = (torch.arange(n, device=x.device) + 0.5 - n / 2 for n in (width, height))
    return across / side(height, width), down[:, None] / side(height, width)


def centroid(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2"]:
    """Mean position of intensities >= 0: x right and y down, in image sides from the centre.

    For a black image it is the centre.
    """
    mass = x.sum(1)
    moments = [(mass * place).sum((1, 2)) for place in places(x)]
    return torch.stack(moments, dim=1) / mass.sum((1, 2)).clamp_min(1e-6)[:, None]


def radius(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Root mean square distance of intensities >= 0 from their centroid, in image sides.

    For a black image it is `RADIUS`.
    """
    mass, middle = x.sum(1), centroid(x)[:, :, None, None]
    across, down = places(x)
    square = (across - middle[:, 0]) ** 2 + (down - middle[:, 1]) ** 2  # (B, H, W)
    total = mass.sum((1, 2))
    spread = ((mass * square).sum((1, 2)) / total.clamp_min(1e-6)).sqrt()
    return torch.where(total > 1e-6, spread.clamp_min(1e-3), RADIUS)


def moments(x: Float[Tensor, "b c h w"], group: MatrixGroup) -> Float[Tensor, "b rest"]:
    """First guess of all parameters of a group's element except the rotation, (B, rest).

    The shift comes from the centroid, the scale from the radius. Stretch and shear are 0, because
    moments cannot tell them from the shape of the content. The coordinates of a group that is given
    by generators are 0 too.

    Args:
        x: intensities >= 0: differences of an image from its background.
        group: of the poses.
    """
    if not group.polar:
        return x.new_zeros(x.shape[0], group.dim)
    found = [centroid(x)] if "shift_x" in group.coordinates else []
    if "log_scale" in group.coordinates:
        found.append((radius(x) / RADIUS).log()[:, None])
    known = torch.cat(found, 1) if found else x.new_zeros(x.shape[0], 0)
    return F.pad(known, (0, group.dim - 1 - known.shape[1]))


def at_border(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Sum over the outermost pixels."""
    frame = F.pad(torch.zeros_like(x[:, :, 1:-1, 1:-1]), (1, 1, 1, 1), value=1.0)
    return (x * frame).sum((1, 2, 3))


def whole(x: Float[Tensor, "b c h w"]) -> Bool[Tensor, " b"]:
    """Which images have nearly no intensity at their border, so that their moments are right."""
    return at_border(x) <= BORDER * x.sum((1, 2, 3))


def noise_level(left: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 1 1"]:
    """How much noise may leave in a pixel: three times the third quartile of the outermost ones.

    Noise below an empty background is cut off at 0, so a half of them may have none.

    Args:
        left: differences >= 0 of images from what a model draws.
    """
    ends = torch.cat([left[:, :, 0], left[:, :, -1], left[..., 0], left[..., -1]], -1).flatten(1)
    return 3 * ends.topk(ends.shape[1] // 4).values[:, -1, None, None, None]


def completed(
    x: Float[Tensor, "b c h w"],
    unseen: Float[Tensor, "b c h w"],
    element: Float[Tensor, "b 3 3"],
) -> Float[Tensor, "b 2"]:
    """Centroids of images together with what lies outside their frames.

    Args:
        x: intensities >= 0: differences of images from their background.
        unseen: the same of those parts of their canonical images that they do not show.
        element: poses, which move canonical images to where the images show them.
    """
    across, down = places(x)
    place = torch.stack(torch.broadcast_tensors(across, down, torch.ones_like(across)))
    moved = torch.einsum("brk,khw->brhw", element[:, :2], place)
    (a, b), (c, d) = element[:, 0, :2].T, element[:, 1, :2].T
    outside = (a * d - b * c).abs()[:, None, None] * unseen.sum(1)  # as large as the image has it
    shown, hidden = x.sum((1, 2, 3))[:, None], outside.sum((1, 2))[:, None]
    total = shown * centroid(x) + (outside[:, None] * moved).sum((2, 3))
    return total / (shown + hidden).clamp_min(1e-6)
