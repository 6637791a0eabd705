"""Names that detectors, pickers and annotation tools give the columns of tables of boxes.

Lengths are in pixels. A box has its left and upper end at x and y, or its middle. The middle of an
image's first pixel is (0, 0), as in RELION; so a crop of n pixels around the point x begins at the
pixel round(x) - n // 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mcevae.base.cutting import LARGEST_BOX
from mcevae.images.label_tables import plain
from mcevae.images.readers.frames import Unreadable

FILES = (
    *("file", "filename", "file_name", "image", "image_name", "image_path", "image_file", "path"),
    *("micrograph", "micrograph_name", "rlnmicrographname", "name", "image_id"),
)
FRAMES = ("frame", "page", "slice", "section")
"""Number of the image in a file of several, from 0."""
CORNERS = (
    *(("x", "y"), ("left", "top"), ("xmin", "ymin"), ("x_min", "y_min"), ("x1", "y1")),
    *(("x0", "y0"), ("bbox_x", "bbox_y"), ("box_x", "box_y"), ("bb_x", "bb_y")),
)
"""The left and upper end, unless the table has no sizes: then x and y are a point."""
CENTRES = (
    *(("x_center", "y_center"), ("x_centre", "y_centre"), ("xcenter", "ycenter")),
    *(("center_x", "center_y"), ("centre_x", "centre_y"), ("cx", "cy")),
    *(("x_coord", "y_coord"), ("centroid_x", "centroid_y"), ("xc", "yc")),
    ("rlncoordinatex", "rlncoordinatey"),
)
ENDS = (("xmax", "ymax"), ("x_max", "y_max"), ("x2", "y2"), ("right", "bottom"))
"""The right and lower end, which the box does not contain."""
SIZES = (("width", "height"), ("w", "h"), ("bbox_w", "bbox_h"), ("box_width", "box_height"))
SIDES = ("size", "box_size", "boxsize", "side")


class Entry(NamedTuple):
    """A row of a table of boxes.

    Attributes:
        file: name of the image; "": the table does not say.
        frame: number of the image in its file, from 0; -1: the table does not say.
        box: x and y of the left and upper pixel, width, height.
        word: the label; "": there is none.
    """

    file: str
    frame: int
    box: tuple[int, int, int, int]
    word: str = ""


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are what, by their numbers.

    Attributes:
        file, frame: None: there is none.
        places: of x and y.
        centred: whether x and y are the middle.
        sizes: of width and height, both the same if boxes are squares; of the other ends; None.
        ends: whether `sizes` are the other ends.
        side: of all boxes in pixels; None: as the table says.
        word: of the labels; None: they are not asked for.
    """

    file: int | None
    frame: int | None
    places: tuple[int, int]
    centred: bool
    sizes: tuple[int, int] | None
    ends: bool
    side: int | None
    word: int | None = None

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        side: int | None,
        at: Literal["auto", "corner", "centre"],
        label: str | None = None,
    ) -> "Columns":
        """Find the columns.

        Args:
            names: of all columns.
            side, at: as `box_size` and `box_at` in `CuttingConfig`.
            label: name of the column of the labels; None: they are not asked for.

        Raises:
            Unreadable: there is no place, no size, or no such column.
        """
        small = [name.strip().lower().lstrip("_") for name in names]

        def pair(known: Sequence[tuple[str, str]]) -> tuple[int, int] | None:
            found = [both for both in known if both[0] in small and both[1] in small]
            return (small.index(found[0][0]), small.index(found[0][1])) if found else None

        def one(known: Sequence[str]) -> int | None:
            return next((small.index(name) for name in known if name in small), None)

        centre, corner = pair(CENTRES), pair(CORNERS)
        sizes, single, ends = pair(SIZES), one(SIDES), pair(ENDS)
        if sizes is None and single is not None:
            sizes = (single, single)
        to_ends = sizes is None and ends is not None and corner is not None
        sizes = ends if to_ends else sizes
        places = corner if to_ends or centre is None else centre
        if places is None:
            raise Unreadable(f"has no columns x and y; its columns are {', '.join(names)}")
        if sizes is None and side is None:
            raise Unreadable(
                f"has no columns width and height, or size; give --box-size (columns: "
                f"{', '.join(names)})"
            )
        word = None if label is None else one((label.strip().lower().lstrip("_"),))
        if label is not None and word is None:
            raise Unreadable(
                f"has no column {label}; its columns are {', '.join(names)}: choose with "
                "--label-column"
            )
        centred = at == "centre" or (
            at == "auto" and not to_ends and (places == centre or sizes is None)
        )
        return cls(
            file=one(FILES),
            frame=one(FRAMES),
            places=places,
            centred=centred,
            sizes=sizes,
            ends=to_ends,
            side=side,
            word=word,
        )

    def entry(self, cells: Sequence[str]) -> Entry:
        """The box of a row.

        Raises:
            Unreadable: it has none.
        """
        x, y = (number_in(cells, place) for place in self.places)
        width = height = 0.0
        if self.sizes is not None:
            width, height = (number_in(cells, place) for place in self.sizes)
        frame = -1 if self.frame is None else round(number_in(cells, self.frame))
        return Entry(
            cells[self.file].strip() if self.file is not None and self.file < len(cells) else "",
            frame,
            self.box(x, y, width, height),
            "" if self.word is None or self.word >= len(cells) else plain(cells[self.word]),
        )

    def box(self, x: float, y: float, width: float, height: float) -> tuple[int, int, int, int]:
        """The pixels of a box.

        Raises:
            Unreadable: it has none, or too many.
        """
        if self.ends:
            width, height = width - x, height - y
        if self.side is not None:
            if not self.centred and self.sizes is not None:
                x, y = x + (width - 1) / 2, y + (height - 1) / 2
            width = height = self.side
        sides = round(width), round(height)
        if not all(1 <= one <= LARGEST_BOX for one in sides):
            raise Unreadable(f"has a box of {width:g} x {height:g} pixels; use 1 to {LARGEST_BOX}")
        if self.centred or (self.side is not None and self.sizes is not None):
            x, y = x - sides[0] // 2, y - sides[1] // 2
        return math.floor(x + 0.5), math.floor(y + 0.5), *sides


def number_in(cells: Sequence[str], place: int) -> float:
    """The number in a cell.

    Raises:
        Unreadable: it holds none.
    """
    text = cells[place].strip() if place < len(cells) else ""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not abs(found) < 1e9:
        raise Unreadable(f"has {text!r} where a number is needed")
    return found
