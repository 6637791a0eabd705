"""Follow the things of a film: in memory, or as a table that can be continued."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mcevae.base.files import atomic
from mcevae.finding.finder import Finder
from mcevae.finding.frames import Large
from mcevae.finding.keeping import Kept
from mcevae.finding.settings import FindConfig
from mcevae.finding.sources import Frames, Tell
from mcevae.images.forms import Pictures
from mcevae.images.readers.frames import Fault, write_faults
from mcevae.images.sources.contract import Track
from mcevae.predicting.parts import begin_parts, whole_part
from mcevae.predicting.predictor import skipped
from mcevae.runs.infer import check_table_path, write_tables
from mcevae.runs.run import TrainedRun
from mcevae.tracking.film import Film, finds_in
from mcevae.tracking.linking import need_laptrack
from mcevae.tracking.settings import TrackConfig
from mcevae.tracking.tracks import tracks_of

FORM = "tracks 1 "
"""Begins the identity of finds, so that none are linked whose columns meant something else."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Things that were followed through a film.

    Attributes:
        table: a row for each frame of each track, as `tracks_of` describes it.
        faults: files and frames that could not be used, and why.
        notes: remarks on frames that were read.
    """

    table: pa.Table
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the tracks."""
        return count_of(self.table)

    def __getitem__(self, column: str) -> np.ndarray:
        """A column of the table."""
        return self.table[column].to_numpy()


def count_of(table: pa.Table) -> int:
    """Count the tracks of a table."""
    return table["track"][-1].as_py() + 1 if table.num_rows else 0


def track_in(
    run: TrainedRun,
    film: str | Path | Pictures,
    settings: TrackConfig | None = None,
    finding: FindConfig | None = None,
) -> Tracks:
    """Follow the things of a run through a film; all finds must fit in memory.

    Args:
        run: an open run.
        film: a path, or frames in memory, as for `find_in`, in the order of time.
        settings: how finds are linked; None: as `TrackConfig` has it.
        finding: how things are found in each frame; None: as `FindConfig` has it.

    Raises:
        UserError: as for `find_in`; or laptrack is not installed, or tracks are too few for the
            kinds.
    """
    need_laptrack()
    source = Frames.of(film, run)
    finder = Finder(run, finding or FindConfig())
    parts = list(source.found(lambda time, frame: finds_in(finder, time, frame)))
    table = tracks_of(Film.of(finder, parts), settings or TrackConfig())
    return Tracks(table=table, faults=tuple(source.faults), notes=tuple(source.notes))


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A table of tracks that was written.

    Attributes:
        table: its path.
        tracks, frames, finds: how many.
        faults, notes: as for `Tracks`.
    """

    table: Path
    tracks: int
    frames: int
    finds: int
    faults: list[Fault]
    notes: list[str]

    def in_words(self) -> str:
        """Describe the table in one line."""
        told = "1 track" if self.tracks == 1 else f"{self.tracks:,} tracks"
        frames = "1 frame" if self.frames == 1 else f"{self.frames:,} frames"
        return f"{told} of {self.finds:,} finds in {frames}: {self.table}"


def finds_of(out: Path) -> Path:
    """The table of finds beside a table of tracks, from which they are linked anew."""
    return out.with_name(f"{out.stem}.finds.parquet")


def write_tracks(
    run: TrainedRun,
    film: str,
    out: Path,
    settings: TrackConfig,
    finding: FindConfig,
    *,
    overwrite: bool = False,
    track: Track = iter,
    tell: Tell = lambda done, frame, things: None,
) -> Followed:
    """Write a table of tracks. If this is stopped, the same call continues it.

    The finds of all frames are kept beside it; with other settings of links they are not made anew.

    Args:
        run: an open run.
        film: path of the frames.
        out: table to write, .parquet or .csv.
        settings: how finds are linked.
        finding: how things are found in each frame.
        overwrite: replace the table if it exists.
        track: as for `templates_of`.
        tell: see `finding.sources.Tell`.

    Raises:
        UserError: as for `track_in`, or the table exists or cannot be written.
    """
    check_table_path(out)
    need_laptrack()
    source = Frames.of(film, run)
    assert source.snapshot is not None
    identity = source.identity(FORM, run, finding, out, overwrite=overwrite)
    finder = Finder(run, finding, track)
    rows = known_finds(finds_of(out), identity)
    if rows is None:
        folder = begin_parts(out, identity)

        def look(time: int, frame: Large, kept: Kept) -> pa.Table:
            return finds_in(
                finder, time, frame, lambda done, things: tell(done, frame.name, things), kept
            )

        parts = source.parts(folder, look)
        source.snapshot.check_unchanged()
        write_faults(source.faults, skipped(out))
        rows = pa.concat_tables(whole_part(path) for path in parts)
        about = {"mcevae": identity, "mcevae.frames": str(len(parts))}
        with atomic(finds_of(out)) as temporary:
            parquet.write_table(rows.replace_schema_metadata(about), temporary)
        rows = rows.replace_schema_metadata(about)
        shutil.rmtree(folder)
    table = tracks_of(Film.of(finder, [rows]), settings)
    about = {"mcevae": identity, "mcevae.checkpoint": run.in_words, **finding.metadata}
    write_tables([table.replace_schema_metadata(about)], out)
    return Followed(
        table=out,
        tracks=count_of(table),
        frames=int((rows.schema.metadata or {})[b"mcevae.frames"]),
        finds=rows.num_rows,
        faults=source.faults,
        notes=source.notes,
    )


def known_finds(path: Path, identity: str) -> pa.Table | None:
    """The finds that are kept; None: there are none of this film, run and these settings."""
    try:
        rows = parquet.read_table(path)
    except (OSError, pa.ArrowException):
        return None
    known = rows.schema.metadata or {}
    return rows if known.get(b"mcevae") == identity.encode() else None
