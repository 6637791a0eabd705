"""Masks: which pixels of an image count. All others are background.

A mask is a circle, a picture for all images (light pixels count), or the opacity of each image. A
run records it in the frame of its images, at most `MOST` pixels a side.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from mcevae.base.errors import UserError
from mcevae.base.packing import packed, unpacked
from mcevae.images.arrays import MAX_SIDE
from mcevae.images.readers.frames import Fault, Frame, Unreadable

CIRCLE, ALPHA = "circle", "alpha"
ASPECT = 0.02
"""Sides of a mask and of an image may differ so much, as a share, once one is scaled."""
MOST_TEXT = 2**17
"""Characters of a mask that settings may hold."""


def circle(height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels whose middles lie in the disc that touches the nearer borders."""
    down, across = np.ogrid[:height, :width]
    radius = min(height, width) / 2
    return (down + 0.5 - height / 2) ** 2 + (across + 0.5 - width / 2) ** 2 <= radius**2


def scaled(mask: Bool[np.ndarray, "h w"], shape: tuple[int, int]) -> Bool[np.ndarray, "h2 w2"]:
    """A mask at another size, by its nearest pixels."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, mask.shape, strict=True)
    )
    return mask[rows[:, None], columns]


def as_text(mask: Bool[np.ndarray, "h w"]) -> str:
    """A mask as text for settings: its height and width, then its bits, packed."""
    if max(mask.shape) > MAX_SIDE:
        ratio = MAX_SIDE / max(mask.shape)
        height, width = (max(1, round(side * ratio)) for side in mask.shape)
        mask = scaled(mask, (height, width))
    return f"{mask.shape[0]}x{mask.shape[1]}:{packed(np.packbits(mask).tobytes())}"


@cache
def from_text(text: str) -> Bool[np.ndarray, "h w"]:
    """The mask that `as_text` wrote.

    Raises:
        ValueError: it is damaged.
    """
    try:
        size, _, bits = text[:MOST_TEXT].partition(":")
        height, width = map(int, size.split("x"))
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ValueError(size)
        content = unpacked(bits, (height * width + 7) // 8)
    except ValueError as error:
        raise ValueError("the mask is damaged") from error
    flat = np.unpackbits(np.frombuffer(content, np.uint8), count=height * width)
    mask = flat.reshape(height, width).astype(bool)
    mask.flags.writeable = False
    return mask


def from_file(path: Path, found: Frame | Fault) -> Bool[np.ndarray, "h w"]:
    """The mask that an image file shows: pixels lighter than the middle of its range count.

    Args:
        path: of the file, for errors.
        found: its only image.

    Raises:
        UserError: it is no image, or all of its pixels count, or none.
    """
    if isinstance(found, Fault):
        raise UserError(f"{path}: the mask {found.reason}.")
    pixels = found.pixels
    if pixels.ndim == 3:  # the mean of its colours, where it can be seen
        colours = pixels[..., :3].astype(float).mean(-1)
        pixels = colours * (pixels[..., 3] > 0) if pixels.shape[-1] == 4 else colours
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all() or low == high:
        raise UserError(
            f"{path}: the mask has one value only; make pixels that count light, and others dark."
        )
    return np.asarray(pixels > (low + high) / 2)


def masked(frame: Frame, mask: str | None, bits: str | None) -> Frame:
    """A frame that knows which of its pixels count; one that knows them already stays as it is.

    Args:
        frame: as it was read.
        mask: circle, alpha, or the name of a file; None: all pixels count.
        bits: of a file, the mask as `as_text` gives it.

    Raises:
        Unreadable: the mask does not fit, or the frame has no opacity, or nothing is left of it.
    """
    if mask is None or frame.seen is not None:
        return frame
    height, width = frame.pixels.shape[:2]
    if mask == ALPHA:
        if frame.channels or frame.pixels.ndim != 3 or frame.pixels.shape[-1] != 4:
            raise Unreadable("has no opacity, which --mask alpha needs; use another --mask")
        opacity = frame.pixels[..., 3]
        full = float(np.iinfo(opacity.dtype).max) if opacity.dtype.kind in "iu" else 1.0
        frame = replace(frame, pixels=frame.pixels[..., :3])
        seen = opacity.astype(float) >= full / 2
    elif mask == CIRCLE:
        seen = circle(height, width)
    else:
        own = from_text(bits or "")
        ratio = (own.shape[0] / own.shape[1]) / (height / width)
        if abs(ratio - 1) > ASPECT:
            raise Unreadable(
                f"is {width} x {height} pixels, and the mask {own.shape[1]} x {own.shape[0]}; "
                "--mask needs a picture of the same shape"
            )
        seen = scaled(own, (height, width))
    if not seen.any():
        raise Unreadable("has no pixel that counts: --mask leaves nothing of it")
    return replace(frame, seen=seen)


def border_of(seen: Bool[Tensor, "h w"], thick: int) -> Bool[Tensor, "h w"]:
    """The pixels that count and lie at most so far from others, or from the frame."""
    outside = torch.ones(seen.shape[0] + 2 * thick, seen.shape[1] + 2 * thick)
    outside[thick : -thick or None, thick : -thick or None] = (~seen).float()
    near = torch.nn.functional.max_pool2d(outside[None], 2 * thick + 1, 1)[0] > 0
    return seen & near


def share_of(seen: Bool[np.ndarray, "h w"], size: tuple[int, int]) -> Float[Tensor, "1 h2 w2"]:
    """Which share of each pixel counts, in an image of another size."""
    share = torch.from_numpy(seen.astype(np.float32))[None]
    if size == seen.shape:
        return share
    return interpolate(share[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)
