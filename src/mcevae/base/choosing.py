"""`Choice`: which images of a run are meant, as people say it in numbers and words.

`Keeping` is the part of it that `mcevae fit --from` has as well.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from mcevae.base.errors import SettingError
from mcevae.base.flags import FLAGS

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Which images of a run to keep. Whatever is given must all be true of an image."""

    keep: tuple[str, ...] = ()
    """Names of groups: only images of these. If not given: of all groups."""
    without: tuple[str, ...] = ()
    """Names of groups: no image of these."""
    junk: Literal["no", "only", "too"] = "no"
    """no: leave out images that are junk. only: choose nothing else. too: choose both."""
    tags: Annotated[tuple[str, ...], tyro.conf.arg(name=FLAGS["tags"])] = ()
    """Only images that have all of these tags."""
    selection: str | None = None
    """Only images of the selection that was kept under this name."""
    text: str | None = None
    """Only images whose names contain this text. Capital letters do not matter."""
    confidence: Range | None = None
    """LOW HIGH: only images whose confidence lies in this range, ends included."""
    outlier: Range | None = None
    """LOW HIGH: only images whose outlier score lies in this range."""
    trust: Range | None = None
    """LOW HIGH: only images in whose cluster trust lies in this range."""
    area: Range | None = None
    """LOW HIGH: only images of whose pixels this share shows the thing and not the background."""
    brightness: Range | None = None
    """LOW HIGH: only images whose mean lies in this range, from 0 (black) to 1 (white)."""
    where: tuple[str, ...] = ()
    """COLUMN=LOW:HIGH, once or more: only images with numbers in this range, in any column of
    numbers that `mcevae predict` writes, such as rotation_deg=-20:20. LOW or HIGH may be left
    out."""

    @property
    def names_images(self) -> bool:
        """Whether it asks for something that only images with names have."""
        return bool(self.tags) or self.selection is not None or self.text is not None

    @property
    def ranges(self) -> dict[str, Range]:
        """Range of each column that has one.

        Raises:
            SettingError: one is not written as COLUMN=LOW:HIGH, or its low end is the higher.
        """
        names = ("confidence", "outlier", "trust", "area", "brightness")
        known = {name: getattr(self, name) for name in names}
        pairs = [(name, one) for name, one in known.items() if one is not None]
        pairs += [range_in(told) for told in self.where]
        found: dict[str, Range] = {}
        for name, (low, high) in pairs:
            if not low <= high:
                raise SettingError(f"{name} is to lie from {low:g} to {high:g}; swap these numbers")
            before = found.get(name, (-math.inf, math.inf))
            found[name] = max(low, before[0]), min(high, before[1])
        return found

    def in_words(self) -> str:
        """Say what is chosen, such as "no junk, groups anchor, 3"."""
        said = {"no": ["no junk"], "only": ["junk only"], "too": ["junk too"]}[self.junk]
        for what, names in (("groups", self.keep), ("not", self.without), ("tags", self.tags)):
            said += [f"{what} {', '.join(names)}"] if names else []
        for what, word in (("selection", self.selection), ("text", self.text)):
            said += [f"{what} {word}"] if word is not None else []
        said += [f"{name} {low:g} to {high:g}" for name, (low, high) in self.ranges.items()]
        return ", ".join(said)


@dataclass(frozen=True, kw_only=True)
class Choice(Keeping):
    """Which images to choose. Whatever is given must all be true of an image."""

    invert: bool = False
    """Choose all other images instead."""


def range_in(told: str) -> tuple[str, Range]:
    """Read COLUMN=LOW:HIGH.

    Raises:
        SettingError: it has another form.
    """
    name, equals, ends = told.partition("=")
    low, colon, high = ends.partition(":")
    try:
        if name and equals and colon:
            return name, (float(low or "-inf"), float(high or "inf"))
    except ValueError:
        pass
    raise SettingError(f"--where {told}: give COLUMN=LOW:HIGH, such as rotation_deg=-20:20")
