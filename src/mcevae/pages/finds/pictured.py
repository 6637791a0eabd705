"""Pictures of frames with their finds, and of what is left over, for a page without a server."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mcevae.base.errors import UserError
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.tiles import SIDE, STEPS, TooMuch, Window
from mcevae.pages.sheets import data_uri

FEWEST, MOST = 6, 60
"""Frames on the page."""
MOST_PIXELS = 2**23
"""Pixels of all frames on the page together, as they are shown, unless they are few."""
MOST_DRAWN = 2_000
"""Boxes of a frame, and paths of a film, at most; the surest, and the longest."""
ENDS = (2, STEPS - 2)
"""Percentiles that are black and white."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A picture of a rectangle of a frame, in pixels of the frame."""

    x: int
    y: int
    width: int
    height: int
    address: str


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a frame, as pieces, and the things that are drawn on it; pixels of the frame."""

    x: int
    y: int
    width: int
    height: int
    pieces: list[Piece]
    things: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """A frame on the page.

    Attributes:
        name: of the frame.
        fault: why it cannot be shown; None: it is.
        whole: the frame with its things.
        part: the part that `rest` is of, with its things; None: the whole frame.
        rest: what is left over without background and things.
        unknown: why there is no `rest`.
    """

    name: str
    fault: str | None = None
    whole: View | None = None
    part: View | None = None
    rest: View | None = None
    unknown: str | None = None


def chosen(board: Board) -> list[int]:
    """The frames that are shown, evenly spaced: of a film all may be, else those with things."""
    every = range(len(board.album))
    full = [i for i in every if board.finds.tracked or board.finds.in_frame(i)]
    if not full:
        return []
    count = min(len(full), most_shown(board, full[len(full) // 2]))
    at = np.linspace(0, len(full) - 1, count).round().astype(int)
    return [full[i] for i in dict.fromkeys(at.tolist())]


def most_shown(board: Board, index: int) -> int:
    """How many frames as large as this one the page has room for."""
    try:
        given = board.frame(index)
    except ValueError:
        return FEWEST
    step = 1 << level_of(given)
    pixels = math.ceil(given["height"] / step) * math.ceil(given["width"] / step)
    return min(MOST, max(FEWEST, MOST_PIXELS // pixels))


def level_of(given: dict[str, Any]) -> int:
    """The level at which a frame is shown: at most twice the side of a tile."""
    return max(0, given["levels"] - 2)


def name_of_frame(board: Board, index: int) -> str:
    """What a frame is called."""
    entry = board.album.entries[index]
    return f"{entry.file}#{entry.number}" if entry.number else entry.file


def whole_of(board: Board, index: int) -> Pictured:
    """A frame with its things."""
    name = name_of_frame(board, index)
    try:
        given = board.frame(index)
        windows = windows_of(given, level_of(given))
        whole = view_of(board, index, given, windows, surest(given["things"]))
    except ValueError as error:
        return Pictured(name=name, fault=str(error))
    return Pictured(name=name, whole=whole)


def surest(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The things that are drawn: those with the highest probability, which come first."""
    return sorted(things, key=lambda one: -(one["probability"] or 0))[:MOST_DRAWN]


def pictured(board: Board, index: int) -> Pictured:
    """A frame with its things, and what is left over of it, or of its fullest part."""
    known = whole_of(board, index)
    if known.whole is None:
        return known
    try:
        given = board.frame(index)
        windows, rest = left_over(board, index, given)
        part = None
        if (rest.width, rest.height) != (known.whole.width, known.whole.height):
            inside = [one for one in given["things"] if lies_in(one, rest)]
            part = view_of(board, index, given, windows, surest(inside))
    except (ValueError, UserError) as error:
        return Pictured(name=known.name, whole=known.whole, unknown=str(error).rstrip("."))
    return Pictured(name=known.name, whole=known.whole, part=part, rest=rest)


def left_over(board: Board, index: int, given: dict[str, Any]) -> tuple[list[Window], View]:
    """The largest part of a frame whose residual can be drawn, and that residual.

    Args:
        board: table and frames.
        index: number of the frame.
        given: as `Board.frame` tells of it.

    Raises:
        TooMuch: too many things are on even a small part, or even such a part is too large.
        ValueError: the frame cannot be read.
        UserError: the run has no templates, and none can be made.
    """
    level, known = level_of(given), board.residual_levels(index)
    if not known:
        raise TooMuch("it takes too long even for a small part of the frame")
    top = min(level, known - 1)
    tried = [windows_of(given, level)] if top == level else []
    tried += [[fullest(given, lower)] for lower in range(top, -1, -1)]
    for windows in tried:
        try:
            return windows, view_of(board, index, given, windows, [], residual=True)
        except TooMuch:
            continue
    raise TooMuch("too many things are on even a small part of the frame")


def windows_of(given: dict[str, Any], level: int) -> list[Window]:
    """The tiles of a whole frame."""
    down, across = (math.ceil(given[name] / (SIDE << level)) for name in ("height", "width"))
    return [Window(level=level, row=i, column=j) for i in range(down) for j in range(across)]


def fullest(given: dict[str, Any], level: int) -> Window:
    """The tile with the most things; the one in the middle if there are none."""
    reach = SIDE << level
    size = np.array([given["height"], given["width"]])
    at = np.array([[one["y"], one["x"]] for one in given["things"]] or [size / 2])
    place = np.clip(at // reach, 0, (size - 1) // reach).astype(int)
    places, count = np.unique(place, axis=0, return_counts=True)
    row, column = places[count.argmax()].tolist()
    return Window(level=level, row=row, column=column)


def view_of(
    board: Board,
    index: int,
    given: dict[str, Any],
    windows: list[Window],
    things: list[dict[str, Any]],
    *,
    residual: bool = False,
) -> View:
    """A part of a frame, made of tiles."""
    found = []
    for window in windows:
        reach = SIDE << window.level
        x, y = window.column * reach, window.row * reach
        found.append(
            Piece(
                x=x,
                y=y,
                width=min(reach, given["width"] - x),
                height=min(reach, given["height"] - y),
                address=data_uri(board.tile(index, window, ENDS, residual), "png"),
            )
        )
    x, y = min(one.x for one in found), min(one.y for one in found)
    return View(
        x=x,
        y=y,
        width=max(one.x + one.width for one in found) - x,
        height=max(one.y + one.height for one in found) - y,
        pieces=found,
        things=things,
    )


def lies_in(thing: dict[str, Any], view: View) -> bool:
    """Whether the middle of a thing lies in a part of a frame."""
    inside = view.x <= thing["x"] < view.x + view.width
    return inside and view.y <= thing["y"] < view.y + view.height
