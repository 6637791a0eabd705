"""What the axes of an array are: those that number images, channels, height and width.

An axis has a letter: C or S (channels), H or Y, W or X. All others
number images: N, T (times), Z (planes) and whatever else a file names.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from mcevae.base.channels import MOST_CHANNELS, asked_channels
from mcevae.images.readers.frames import Unreadable, within_bounds
from mcevae.images.readers.reading import Reading

FEW = 8
"""So many channels at most, where the shape of three axes alone tells channels from images."""
COLOURS = (1, 3, 4)
"""Numbers of channels that make a picture: grey, colours, colours with opacity."""
NARROW = 1 / 16
"""Images that are narrower than this share of their length are strips of something else."""
LEAST = 4
"""Smallest side of an image in pixels."""


def axes_of(shape: tuple[int, ...], reading: Reading) -> str:
    """The letters of an array's axes, as --axes says or as its shape suggests.

    If the shape leaves a doubt, a remark says how it was read.

    Args:
        shape: of an array from a .npy or .npz.
        reading: choices; `many` decides whether (3, H, W) is one image or three.

    Raises:
        Unreadable: no reading of the shape gives images.
    """
    if 0 in shape:  # any number of images of nothing
        raise Unreadable(f"has shape {shape}, which holds no pixels")
    if reading.axes is not None:
        return checked(reading.axes, shape)
    found, doubt = guessed(shape, reading.many, named(reading))
    if not found:
        raise Unreadable(
            f"has shape {shape}, which are no images as it is; use (H, W), (n, H, W) or "
            "(n, H, W, C), or name its axes, such as --axes CHW"
        )
    if doubt:
        reading.note(f"has shape {shape}, read as {in_words(found)}; --axes tells it otherwise")
    return found


def checked(axes: str, shape: tuple[int, ...]) -> str:
    """Letters that somebody gave, in capitals, with H and W for Y and X.

    Raises:
        Unreadable: they do not fit the shape.
    """
    letters = axes.strip().upper().replace("Y", "H").replace("X", "W").replace("S", "C")
    if len(letters) != len(shape):
        raise Unreadable(f"has {len(shape)} axes of {shape}, which --axes {axes} does not fit")
    return letters


def named(reading: Reading) -> int:
    """How many channels an array must have, since `--channels` names all of them; 0: any number."""
    asked = asked_channels(reading.channels) if reading.channels else ()
    return len(asked) if len(asked) > 1 and all(one.number is None for one in asked) else 0


def guessed(shape: tuple[int, ...], many: bool, named: int = 0) -> tuple[str, bool]:
    """Letters that a shape suggests, "" if none, and whether others are as likely.

    Args:
        shape: of an array.
        many: whether the array is one of several.
        named: how many channels it must have; 0: any number.
    """
    for axes in ("HWC", "CHW") if len(shape) == 3 else ("NHWC", "NCHW", "HWCN", "CNHW"):
        fits = len(axes) == len(shape) and shape[axes.index("C")] == named
        if fits and squareness((shape[axes.index("H")], shape[axes.index("W")])):
            return axes, False
    if len(shape) == 2:
        return "HW", False
    if len(shape) == 3:
        return of_three(shape, many)
    if len(shape) == 4:
        return of_four(shape)
    return "", False


def of_three(shape: tuple[int, ...], many: bool) -> tuple[str, bool]:
    """Letters of three axes: images or channels come first or last.

    They come first, as is usual, unless the first two axes are the sides of a better image.
    """
    first, second, last = shape
    before, after = squareness(shape[1:]), squareness(shape[:2])
    if last in COLOURS and after:
        return "HWC", last == 4
    if max(before, after) == 0:
        return "", False
    if after > 2 * before or first == second != last:
        return ("HWC" if last <= FEW else "HWN"), True
    if many and first in COLOURS:
        return "CHW", first > 1
    return "NHW", 1 < first <= FEW or after >= before


def of_four(shape: tuple[int, ...]) -> tuple[str, bool]:
    """Letters of four axes."""
    _, second, third, last = shape
    if last in COLOURS and squareness(shape[1:3]):
        return "NHWC", last == 4
    if second in COLOURS and squareness(shape[2:]):
        return "NCHW", second > 1
    if third in COLOURS and squareness(shape[:2]):
        return "HWCN", True
    if last <= MOST_CHANNELS and squareness(shape[1:3]):
        return "NHWC", True
    if second <= MOST_CHANNELS and squareness(shape[2:]):
        return "NCHW", True
    return "", False


def squareness(sides: tuple[int, ...]) -> float:
    """The shorter side as a share of the longer, 0 if these are no sides of an image."""
    least, most = min(sides), max(sides)
    return least / most if least >= LEAST and least >= NARROW * most else 0.0


def in_words(axes: str) -> str:
    """Axes as a shape, such as (n, H, W)."""
    return f"({', '.join('n' if axis == 'N' else axis for axis in axes)})"


def images_of(array: np.ndarray, axes: str, *, bounded: bool = True) -> Iterator[np.ndarray]:
    """Images of an array, as views: (H, W), or (H, W, C).

    Args:
        array: of any number of axes.
        axes: their letters.
        bounded: whether images that would fill the memory are refused.

    Raises:
        Unreadable: the axes have no height and width, or the array holds no pixels.
    """
    if any(axes.count(axis) != 1 for axis in "HW") or axes.count("C") > 1:
        raise Unreadable(f"has axes {axes}; one of them must be H, one W, and at most one C")
    if array.size == 0:
        raise Unreadable(f"has shape {array.shape}, which holds no pixels")
    inner = [axes.index(axis) for axis in "HWC" if axis in axes]
    outer = [i for i in range(len(axes)) if i not in inner]
    ordered = array.transpose(*outer, *inner)
    if bounded:
        within_bounds((ordered.shape[len(outer) + 1], ordered.shape[len(outer)]))
    for place in itertools.product(*map(range, ordered.shape[: len(outer)])):
        yield ordered[place]
