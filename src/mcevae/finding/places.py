"""Tables of places, as `mcevae find`, `mcevae track` and `mcevae fit --scenes` write them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from pyarrow import csv, parquet

from mcevae.base.errors import UserError
from mcevae.finding.corrections import corrected
from mcevae.finding.finder import BOX

NEEDED = ("file", "frame", "x", "y", "group", "probability")
"""Columns that every table of places has, with those of its boxes."""
READERS = {".parquet": parquet.read_table, ".csv": csv.read_csv}


@dataclass(frozen=True, kw_only=True)
class Places:
    """Places of n things in frames.

    Attributes:
        name: of the table, for errors.
        rows: the table; rows without a find (gaps of tracks) are left out.
        all: the table with all of its rows.
        frames: file and number of each frame, in the order of the table.
        frame: (n,) the place of each thing's frame in `frames`.
        groups: names of the groups, sorted.
        group: (n,) the place of each thing's group in `groups`.
    """

    name: str
    rows: pa.Table
    all: pa.Table
    frames: list[tuple[str, int]]
    frame: Int[np.ndarray, " n"]
    groups: list[str]
    group: Int[np.ndarray, " n"]

    @classmethod
    def read(cls, path: Path) -> "Places":
        """Read a table, with its corrections.

        Raises:
            UserError: it cannot be read, lacks a column, or has a value that is none; or its
                corrections are damaged, or of another table.
        """
        rows = corrected(path, read_rows(path))
        try:
            return cls.of(str(path), rows)
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise UserError(f"{path}: has a value that is no place ({error}).") from error

    @classmethod
    def of(cls, name: str, rows: pa.Table) -> "Places":
        """Places of the rows of a table.

        Raises:
            ValueError, TypeError, pa.ArrowException: a value is missing, or of another kind.
        """
        whole, rows = rows, found_in(rows)
        for one in (*NEEDED, *BOX):
            kind = pa.string() if one in ("file", "group") else pa.float64()
            kind = pa.int64() if one == "frame" else kind
            column = rows[one].cast(kind)
            if column.null_count:
                raise ValueError(f"{one} is missing in {column.null_count} rows")
            if kind == pa.float64() and not np.isfinite(column.to_numpy()).all():
                raise ValueError(f"{one} is not finite")
            rows = rows.set_column(rows.schema.get_field_index(one), one, column)
        named = [*zip(rows["file"].to_pylist(), rows["frame"].to_pylist(), strict=True)]
        frames = list(dict.fromkeys(named))
        groups = sorted(set(rows["group"].to_pylist()))
        place, number = ({key: i for i, key in enumerate(keys)} for keys in (frames, groups))
        return cls(
            name=name,
            rows=rows,
            all=whole,
            frames=frames,
            frame=np.array([place[one] for one in named], np.int64),
            groups=groups,
            group=np.array([number[one] for one in rows["group"].to_pylist()], np.int64),
        )

    def __len__(self) -> int:
        """Count the things."""
        return self.rows.num_rows

    def __getitem__(self, column: str) -> Float[np.ndarray, " n"]:
        """A column of numbers."""
        return self.rows[column].cast(pa.float64()).to_numpy().astype(float)

    def has(self, column: str) -> bool:
        """Whether there is such a column."""
        return column in self.rows.schema.names

    @property
    def boxes(self) -> Float[np.ndarray, "n 4"]:
        """Left, top, width and height of each box, pixels of the frame."""
        return np.stack([self[name] for name in BOX], 1)

    def time(self) -> Int[np.ndarray, " n"]:
        """The number of each thing's frame in its film, from 0."""
        return self["time"].astype(np.int64) if self.has("time") else self.frame

    def by_frame(self) -> Iterator[tuple[str, Int[np.ndarray, " m"]]]:
        """A name for the files of each frame, and its rows.

        Raises:
            UserError: two frames would get the same name.
        """
        many = {file for file, number in self.frames if number}
        seen: dict[str, str] = {}
        for (file, number), rows in zip(self.frames, self.split(self.frame), strict=True):
            name = plain(file) + (f"_{number:06}" if file in many else "")
            if name in seen:
                raise UserError(
                    f"{self.name}: files of {seen[name]} and {file} would have the same name, "
                    f"{name}; rename one, or convert their rows one after the other."
                )
            seen[name] = file
            yield name, rows

    def by_file(self) -> Iterator[tuple[str, Int[np.ndarray, " m"]]]:
        """Each file, and its rows, in the order of the table."""
        number = {file: i for i, file in enumerate(dict.fromkeys(file for file, _ in self.frames))}
        of = np.array([number[file] for file, _ in self.frames], np.int64)
        yield from zip(number, self.split(of[self.frame]), strict=True)

    @staticmethod
    def split(of: Int[np.ndarray, " n"]) -> list[Int[np.ndarray, " _"]]:
        """Rows of each number of 0 to the largest, in their order; no number is missing."""
        order = np.argsort(of, kind="stable")
        return np.split(order, np.bincount(of).cumsum()[:-1]) if len(of) else []


def read_rows(path: Path) -> pa.Table:
    """All rows of a table of places as its file has them, gaps of tracks too.

    Raises:
        UserError: it cannot be read, or lacks a column.
    """
    if path.suffix not in READERS:
        raise UserError(f"{path}: is not a table; give a path that ends in .parquet or .csv.")
    try:
        rows = READERS[path.suffix](path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read as a table ({error}).") from error
    missing = [name for name in (*NEEDED, *BOX) if name not in rows.schema.names]
    if missing:
        raise UserError(
            f"{path}: has no column {missing[0]!r}; give a table that `mcevae find` or `mcevae "
            "track` wrote."
        )
    return rows


def found_in(rows: pa.Table) -> pa.Table:
    """The rows of a table that are finds: gaps of tracks are left out."""
    return rows.filter(rows["found"]) if "found" in rows.schema.names else rows


def plain(file: str) -> str:
    """The name of a file without folders and ending: it leads to no other folder."""
    whole = file.replace("\\", "/").strip("/.")
    head, dot, _ = whole.rpartition(".")
    name = head if dot and "/" not in whole[len(head) :] else whole
    return name.replace("/", "__") or "frame"
