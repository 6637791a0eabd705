"""A page without a server: frames with their finds, what is left over of them, and paths of tracks.

It is one file that needs no network.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from mcevae.base.files import write_text
from mcevae.base.names import as_text
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.pictured import MOST_DRAWN, chosen, pictured, whole_of
from mcevae.pages.report import ASSETS, environment

DASHES = ("", "7 4", "2 3", "9 3 2 3")
"""So that groups can be told without colours; as on the explorer's page."""


def sheet_of(table: Path) -> Path:
    """The path of the page of a table."""
    return table.with_suffix(".html")


def write_sheet(board: Board) -> Path:
    """Write the page of a table of finds beside it.

    Args:
        board: the table and its frames.

    Raises:
        UserError: it cannot be written.
    """
    finds, path = board.finds, sheet_of(board.finds.path)
    ids = [i for i in (*range(finds.count), *finds.held.added) if finds.is_row(i)]
    rows = [row for row in map(finds.row, ids) if row["found"]]
    named = [str(name) for name in finds.groups]
    shown = chosen(board)
    text = (
        environment()
        .get_template("finds-sheet.html.j2")
        .render(
            style=Markup((ASSETS / "page.css").read_text("utf-8")),
            script=Markup((ASSETS / "finds-sheet.js").read_text("utf-8")),
            run=as_text(board.run.folder.name),
            table=as_text(str(finds.path)),
            frames=board.album.name,
            count=len(board.album),
            things=len(rows),
            changes=board.corrections.done,
            groups=told(rows, named, tracked=finds.tracked),
            names=named,
            tracks=len({row["track"] for row in rows}) if finds.tracked else 0,
            pictures=[pictured(board, index) for index in shown],
            film=film(board, rows, shown[len(shown) // 2]) if finds.tracked and shown else None,
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


def film(board: Board, rows: list[dict[str, Any]], index: int) -> dict[str, Any]:
    """The paths of all tracks over one frame of the film, for the template."""
    paths: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        paths.setdefault(int(row["track"]), []).append(row)
    longest = sorted(paths.items(), key=lambda one: -len(one[1]))[:MOST_DRAWN]
    return {
        "frame": whole_of(board, index),
        "paths": [
            {
                "track": track,
                "group": own[-1]["group"],
                "first": own[0],
                "points": " ".join(f"{row['x']:.1f},{row['y']:.1f}" for row in own),
            }
            for track, own in longest
        ],
    }
