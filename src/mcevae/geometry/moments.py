"""Where an image's content lies and how large it is, read from the moments of its intensities."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import side

RADIUS = 0.22
"""Root mean square distance from the centroid, in image sides, that counts as scale 1."""
BORDER = 0.005
"""Share of an image's intensity that its outermost pixels may hold if nothing is cut off."""


def places(x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Where the columns (W,) and the rows (H, 1) of images lie, in sides from the centre."""
    height, width = x.shape[-2:]
    across, down = (torch.arange(n, device=x.device) + 0.5 - n / 2 for n in (width, height))
    return across / side(height, width), down[:, None] / side(height, width)


def centroid(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 2"]:
    """Return the mean position (x right, y down) of intensities >= 0, in sides from the centre.

    That of an image which is black throughout is the centre.
    """
    mass = x.sum(1)
    moments = [(mass * place).sum((1, 2)) for place in places(x)]
    return torch.stack(moments, dim=1) / mass.sum((1, 2)).clamp_min(1e-6)[:, None]


def radius(x: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Root mean square distance of intensities >= 0 from their centroid, in image sides.

    That of an image which is black throughout is `RADIUS`.
    """
    mass, middle = x.sum(1), centroid(x)[:, :, None, None]
    across, down = places(x)
    square = (across - middle[:, 0]) ** 2 + (down - middle[:, 1]) ** 2  # (B, H, W)
    total = mass.sum((1, 2))
    spread = ((mass * square).sum((1, 2)) / total.clamp_min(1e-6)).sqrt()
    return torch.where(total > 1e-6, spread.clamp_min(1e-3), RADIUS)


def moments(x: Float[Tensor, "b c h w"], group: MatrixGroup) -> Float[Tensor, "b rest"]:
    """First guess of a group's parameters other than the rotation, (B, T - 1).

    The shift is the centroid's, the logarithm of the scale that of the radius; stretch and shear
    are 0, since what moments say of them is the content's own shape.

    Args:
        x: intensities >= 0; how far an image is from its background.
        group: so2, se2, sim2 or aff2.
    """
    found = [centroid(x)] if "shift_x" in group.coordinates else []
    if "log_scale" in group.coordinates:
        found.append((radius(x) / RADIUS).log()[:, None])
    known = torch.cat(found, 1) if found else x.new_zeros(x.shape[0], 0)
    return F.pad(known, (0, group.dim - 1 - known.shape[1]))


def whole(x: Float[Tensor, "b c h w"]) -> Bool[Tensor, " b"]:
    """Whether intensities >= 0 keep off the border, so that their moments can be trusted."""
    frame = F.pad(torch.zeros_like(x[:, :, 1:-1, 1:-1]), (1, 1, 1, 1), value=1.0)
    return (x * frame).sum((1, 2, 3)) <= BORDER * x.sum((1, 2, 3))
