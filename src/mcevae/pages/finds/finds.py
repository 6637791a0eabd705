"""A table of finds by the numbers of their frames, with what people corrected."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from mcevae.base.errors import UserError
from mcevae.finding.corrections import ADDED, AS_FOUND, MARK, Holding
from mcevae.finding.finder import BOX
from mcevae.finding.places import Places, read_rows
from mcevae.finding.settings import FindConfig
from mcevae.pages.finds.album import Album

PLACE = ("x", "y", *BOX)
EXTRA = ("probability", "rotation_deg", "scale", "track", "time")
"""Columns of numbers that may be empty, or missing in a table."""


class Finds:
    """The rows of a table, each in its frame.

    Attributes:
        path: of the table.
        schema: its columns.
        count: number of its rows.
        settings: how they were found, as the table says.
        tracked: whether the rows are those of tracks.
        groups: names of the groups: those of the run, then others.
        held: what people corrected.
    """

    def __init__(self, path: Path, album: Album, groups: tuple[str, ...]) -> None:
        """Read a table.

        Args:
            path: of the table.
            album: its frames.
            groups: names of the run's groups.

        Raises:
            UserError: it cannot be read, or is of other frames.
        """
        table = read_rows(path)
        try:
            places = Places.of(str(path), table)  # refuses values that are none
            columns = {name: numbers(table, name) for name in (*PLACE, *EXTRA)}
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise UserError(f"{path}: has a value that is no place ({error}).") from error
        self.path, self.schema, self.count = path, table.schema, table.num_rows
        self.settings = FindConfig.of_table(table.schema.metadata)
        self.columns = columns
        self.tracked = {"track", "time", "found"} <= {*table.schema.names}
        self.found = (
            table["found"].to_numpy() if self.tracked else np.ones(table.num_rows, bool)
        ).astype(bool)
        self.groups = (*groups, *(name for name in places.groups if name not in groups))
        self.code = {name: i for i, name in enumerate(self.groups)}
        names = table["group"].to_pylist()
        self.group = np.array([self.code.get(name, -1) for name in names], np.int64)
        cluster = numbers(table, "cluster")
        self.cluster = np.nan_to_num(cluster, nan=-1).astype(np.int64)
        self.place = {(one.file, one.number): i for i, one in enumerate(album.entries)}
        self.frame = self._frames(places, album)
        self._rows_of = Places.split(self.frame + 1)  # the first are in no frame
        track = np.nan_to_num(columns["track"], nan=-1).astype(np.int64)
        self._rows_of_track = Places.split(track + 1) if self.tracked else []
        self.held = Holding()

    def _frames(self, places: Places, album: Album) -> Int[np.ndarray, " n"]:
        """The number of each row's frame in the album; -1: none."""
        missing = [key for key in places.frames if key not in self.place]
        if missing:
            file, number = missing[0]
            raise UserError(
                f"{self.path}: has finds in {file}{f'#{number}' if number else ''}, which is not "
                f"among the frames of {album.name}; give --frames the path that the table was made "
                "from."
            )
        known = np.array([self.place[key] for key in places.frames], np.int64)
        frame = np.full(self.count, -1, np.int64)
        frame[self.found] = known[places.frame] if len(places) else -1
        if self.tracked:  # gaps have no file, but a time
            time = np.nan_to_num(self.columns["time"], nan=-1).astype(np.int64)
            at = dict(zip(time[self.found].tolist(), frame[self.found].tolist(), strict=True))
            gaps = np.flatnonzero(~self.found)
            own = [at.get(t, t if t < len(album) else -1) for t in time[gaps].tolist()]
            frame[gaps] = own
        return frame

    def in_frame(self, index: int) -> list[int]:
        """The ids of the rows of a frame, those of the table first."""
        own = self._rows_of[index + 1].tolist() if index + 1 < len(self._rows_of) else []
        added = [i for i, row in self.held.added.items() if self.frame_of(row) == index]
        return [i for i in own if i not in self.held.deleted] + added

    def in_track(self, track: int) -> list[int]:
        """The ids of the rows of a track, in the order of time."""
        known = self._rows_of_track
        own = known[track + 1].tolist() if 0 <= track < len(known) - 1 else []
        added = [i for i, row in self.held.added.items() if row.get("track") == track]
        return [i for i in own if i not in self.held.deleted] + added

    def frame_of(self, row: dict[str, Any]) -> int:
        """The number of the frame of a row that was added."""
        return self.place.get((row["file"], row["frame"]), -1)

    def is_row(self, i: int) -> bool:
        """Whether there is a row with this id."""
        return i in self.held.added or (i < self.count and i not in self.held.deleted)

    def row(self, i: int) -> dict[str, Any]:
        """What a page shows of a row; its group is a number, the rotation may be missing."""
        if i in self.held.added:
            given = self.held.added[i]
            own = {name: given.get(name) for name in (*PLACE, *EXTRA)}
            own |= {"found": True, "group": self.code.get(given["group"], -1), MARK: ADDED}
            return own | {"cluster": given.get("cluster", -1)}
        own = {name: none_of(values[i]) for name, values in self.columns.items()}
        own |= {"found": bool(self.found[i]), "group": int(self.group[i])}
        own |= {"cluster": int(self.cluster[i]), MARK: AS_FOUND}
        changes = self.held.changed.get(i, {})
        own |= {name: value for name, value in changes.items() if name in own}
        if "group" in changes:
            own["group"] = self.code.get(changes["group"], -1)
        return own

    def counts(self) -> list[int]:
        """How many things are in each group."""
        counts = np.bincount(self.group[self.found], minlength=len(self.groups))
        touched = {i for i in (*self.held.deleted, *self.held.changed) if i < self.count}
        for i in touched:
            counts[self.group[i]] -= bool(self.found[i])
        for i in (*touched, *self.held.added):
            if self.is_row(i):
                row = self.row(i)
                counts[row["group"]] += row["found"]
        return counts.tolist()

    def tracks(self) -> int:
        """The number behind the largest one of a track."""
        added = [row.get("track", -1) for row in self.held.added.values()]
        return max(len(self._rows_of_track) - 1, 1 + max(added, default=-1))


def numbers(table: pa.Table, name: str) -> Float[np.ndarray, " n"]:
    """A column as numbers; NaN where it is empty, or if there is none."""
    if name not in table.schema.names:
        return np.full(table.num_rows, np.nan)
    return table[name].cast(pa.float64()).to_numpy().astype(float)


def none_of(value: float) -> float | None:
    """None of NaN."""
    return None if np.isnan(value) else float(value)
