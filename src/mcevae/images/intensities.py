"""Intensities of frames from 0 to 1: what counts as black and white, and in which channels."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy import ndimage
from torch import Tensor

from mcevae.images.numbers import TAILS, kind_of, largest_of, shown_by
from mcevae.images.readers.axes import LEAST
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.stretch import Stretch, asinh, zscale

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
ABSURD = 1e30
"""Intensities beyond this could overflow in differences and quotients."""


def pairs_of(levels: Sequence[float]) -> list[tuple[float, float]]:
    """Black and white of each channel, of levels side by side; one pair is of all channels."""
    return list(zip(levels[::2], levels[1::2], strict=True))


def fitting(frame: Frame, names: tuple[str, ...]) -> Frame:
    """A frame whose channels are those that a recipe names, in its order.

    Three channels may be taken for colours, and colours for three channels.

    Args:
        frame: as it was read.
        names: of the recipe; (): it takes pictures.

    Raises:
        Unreadable: it has others.
    """
    own, pixels = frame.channels, frame.pixels
    if own == names:
        return frame
    count = pixels.shape[-1] if pixels.ndim == 3 else 1
    if not names and count in (1, 3):
        return replace(frame, channels=())
    if not names:
        raise Unreadable(
            f"has {count} channels ({', '.join(own)}), and pictures are wanted; --channels 0 takes "
            "the first of them"
        )
    if sorted(own) == sorted(names):
        pixels = pixels[..., [own.index(name) for name in names]]
        return replace(frame, pixels=pixels, channels=names)
    unnamed = any(all(map(str.isdigit, each)) for each in (own, names))  # () is unnamed as well
    if count != len(names) or not unnamed:
        said = f" ({', '.join(own)})" if own else ""
        raise Unreadable(
            f"has {count} channel{'s' if count > 1 else ''}{said}, and {len(names)} "
            f"({', '.join(names)}) are wanted; --channels names and takes them"
        )
    return replace(frame, channels=names)


def floats(
    frame: Frame,
    normalise: Literal["none", "set", "image"],
    levels: Sequence[float] | None,
    white: float | None = None,
    stretch: Stretch = "linear",
) -> tuple[Float32[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame from 0 to 1, and its opacity.

    NaN that touch the border are as pixels that cannot be seen. Channels that are no colours are
    normalised each by itself.

    Args:
        frame: with channels that fit the recipe.
        normalise: as in `Recipe`.
        levels, white, stretch: as in `Recipe`.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    values, opacity = intensities(frame, white)
    pixels, pairs = frame.pixels, [(0.0, 1.0)]
    if normalise == "none" and not 0 <= values.min() <= values.max() <= 1:
        shown = shown_by(frame)
        seen = f"{shown.min():g} to {shown.max():g}"
        full = white or largest_of(kind_of(pixels))
        raise Unreadable(f"has values from {seen}, not 0 to {full:g}; use --normalise set or image")
    if normalise == "set":
        assert levels is not None
        pairs = pairs_of(levels)
    elif normalise == "image":
        gaps = frame.seen is not None or (pixels.dtype.kind == "f" and not opacity.all())
        shown = values[opacity[..., 0] > 0] if gaps else values
        parts = np.split(shown, shown.shape[-1], -1) if frame.channels else [shown]
        ends = zscale if stretch == "zscale" else tails
        pairs = [ends(part) for part in parts]
    low = np.array([black for black, _ in pairs], values.dtype)
    width = np.array([white - black for black, white in pairs], values.dtype)
    blank = width <= 0  # these have one value only and show nothing
    scaled = ((values - low) / np.where(blank, 1, width)).clip(0, 1).astype(np.float32)
    scaled[..., np.broadcast_to(blank, scaled.shape[-1:])] = 0
    return asinh(scaled) if stretch == "asinh" else scaled, opacity


def tails(values: np.ndarray) -> tuple[float, float]:
    """Percentiles `TAILS` of some values."""
    low, high = np.percentile(values, TAILS).tolist()
    return low, high


def intensities(
    frame: Frame, white: float | None = None
) -> tuple[Float[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame as they are, and its opacity from 0 to 1.

    Integers are divided by the largest value of their type; floats do not change. NaN that touch
    the border get the darkest value and no opacity. Numbers of more than 16 bits give float64.

    Args:
        frame: a picture, grey or in colours, or one with channels.
        white: number that counts as 1 instead.

    Raises:
        Unreadable: the frame's shape is not that of an image, or its values are no intensities.
    """
    pixels, last = frame.pixels, len(frame.channels) or 3
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in ((last,) if frame.channels else (1, 3, 4)):
        raise Unreadable(f"has shape {pixels.shape}; use (H, W), or (H, W, C) with C 1, 3 or 4")
    if min(pixels.shape[:2]) < LEAST:
        raise Unreadable(f"is {pixels.shape[1]} x {pixels.shape[0]} pixels, too small")
    if pixels.dtype.kind not in "buif":
        raise Unreadable(f"holds {pixels.dtype} values, which are not intensities")
    largest = largest_of(kind_of(pixels))
    full = white or largest
    wide = np.float64 if pixels.dtype.itemsize > 2 else np.float32
    with np.errstate(all="ignore"):  # a `white` near 0 gives infinite values; they are refused
        values = pixels[..., :last].astype(wide) / wide(full)
    opacity = pixels[..., last:].astype(np.float32) / np.float32(max(full, largest))
    opacity = opacity.clip(max=1)
    if not opacity.size:
        opacity = np.ones((*pixels.shape[:2], 1), np.float32)
    if frame.seen is not None:
        opacity[~frame.seen] = 0
        values[~frame.seen] = values[frame.seen].min(0)
    if (gaps := gaps_of(values)) is not None:
        opacity[gaps] = 0
        values[gaps] = np.nanmin(values)
    if not -ABSURD < values.min() <= values.max() < ABSURD:
        raise Unreadable(f"holds infinite values, or values beyond {ABSURD:g}")
    return values, opacity


def with_channels(image: Float[Tensor, "c h w"], channels: int) -> Float[Tensor, "C h w"]:
    """Bring an image to a number of channels: colours to grey, or grey to colours."""
    if len(image) == 3 and channels == 1:
        image = torch.tensordot(torch.tensor(LUMA), image, 1)[None]
    return image.expand(channels, -1, -1)


def gaps_of(values: Float[np.ndarray, "H W C"]) -> Bool[np.ndarray, "H W"] | None:
    """Where a frame has NaN that reach its border; None if it has no NaN.

    Raises:
        Unreadable: it has others, or nothing else.
    """
    gaps = np.asarray(np.isnan(values).any(axis=-1))
    if not gaps.any():
        return None
    if gaps.all():
        raise Unreadable("holds NaN everywhere")
    parts, _ = ndimage.label(gaps)  # pyright: ignore[reportGeneralTypeIssues]
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    if inside := int((gaps & ~np.isin(parts, edge[edge > 0])).sum()):
        raise Unreadable(
            f"holds NaN inside ({inside} pixels); fill them, such as from their neighbours"
        )
    return gaps
