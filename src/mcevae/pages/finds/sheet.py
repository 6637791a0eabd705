"""A page without a server: a few frames with their finds, how many there are, and paths of tracks.

It is one file that needs no network.
"""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mcevae.base.files import write_text
from mcevae.base.names import as_text
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.tiles import SIDE, STEPS, Window
from mcevae.pages.report import ASSETS, environment
from mcevae.pages.sheets import data_uri

SHOWN = 6
"""Frames on the page."""
MOST_DRAWN = 2_000
"""Boxes of a frame, and paths of a film, at most; the surest, and the longest."""
ENDS = (2, STEPS - 2)
"""Percentiles that are black and white."""
DASHES = ("", "7 4", "2 3", "9 3 2 3")
"""So that groups can be told without colours; as on the explorer's page."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A picture of a part of a frame, in pixels of the frame."""

    x: int
    y: int
    width: int
    height: int
    address: str


def sheet_of(table: Path) -> Path:
    """The path of the page of a table."""
    return table.with_suffix(".html")


def write_sheet(board: Board) -> Path:
    """Write the page of a table of finds beside it.

    Args:
        board: the table and its frames.

    Raises:
        UserError: it cannot be written.
        ValueError: none of the frames can be read.
    """
    finds, path = board.finds, sheet_of(board.finds.path)
    ids = [i for i in (*range(finds.count), *finds.held.added) if finds.is_row(i)]
    rows = [row for row in map(finds.row, ids) if row["found"]]
    named = [str(name) for name in finds.groups]
    pictures = [pictured(board, index) for index in chosen(board)]
    text = (
        environment()
        .get_template("finds-sheet.html.j2")
        .render(
            style=Markup((ASSETS / "page.css").read_text("utf-8")),
            run=as_text(board.run.folder.name),
            table=as_text(str(finds.path)),
            frames=board.album.name,
            count=len(board.album),
            things=len(rows),
            changes=board.corrections.done,
            groups=told(rows, named, tracked=finds.tracked),
            names=named,
            tracks=len({row["track"] for row in rows}) if finds.tracked else 0,
            pictures=pictures,
            film=film(board, rows) if finds.tracked and pictures else None,
            ink=ink,
            dash=lambda group: DASHES[group % len(DASHES)],
        )
    )
    write_text(path, text)
    return path


def ink(group: int) -> str:
    """The colour of a group, as on the explorer's page."""
    light = 0.86 if group % 2 else 0.78
    return f"oklch({light} 0.15 {(group * 137.508 + 20) % 360:.1f})"


def told(rows: list[dict[str, Any]], names: list[str], *, tracked: bool) -> list[dict[str, Any]]:
    """What is said of each group that has things: how many, in how many tracks, how sure."""
    count = Counter(row["group"] for row in rows)
    made = []
    for group, number in sorted(count.items(), key=lambda one: -one[1]):
        own = [row for row in rows if row["group"] == group]
        sure = [row["probability"] for row in own if row["probability"] is not None]
        made.append(
            {
                "group": group,
                "name": names[group],
                "things": number,
                "tracks": len({row["track"] for row in own}) if tracked else None,
                "probability": float(np.median(sure)) if sure else None,
            }
        )
    return made


def chosen(board: Board) -> list[int]:
    """The frames that are shown: evenly spaced among those that have things."""
    full = [i for i in range(len(board.album)) if board.finds.in_frame(i)]
    at = np.linspace(0, len(full) - 1, min(SHOWN, len(full))).round().astype(int)
    return [full[i] for i in dict.fromkeys(at.tolist())]


def pictured(board: Board, index: int) -> dict[str, Any]:
    """A frame with its things, for the template."""
    entry = board.album.entries[index]
    name = f"{entry.file}#{entry.number}" if entry.number else entry.file
    try:
        given = board.frame(index)
    except ValueError as error:
        return {"name": name, "fault": str(error)}
    height, width = given["height"], given["width"]
    things = sorted(given["things"], key=lambda one: -(one["probability"] or 0))[:MOST_DRAWN]
    return {
        "name": name,
        "fault": None,
        "width": width,
        "height": height,
        "things": things,
        "pieces": pieces(board, index, height, width, given["levels"]),
    }


def pieces(board: Board, index: int, height: int, width: int, levels: int) -> list[Piece]:
    """The pictures of a whole frame, of at most twice the side of a tile together."""
    level = max(0, levels - 2)
    reach = SIDE << level
    found = []
    for row in range(math.ceil(height / reach)):
        for column in range(math.ceil(width / reach)):
            window = Window(level=level, row=row, column=column)
            content = board.tile(index, window, ENDS, residual=False)
            x, y = column * reach, row * reach
            found.append(
                Piece(
                    x=x,
                    y=y,
                    width=min(reach, width - x),
                    height=min(reach, height - y),
                    address=data_uri(content, "png"),
                )
            )
    return found


def film(board: Board, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The paths of all tracks over a frame in the middle of the film, for the template."""
    paths: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        paths.setdefault(int(row["track"]), []).append(row)
    longest = sorted(paths.items(), key=lambda one: -len(one[1]))[:MOST_DRAWN]
    shown = chosen(board)
    return pictured(board, shown[len(shown) // 2]) | {
        "paths": [
            {
                "track": track,
                "group": own[-1]["group"],
                "first": own[0],
                "points": " ".join(f"{row['x']:.1f},{row['y']:.1f}" for row in own),
            }
            for track, own in longest
        ]
    }
