"""Frames: single images as stored in a file, and the reasons why one cannot be used."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mcevae.base.files import write_rows

MOST_PIXELS = 100_000_000
"""Frames larger than this are refused before they are decoded."""
MOST_BYTES = 8 * MOST_PIXELS
"""The same for frames whose pixels take more than a byte."""


@dataclass(frozen=True)
class Frame:
    """One image as stored in its file.

    Attributes:
        name: path below the source, with `#n` for the n-th frame of a file of several.
        pixels: (H, W) or (H, W, 1, 3 or 4), any kind of number; a fourth channel is opacity.
    """

    name: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Fault:
    """A file, or a frame of one, that cannot be used."""

    name: str
    reason: str


def write_faults(faults: Sequence[Fault], path: Path) -> None:
    """Write a table of faults as CSV, if there are any."""
    if faults:
        write_rows(path, ("file", "reason"), [(fault.name, fault.reason) for fault in faults])


class Unreadable(Exception):
    """Why a file or a frame cannot be used, as the end of a sentence that begins with its name."""


def within_bounds(size: tuple[int, int]) -> None:
    """Refuse frames that would fill the memory.

    Raises:
        Unreadable: the frame of (width, height) has more than MOST_PIXELS.
    """
    width, height = size
    if width * height > MOST_PIXELS:
        raise Unreadable(f"is {width} x {height}, more than {MOST_PIXELS:,} pixels; cut it up")


@contextmanager
def quietly() -> Iterator[None]:
    """Hide warnings about odd metadata; pixels are all that is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
