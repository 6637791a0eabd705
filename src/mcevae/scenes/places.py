"""Places of things in all frames of a source, and the table of crops around them."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from mcevae.base.errors import UserError
from mcevae.base.files import write_rows
from mcevae.finding.finder import BOX
from mcevae.finding.frames import Large
from mcevae.finding.sources import Frames
from mcevae.images.readers.frames import Unreadable
from mcevae.scenes.guess import guessed

FEWEST = 12
"""Places that something can be learned from, at least."""
HELD = 10
"""Of so many frames one is held out: groups are not learned from it, but it is searched."""
COLUMNS = ["file", "frame", "x", "y"]
"""Of all tables of places."""
Tell = Callable[[str, int], None]
"""Called with the name of each frame that is done, and the number of its things."""


def is_held(number: int) -> bool:
    """Whether a frame is held out.

    Args:
        number: of the frame in its source, from 0.
    """
    return number % HELD == HELD - 1


def learned_from(places: pa.Table) -> pa.Table:
    """The places that groups are learned from: those that are not in frames held out."""
    return places.filter(pa.array(~places["held"].to_numpy()))


def first_places(frames: Frames, size: int, tell: Tell) -> pa.Table:
    """The first guess for all frames: columns file, frame, x, y, held (`is_held`).

    Args:
        frames: of a source.
        size: side of the box around one thing, pixels.
        tell: see `Tell`.

    Raises:
        UserError: no frame can be used.
    """

    def look(number: int, frame: Large) -> pa.Table:
        height, width = frame.view.shape[:2]
        if min(height, width) < size:
            raise Unreadable(f"is {width} x {height} pixels, smaller than a box of {size}")
        place = guessed(frame, size).numpy()
        tell(frame.name, len(place))
        return pa.table(
            {
                "file": pa.array([frame.file] * len(place), pa.string()),
                "frame": np.full(len(place), frame.number, np.int32),
                "x": place[:, 0],
                "y": place[:, 1],
                "held": np.full(len(place), is_held(number)),
            }
        )

    return pa.concat_tables(frames.found(look))


def check_enough(places: pa.Table, source: str, clusters: int | str) -> None:
    """Refuse frames in which too little was found to learn from.

    Args:
        places: that were found.
        source: name of the frames.
        clusters: number of clusters, or "auto".

    Raises:
        UserError: there are too few places.
    """
    least = max(FEWEST, 4 * clusters if isinstance(clusters, int) else 0)
    if not places.num_rows:
        raise UserError(
            f"{source}: nothing stands out in the frames that is about as large as --size; check "
            "it, or give a table of places with --boxes."
        )
    if places.num_rows < least:
        raise UserError(
            f"{source}: {places.num_rows} things stand out in the frames, and {least} are needed; "
            "give more frames, another --size, or fewer --clusters."
        )


def write_crops(places: pa.Table, size: int, path: Path) -> None:
    """Write a table of boxes around places, for `--boxes`.

    Args:
        places: columns file, frame, x, y.
        size: side of the boxes, pixels.
        path: of the table, .csv.
    """
    rows = places.select(COLUMNS).to_pylist()
    single = max(row["frame"] for row in rows) == 0
    names = ("file", *(() if single else ("frame",)))
    write_rows(
        path,
        (*names, *BOX),
        (
            (
                *(str(row[name]) for name in names),
                *(str(math.floor(row[axis] - size / 2 + 0.5)) for axis in ("x", "y")),
                *(str(size), str(size)),
            )
            for row in rows
        ),
    )


def left_behind(before: pa.Table, after: pa.Table, size: int) -> int:
    """How many places have no place of another table within half a box.

    Args:
        before, after: columns file, frame, x, y.
        size: side of the boxes, pixels.
    """
    known: dict[tuple[str, int], list[complex]] = {}
    for row in after.select(COLUMNS).to_pylist():
        at = complex(row["x"], row["y"])
        known.setdefault((row["file"], row["frame"]), []).append(at)
    count = 0
    for row in before.select(COLUMNS).to_pylist():
        near = np.array(known.get((row["file"], row["frame"]), []))
        far = np.abs(near - complex(row["x"], row["y"]))
        count += int(far.min(initial=np.inf) > size / 2)
    return count


def things_in(places: pa.Table, clusters: int) -> tuple[int, ...]:
    """How many things of each cluster were found."""
    counts = Counter(places["cluster"].to_pylist())
    return tuple(counts[k] for k in range(clusters))
