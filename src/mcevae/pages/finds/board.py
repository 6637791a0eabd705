"""What a page of finds shows and changes: a table of finds, its frames, and its corrections."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mcevae.finding.corrections import (
    Corrections,
    corrections_of,
    read_corrections,
)
from mcevae.finding.finder import Finder, recipe_of
from mcevae.images.readers.frames import Unreadable
from mcevae.pages.finds.album import Album
from mcevae.pages.finds.finds import Finds
from mcevae.pages.finds.tiles import SIDE, Residual, Tiles, Window, levels_of
from mcevae.runs.run import TrainedRun

MOST_SHOWN = 20_000
"""Things of a frame that a page gets, at most, the first of the table."""
MOST_POINTS = 20_000
"""Points of paths that a page gets, at most."""


class Board:
    """A table of finds, its frames and its corrections."""

    def __init__(
        self, run: TrainedRun, table: Path, album: Album, told: Mapping[str, Any] | None = None
    ) -> None:
        """Read the table.

        Args:
            run: an open run.
            table: of `mcevae find` or `mcevae track`.
            album: its frames.
            told: fields of `FindConfig`, how its things were found; others are as the table says.

        Raises:
            UserError: the table cannot be read, is of other frames, or its corrections are damaged.
        """
        self.run, self.album = run, album
        self.finds = Finds(table, album, tuple(one.name for one in run.collections.entries))
        self.settings = replace(self.finds.settings, **(told or {}))
        self._finder: Finder | None = None
        self.lock, self._reading = threading.RLock(), threading.RLock()
        self._state: tuple[int, int] | None = None
        self.take(read_corrections(table))
        recipe = recipe_of(run, self.settings)
        self.tiles = Tiles(recipe=recipe, colours=run.colours, finder=self.finder)

    def finder(self) -> Finder:
        """What finds things; made when it is first needed.

        Raises:
            UserError: the run has no templates, and none can be made.
        """
        if self._finder is None:
            self._finder = Finder(self.run, self.settings)
        return self._finder

    # What is shown

    def about(self) -> dict[str, Any]:
        """The frames, and the groups."""
        files = [*dict.fromkeys(one.file for one in self.album.entries)]
        place = {file: i for i, file in enumerate(files)}
        return {
            "files": files,
            "frames": [[place[one.file], one.number] for one in self.album.entries],
            "groups": list(self.finds.groups),
            "tracked": self.finds.tracked,
            "side": SIDE,
            **self.state(),
        }

    def state(self) -> dict[str, Any]:
        """The version of the corrections, what can be undone, and how many things groups have."""
        with self.lock:
            now = self.corrections
            return {
                "version": now.version,
                "undo": now.done,
                "redo": len(now.changes) - now.done,
                "counts": self.finds.counts(),
            }

    def frame(self, index: int, past: int | None = 0) -> dict[str, Any]:
        """A frame: its size, its things, and the paths of its tracks.

        Args:
            index: number of the frame.
            past: frames before this one of which paths are shown; None: whole paths.

        Raises:
            IndexError: there is no such frame.
            ValueError: it cannot be read.
        """
        with self.readable(index) as frame:
            height, width = frame.view.shape[:2]
            levels = levels_of(frame)
        with self.lock:
            state, ids = self.state(), self.finds.in_frame(index)
            rows = [self.finds.row(i) | {"id": i} for i in ids[:MOST_SHOWN]]
            paths = self.paths(index, past) if self.finds.tracked and past != 0 else []
        return {
            **state,
            "width": width,
            "height": height,
            "levels": levels,
            "things": [rounded(row) for row in rows],
            "more": len(ids) - len(rows),
            "paths": paths,
        }

    def paths(self, index: int, past: int | None) -> list[dict[str, Any]]:
        """The paths of the tracks that are in a frame; see `frame`."""
        tracks = {self.finds.row(i)["track"] for i in self.finds.in_frame(index)}
        found = []
        for track in sorted(tracks - {None}):
            rows = [self.finds.row(i) for i in self.finds.in_track(int(track))]
            rows = [row for row in rows if row["time"] is not None]
            now = [row["time"] for row in rows]
            here = self.time_of(index)
            kept = [past is None or here - past <= time <= here for time in now]
            points = [[r["x"], r["y"]] for r, keep in zip(rows, kept, strict=True) if keep]
            found.append({"track": int(track), "group": rows[-1]["group"], "points": points})
        total = sum(len(one["points"]) for one in found)
        step = math.ceil(total / MOST_POINTS) if total else 1
        for one in found:
            thin = [*one["points"][::step], *one["points"][-1:]] if step > 1 else one["points"]
            one["points"] = [[round(x, 1), round(y, 1)] for x, y in thin]
        return found

    def time_of(self, index: int) -> float:
        """The time of a frame in the table; its number, if nothing was found in it."""
        for i in self.finds.in_frame(index):
            if (time := self.finds.row(i)["time"]) is not None:
                return time
        return float(index)

    def tile(self, index: int, window: Window, ends: tuple[int, int], residual: bool) -> bytes:
        """A tile as PNG, see `Tiles.png`.

        Raises:
            IndexError: there is no such frame or tile.
            ValueError: it cannot be read or drawn.
        """
        with self.lock:
            things = self.things(index) if residual else None
        with self.readable(index) as frame:
            return self.tiles.png(index, frame, window, ends, things)

    def residual_levels(self, index: int) -> int:
        """How many levels of a frame have residuals, see `Tiles.residual_levels`.

        Raises:
            IndexError: there is no such frame.
            ValueError: it cannot be read.
            UserError: the run has no templates, and none can be made.
        """
        with self.readable(index) as frame:
            return self.tiles.residual_levels(frame)

    def things(self, index: int, without: Sequence[int] = ()) -> Residual:
        """What a residual leaves out of a frame: all things that are found in it, but for some."""
        ids = [i for i in self.finds.in_frame(index) if i not in without]
        rows = [row for row in map(self.finds.row, ids) if row["found"]]
        places = torch.tensor([[row["x"], row["y"]] for row in rows]).view(-1, 2)
        known = [-1 if row["cluster"] is None else row["cluster"] for row in rows]
        clusters = torch.tensor(known, dtype=torch.long)
        return self.corrections.version, places.float(), clusters

    @contextmanager
    def readable(self, index: int) -> Iterator[Any]:
        """A frame that nobody else reads meanwhile.

        Raises:
            ValueError: it cannot be read.
        """
        with self._reading:
            try:
                yield self.album.frame(index)
            except Unreadable as error:
                entry = self.album.entries[index]
                name = f"{entry.file}#{entry.number}" if entry.number else entry.file
                raise ValueError(f"{name} {error}") from error

    @property
    def corrections(self) -> Corrections:
        """The corrections as they are now in their file.

        Raises:
            UserError: they are damaged.
        """
        with self.lock:
            if self._state != self._state_of_file():
                self.take(read_corrections(self.finds.path))
            return self._corrections

    def _state_of_file(self) -> tuple[int, int] | None:
        try:
            state = corrections_of(self.finds.path).stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size

    def take(self, now: Corrections) -> None:
        """Show the table with these corrections, which are those of the file."""
        self._state, self._corrections = self._state_of_file(), now
        self.finds.held = now.holding(self.finds.count)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with numbers as short as a page needs them."""
    return {
        name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()
    }
