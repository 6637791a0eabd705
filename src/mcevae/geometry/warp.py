"""Moving images by a group element: the only file that knows grids, pixels and `align_corners`.

Everything else speaks of moving content by an element M of `geometry.groups`, in image sides
from the centre. A sampling grid goes the other way, from a pixel of the output to where it is read
in the input, so it is made from M^-1.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups import Aff2, full_precision


def side(height: int, width: int) -> int:
    """Return how many pixels one unit of length is: the longer side, so nothing shears."""
    return max(height, width)


def centres(count: int, like: Tensor) -> Float[Tensor, " count"]:
    """Centres of pixels along an axis that runs from -1 to 1 between its outer edges."""
    return (2 * torch.arange(count, dtype=like.dtype, device=like.device) + 1) / count - 1


@full_precision
def warp(
    images: Float[Tensor, "images channels height width"],
    M: Float[Tensor, "elements 3 3"],
    *,
    mode: Literal["bilinear", "bicubic"] = "bilinear",
    background: float | Float[Tensor, "..."] = 0.0,
    displacement: Float[Tensor, "batch 2 rows columns"] | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """Move the content of images by M: out(p) = images(M^-1 p) (MCE-VAE, eqs. 3 and 4).

    Args:
        images: (B, C, H, W), any size and number of channels, square or not.
        M: (B, 3, 3) invertible elements of any group. One image or one element serves a batch.
        mode: "bilinear", or "bicubic", which is sharper but may overshoot the range of the input.
        background: value of what moves in from outside the frame, one or one for each channel (C,).
        displacement: (B, 2, h, w) coarse field over the output, x and y in image sides, by which
            the places that are read are moved besides: an elastic deformation.

    Returns:
        (B, C, H, W), in the wider of the two dtypes, at least float32.

    Raises:
        ValueError: shapes that are not those above, or batches that do not match.

    >>> dot = torch.zeros(1, 1, 4, 4)
    >>> dot[..., 1, 1] = 1.0
    >>> a_quarter_to_the_right = torch.tensor([[[1, 0, 0.25], [0, 1, 0], [0, 0, 1]]])
    >>> warp(dot, a_quarter_to_the_right).argmax().item()  # row 1, column 2
    6
    """
    if images.ndim != 4:
        raise ValueError(f"Images must have shape (B, C, H, W), but have {tuple(images.shape)}.")
    if M.ndim != 3 or M.shape[1:] != (3, 3):
        raise ValueError(f"Elements must have shape (B, 3, 3), but have {tuple(M.shape)}.")
    batch, channels, height, width = images.shape
    if batch != M.shape[0] and 1 not in (batch, M.shape[0]):
        raise ValueError(f"{batch} images cannot be moved by {M.shape[0]} elements.")
    if batch == 1:
        batch = M.shape[0]
    dtype = torch.promote_types(images.dtype, M.dtype)
    images = images.to(dtype).expand(batch, -1, -1, -1)
    inverse = Aff2().inverse(M.to(dtype)).expand(batch, -1, -1)

    if isinstance(background, Tensor):
        if background.numel() not in (1, channels):
            raise ValueError(
                f"Background has {background.numel()} values for images of {channels} channels."
            )
        background = background.to(images).reshape(-1, 1, 1)

    # Grid coordinates run from -1 to 1 over each axis, from edge to edge of the outer pixels; times
    # this they are image sides.
    unit = 2 * side(height, width)
    scale = inverse.new_tensor([width / unit, height / unit, 1.0])
    theta = (inverse * scale / scale[:, None])[:, :2]
    # Row by row and column by column, then added: cheaper than a product for each pixel.
    across = centres(width, theta)[:, None] * theta[:, None, :, 0]  # (B, W, 2)
    down = centres(height, theta)[:, None] * theta[:, None, :, 1] + theta[:, None, :, 2]
    grid = across[:, None] + down[:, :, None]  # (B, H, W, 2)
    if displacement is not None:
        field = F.interpolate(displacement.to(dtype), (height, width), mode="bilinear")
        grid = grid + field.movedim(1, -1) / scale[:2]
    # Outside is read as zero, which the subtraction makes the background.
    moved = F.grid_sample(
        images - background, grid, mode=mode, padding_mode="zeros", align_corners=False
    )
    return moved + background
