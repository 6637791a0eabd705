"""Kinds and ranges of numbers that images hold, and what is done where new images hold others.

A recipe records the numbers that a model was trained on. The same picture may come as bytes, as
words or as floats; taken for the wrong kind it would be black or white, and get an answer all the
same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcevae.images.readers.frames import Frame

TAILS = (0.1, 99.9)
"""Percentiles between which numbers are compared, so that single pixels do not count."""
SAMPLED = 4096
"""About how many values of each frame are looked at."""
LOW = 32
"""Whole numbers that all lie below this are codes or masks, not brightness of bytes."""
BYTE = 255.0


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The numbers of a set of images.

    Attributes:
        dtype: uint8, int16 and so on, bool, float, or mixed.
        low, high: percentiles `TAILS`, or the least and the largest if they are few codes.
        codes: whether all are whole numbers from 0 to below `LOW`, and not all the same.
        whole: whether all are whole numbers.
    """

    dtype: str
    low: float
    high: float
    codes: bool
    whole: bool

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "Numbers":
        """The numbers of a sample of frames; opacity and NaN do not count."""
        kinds = {kind_of(frame.pixels) for frame in frames}
        values = np.concatenate([sampled(frame) for frame in frames])
        values = values if values.size else np.zeros(1)
        least, most = bounds(frames)
        whole = bool((values == np.round(values)).all())
        codes = whole and 0 <= least < most < LOW
        low, high = (least, most) if codes else np.percentile(values, TAILS).tolist()
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        return cls(dtype=kind, low=low, high=high, codes=codes, whole=whole)

    @property
    def natural(self) -> float | None:
        """The number that means white by itself: 255 of bytes, 1 of shares; None if none does."""
        if self.dtype == "bool" or (self.dtype == "float" and self.low >= 0 and self.high <= 1):
            return 1.0
        if self.codes:
            return None
        if self.dtype == "uint8" or (self.dtype == "float" and self.looks_like_bytes):
            return BYTE
        return 65535.0 if self.dtype == "uint16" and self.high > 65535 / 4 else None

    @property
    def looks_like_bytes(self) -> bool:
        """Whether all are whole numbers of bytes, and not only the lowest."""
        return self.whole and self.low >= 0 and LOW <= self.high <= BYTE

    def in_words(self) -> str:
        """Such as "uint8 from 0 to 255"."""
        return f"{self.dtype} from {self.low:.6g} to {self.high:.6g}"


def kind_of(pixels: np.ndarray) -> str:
    """The kind of a frame's numbers: the name of its type, but float for all floats."""
    return "float" if pixels.dtype.kind == "f" else pixels.dtype.name


def shown_by(frame: Frame) -> np.ndarray:
    """The pixels of a frame without its opacity; of a masked one, those that count."""
    plain = frame.pixels.ndim == 2 or frame.channels
    pixels = frame.pixels if plain else frame.pixels[..., :3]
    return pixels if frame.seen is None else pixels[frame.seen]


def sampled(frame: Frame) -> np.ndarray:
    """About `SAMPLED` values of a frame as floats, but for NaN and infinity."""
    values = shown_by(frame).ravel()
    values = values[:: math.ceil(len(values) / SAMPLED)].astype(np.float64)
    return values[np.isfinite(values)]


def bounds(frames: Sequence[Frame]) -> tuple[float, float]:
    """The least and the largest number of all frames, but for NaN and infinity."""
    each = [shown_by(frame) for frame in frames]
    each = [one[np.isfinite(one)] if one.dtype.kind == "f" else one for one in each]
    ends = [(float(one.min()), float(one.max())) for one in each if one.size] or [(0.0, 0.0)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def largest_of(kind: str) -> float:
    """The number that counts as white for a kind, where nothing else is said."""
    return 1.0 if kind in ("float", "bool", "mixed") else float(np.iinfo(kind).max)
