"""Cut a crop from an image. What lies outside of the image or of a mask becomes background."""

from dataclasses import replace

import numpy as np

from mcevae.images.readers.frames import Frame, Unreadable, within_bounds
from mcevae.images.readers.views import View

Box = tuple[int, int, int, int]
"""x and y of the left and upper pixel, width, height."""


def cut(image: View, box: Box) -> tuple[np.ndarray, np.ndarray | None]:
    """The pixels of a box, and which of them are inside the image.

    Args:
        image: the large image.
        box: may reach beyond its border.

    Returns:
        (h, w) or (h, w, C), with anything where the image is not; and (h, w), None if all are
        inside.

    Raises:
        Unreadable: the middle of the box lies outside of the image, or it is too large.
    """
    x, y, width, height = box
    within_bounds((width, height))
    tall, wide = image.shape[:2]
    if not (0 <= x + width / 2 <= wide and 0 <= y + height / 2 <= tall):
        raise Unreadable(
            f"has its middle ({x + width / 2:g}, {y + height / 2:g}) outside of its image of "
            f"{wide} x {tall} pixels"
        )
    rows = slice(max(y, 0), max(min(y + height, tall), max(y, 0)))
    columns = slice(max(x, 0), max(min(x + width, wide), max(x, 0)))
    if rows.stop == rows.start or columns.stop == columns.start:
        raise Unreadable("has no pixel inside of its image")
    window = image.read(rows, columns)
    if window.shape[:2] == (height, width):
        return window, None
    seen = np.zeros((height, width), bool)
    own = (slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x))
    seen[own] = True
    pixels = np.zeros((height, width, *window.shape[2:]), window.dtype)
    pixels[own] = window
    return pixels, seen


def seen_in(frame: Frame, seen: np.ndarray | None) -> Frame:
    """A crop of which only some pixels count; others of a picture have no opacity.

    Args:
        frame: the crop.
        seen: (h, w); None: all.
    """
    if frame.channels and seen is not None:
        return replace(frame, seen=seen)
    return replace(frame, pixels=masked(frame.pixels, seen))


def masked(pixels: np.ndarray, seen: np.ndarray | None) -> np.ndarray:
    """The same pixels with opacity, of which others than those that are seen have none.

    Those others get the median of the pixels that are seen, so that they do not change ranges.

    Args:
        pixels: (h, w) or (h, w, C), C 1, 3 or 4.
        seen: (h, w); None: all.

    Returns:
        `pixels` if all are seen; else (h, w, 4).
    """
    if seen is None or pixels.dtype.kind not in "buif":  # other kinds are refused later
        return pixels
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colours = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels[..., :3]
    kind = pixels.dtype
    full = np.array(largest_of(kind), kind)
    opacity = pixels[..., 3] if pixels.shape[-1] == 4 else np.full(seen.shape, full)
    level = np.median(colours[seen].astype(np.float64), 0).astype(kind)
    made = np.concatenate([colours, np.where(seen, opacity, 0)[..., None].astype(kind)], -1)
    made[~seen, :3] = level
    return made


def largest_of(kind: np.dtype) -> float | int | bool:
    """Full opacity of a kind of numbers."""
    if kind.kind == "b":
        return True
    if kind.kind == "f":
        return float(min(np.finfo(kind).max, np.finfo(np.float32).max))
    return int(np.iinfo(kind).max)
