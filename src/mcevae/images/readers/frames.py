"""Frames: single images as stored in a file, and the reasons why one cannot be used."""

import re
import stat
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mcevae.base.files import write_rows
from mcevae.images.readers.views import View

MOST_PIXELS = 100_000_000
"""Frames larger than this are refused before they are decoded."""
MOST_BYTES = 8 * MOST_PIXELS
"""The same for frames whose pixels take more than a byte."""
PARTICLE = re.compile(r"(\d+)@(.+)")
"""The name of one image of a stack, as RELION writes it: its number from 1, and the stack."""
ALIKE = 3
"""So many frames of one file that cannot be used for the same reason are told in one line."""


@dataclass(frozen=True)
class Frame:
    """One image as stored in its file.

    Attributes:
        name: path below the source, with `#n` for the n-th frame of a file of several.
        pixels: (H, W) or (H, W, C), any kind of number. Without names of channels C is 1, 3 or 4;
            a fourth channel is opacity.
        channels: names of C channels that are no colours, such as stains; (): it is a picture.
        seen: (H, W) which pixels count (`images.masks`); None: all that are there.
    """

    name: str
    pixels: np.ndarray
    channels: tuple[str, ...] = ()
    seen: np.ndarray | None = None


class Channels(NamedTuple):
    """An image whose channels are no colours, as a reader gives it.

    Attributes:
        pixels: (H, W, C).
        names: of the channels, if the file has them.
    """

    pixels: np.ndarray
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """A file, or a frame of one, that cannot be used.

    Attributes:
        name: path below the source, with `#n` for a frame.
        reason: why, as the end of a sentence that begins with the name.
        passed: if nobody looked into the file, the kind of the reason: see `images.reckoning`.
    """

    name: str
    reason: str
    passed: str = ""


def gathered(faults: Iterable[Fault]) -> list[Fault]:
    """The same faults, with `ALIKE` or more frames of one file and one reason in one line."""
    lines: list[Fault] = []
    for (file, numbered, reason), group in groupby(faults, place_of):
        alike = list(group)
        if not numbered or len(alike) < ALIKE:
            lines += alike
            continue
        first, last = (number_of(one.name) for one in (alike[0], alike[-1]))
        many = f"{reason} ({len(alike):,} of its images, from {first} to {last})"
        lines.append(Fault(file, many))
    return lines


def place_of(fault: Fault) -> tuple[str, bool, str]:
    """The file of a fault, whether it is one of its frames, and the reason."""
    if particle := PARTICLE.fullmatch(fault.name):
        return particle[2], True, fault.reason
    file, mark, number = fault.name.rpartition("#")
    numbered = bool(mark) and number.isdecimal()
    return file if numbered else fault.name, numbered, fault.reason


def number_of(name: str) -> str:
    """The number of an image in its file, as its name has it: #3, or 000004@."""
    particle = PARTICLE.fullmatch(name)
    return f"{particle[1]}@" if particle else f"#{name.rpartition('#')[2]}"


def write_faults(faults: Sequence[Fault], path: Path) -> None:
    """Write a table of faults as CSV, if there are any."""
    if faults:
        rows = [(fault.name, fault.reason) for fault in gathered(faults)]
        write_rows(path, ("file", "reason"), rows)


class Unreadable(Exception):
    """Why a file or a frame cannot be used, as the end of a sentence that begins with its name."""


Found = np.ndarray | Channels | View | Unreadable
"""What a reader gives for each image of a file: a picture, channels, or why it has none.

A view only if it is asked for (`Reading.views`)."""


def check_file(path: Path) -> None:
    """Refuse to open what holds nothing, or is a pipe say, which would be waited for.

    Raises:
        Unreadable: the file is not there, is empty, or is no regular file.
    """
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable("is not there") from error
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable("is not a regular file")
    if state.st_size == 0:
        raise Unreadable("is empty")


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
