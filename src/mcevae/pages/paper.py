"""A selection as a picture for a paper: of each group its average, and members in both forms."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure

from mcevae.base.files import atomic
from mcevae.images.arrays import to_float
from mcevae.pages.figures import tiled
from mcevae.pages.plots import Plot, called, counted
from mcevae.predicting.samples import Sample

PICTURES = (".svg", ".png", ".pdf")
MOST_GROUPS = 12
"""Groups on a picture, at most."""
WIDTH, HEIGHT = 7.0, 9.0
"""Most inches: what a page of a paper holds beside its margins."""
HEAD, GAP = 0.2, 0.1
"""Inches of the line above all groups, and between groups."""
EDGE = 0.1
"""Of the longer side of an image: how far images are apart, as `tiled` has it."""
CELL, SMALLEST = 0.58, 0.3
"""Inches from member to member, and the fewest of them."""
DPI = 300
"""Pixels in an inch, as journals ask for."""
LETTER, LETTERS, LINES = 0.062, 19, 3
"""Inches of a letter of a name, and the most letters in a line and lines."""
TITLES = ("average", "as they lie, and upright")
TEXT = {"fontsize": 7, "parse_math": False}
"""Of all writing. Names may have dollar signs."""
SAVED: dict[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".png": {},
}
"""How each form is saved. The same picture gives the same file."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where things are, in inches.

    Attributes:
        names: width of the column of names.
        members: columns of members.
        width, height: of a member with its margins.
        margin: around a member.
        groups: number of groups.
    """

    names: float
    members: int
    width: float
    height: float
    margin: float
    groups: int

    @classmethod
    def of(cls, groups: Mapping[str, int], shape: tuple[int, int]) -> "Layout":
        """The layout that fills the width.

        Args:
            groups: how many images there are of each, by their names.
            shape: (H, W) of the images.
        """
        lines = [line for name, size in groups.items() for line in (*in_lines(name), counted(size))]
        names = LETTER * max(map(len, lines)) + GAP
        edge = EDGE * max(shape)
        ratio = (shape[0] + edge) / (shape[1] + edge)
        high = ((HEIGHT - HEAD) / len(groups) - GAP) / 2
        wanted = min(CELL / math.sqrt(ratio), max(SMALLEST, high) / ratio)
        columns = max(3, math.ceil((WIDTH - names - GAP) / wanted))
        width = (WIDTH - names - GAP) / columns
        return cls(
            names=names,
            members=min(columns - 2, max(groups.values())),
            width=width,
            height=width * ratio,
            margin=width * edge / 2 / (shape[1] + edge),
            groups=len(groups),
        )

    @property
    def rest(self) -> float:
        """Where members begin, from the left."""
        return self.names + 2 * self.width + GAP

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the picture."""
        members = max(self.members * self.width, LETTER * len(TITLES[1]))
        return self.rest + members, HEAD + self.groups * (2 * self.height + GAP) - GAP

    @property
    def longest(self) -> int:
        """Pixels of the longer side of a member."""
        return round(DPI * max(self.width, self.height))


def in_lines(name: str) -> list[str]:
    """What a picture calls a group, in lines."""
    return textwrap.wrap(called(name), LETTERS, max_lines=LINES, placeholder=" …")


def draw(samples: Sequence[Sample], layout: Layout) -> Figure:
    """Draw groups below each other: on the left the name, the number of images and the average.

    Args:
        samples: the groups.
        layout: for these.
    """
    wide, high = layout.size
    figure = Plot(figsize=(wide, high), facecolor="white")

    def write(left: float, top: float, text: str, **how: Any) -> None:
        figure.text(left / wide, 1 - top / high, text, **TEXT, **how)

    def show(left: float, top: float, width: float, height: float, picture: torch.Tensor) -> None:
        place = (left / wide, 1 - (top + height) / high, width / wide, height / high)
        axes: Any = figure.add_axes(place)
        axes.imshow(picture.numpy(), interpolation="none")
        axes.axis("off")

    margin = layout.margin
    for left, title in zip((layout.names, layout.rest), TITLES, strict=True):
        write(left + margin, HEAD / 2, title, va="center", color="0.35")
    for row, one in enumerate(samples):
        top = HEAD + row * (2 * layout.height + GAP)
        middle = top + layout.height
        write(0, middle, "\n".join(in_lines(one.name)), va="bottom", weight="bold")
        write(0, middle + GAP / 3, counted(one.size), va="top")
        if one.average is not None:
            size = (2 * layout.width - 2 * margin, 2 * layout.height - 2 * margin)
            picture = to_float(one.average).movedim(0, -1)
            show(layout.names + margin, top + margin, *size, picture)
        members = tiled([to_float(one.lying), to_float(one.upright)])
        show(layout.rest, top, len(one.lying) * layout.width, 2 * layout.height, members)
    return figure


def save(figure: Figure, out: Path) -> None:
    """Write a figure as SVG, PNG or PDF. Text stays text.

    Raises:
        UserError: the file cannot be written.
    """
    fonts: Any = {"svg.fonttype": "none", "svg.hashsalt": "mcevae", "pdf.fonttype": 42}
    with rc_context(fonts), atomic(out) as temporary:
        form = out.suffix[1:]
        figure.savefig(temporary, format=form, dpi=DPI, **SAVED[out.suffix])
