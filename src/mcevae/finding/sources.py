"""Find the things of all frames of a source: in memory, or as a table that can be continued."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mcevae.base.config import DataConfig
from mcevae.base.names import path_of
from mcevae.finding.finder import Finder
from mcevae.finding.frames import Large, frames_in_memory, frames_of_files
from mcevae.finding.keeping import Kept
from mcevae.finding.settings import FindConfig
from mcevae.images.forms import Pictures
from mcevae.images.readers.frames import Fault, Unreadable, write_faults
from mcevae.images.readers.reading import Reading
from mcevae.images.sources.contract import Track, no_image
from mcevae.images.sources.listing import files_of
from mcevae.images.sources.snapshot import Snapshot
from mcevae.predicting.engines import exists
from mcevae.predicting.parts import (
    begin_parts,
    is_of,
    known_part,
    parts_folder,
    whole_part,
    write_part,
)
from mcevae.predicting.predictor import skipped
from mcevae.runs.infer import check_table_path, write_tables
from mcevae.runs.run import TrainedRun

FORM = "finds 1 "
"""Begins the identity of tables, so that none is continued whose columns meant something else."""
Tell = Callable[[float, str, int], None]
"""Called with the share that is done of a frame, the frame's name, and its things so far."""


@dataclass(frozen=True, kw_only=True)
class Finds:
    """Things that were found in frames.

    Attributes:
        table: a row for each thing, as `Finder.rows` describes it.
        faults: files and frames that could not be used, and why.
        notes: remarks on frames that were read.
    """

    table: pa.Table
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the things."""
        return self.table.num_rows

    def __getitem__(self, column: str) -> np.ndarray:
        """A column of the table."""
        return self.table[column].to_numpy()


@dataclass(kw_only=True)
class Frames:
    """Frames of a source, and what was wrong with some of them.

    Attributes:
        name: of the source.
        frames: in their order.
        reading: gets the remarks.
        snapshot: state of the files; None: they are in memory.
        faults: what could not be used; grows while frames are taken.
    """

    name: str
    frames: Iterable[Large | Fault]
    reading: Reading
    snapshot: Snapshot | None = None
    faults: list[Fault] = field(default_factory=list)

    @classmethod
    def of(cls, frames: str | Path | Pictures, run: TrainedRun) -> "Frames":
        """Frames of a path, or in memory.

        Raises:
            UserError: there is no such path, or an array has another shape.
        """
        if not isinstance(frames, str | Path):
            reading = Reading.by(run.settings.data)
            return cls(name="images", frames=frames_in_memory(frames, reading), reading=reading)
        return cls.of_files(str(frames), run.settings.data)

    @classmethod
    def of_files(cls, frames: str, settings: DataConfig) -> "Frames":
        """Frames of a path.

        Args:
            frames: the path.
            settings: how its files are read.

        Raises:
            UserError: there is no such path.
        """
        reading, source = Reading.by(settings), path_of(frames)
        listing = files_of(source, links=settings.links)
        return cls(
            name=frames,
            frames=frames_of_files(listing.paths, source, reading),
            reading=reading,
            snapshot=Snapshot.of(frames, listing.paths),
            faults=list(listing.passed),
        )

    @property
    def notes(self) -> list[str]:
        """Remarks on the frames that were read so far, as sentences."""
        return [f"{sentence}." for sentence in self.reading.notes]

    def identity(
        self, form: str, run: TrainedRun, settings: FindConfig, out: Path, *, overwrite: bool
    ) -> str:
        """What tells a table of these frames from all others, so that a stopped one is continued.

        Args:
            form: begins it.
            run: an open run.
            settings: how things are found.
            out: the table.
            overwrite: whether it may be replaced.

        Raises:
            UserError: there is a table already, which may not be replaced and was not stopped.
        """
        assert self.snapshot is not None
        identity = form + run.identity + repr(sorted(asdict(settings).items(), key=str))
        identity += run.collections.to_json() + self.snapshot.fingerprint("all")
        if out.exists() and not overwrite and not is_of(parts_folder(out), identity):
            raise exists(out)
        return identity

    def parts(self, folder: Path, look: Callable[[int, Large, Kept], pa.Table]) -> dict[Path, int]:
        """Make the parts of a table in a folder, one for each frame, but for those that are there.

        Args:
            folder: of the parts, begun by `begin_parts`. Their names are the numbers of the frames.
            look: makes the rows of a frame with this number; tiles may be kept meanwhile.

        Returns:
            The number of rows of each part.

        Raises:
            UserError: there is no frame that can be used.
        """

        def kept(number: int, frame: Large) -> pa.Table:
            path = folder / f"{number:06}.part"
            if (rows := known_part(path)) is None:
                tiles = Kept(folder=folder, frame=number)
                rows = look(number, frame, tiles)
                write_part(path, rows, frame.name)
                tiles.clear()
            counts[path] = rows.num_rows
            return rows

        counts: dict[Path, int] = {}
        for _ in self.found(kept):
            pass
        return counts

    def found(self, look: Callable[[int, Large], pa.Table]) -> Iterator[pa.Table]:
        """What is found in each frame that can be used; the others are among the faults.

        Raises:
            UserError: there is no frame that can be used.
        """
        used, wrong = 0, []
        for number, frame in enumerate(self.frames):
            try:
                if isinstance(frame, Fault):
                    wrong.append(frame)
                else:
                    yield look(number, frame)
                    used += 1
            except Unreadable as error:
                assert isinstance(frame, Large)
                wrong.append(Fault(frame.name, str(error)))
        self.faults += wrong
        if not used:
            raise no_image(self.name, wrong or self.faults)


def sizes_of(frames: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Height and width of each frame of a path, by its file and number.

    Raises:
        UserError: there is no such path.
    """
    source = Frames.of_files(frames, DataConfig(source=frames))
    known = (frame for frame in source.frames if isinstance(frame, Large))
    shapes = {(frame.file, frame.number): frame.view.shape for frame in known}
    return {key: (height, width) for key, (height, width, *_) in shapes.items()}


def find_in(
    run: TrainedRun, frames: str | Path | Pictures, settings: FindConfig | None = None
) -> Finds:
    """Find the things of a run in frames; all finds must fit in memory.

    Args:
        run: an open run.
        frames: a path, or frames in memory, as for `Run.predict`.
        settings: how things are found; None: as `FindConfig` has it.

    Raises:
        UserError: no frame can be used, or the run has no templates and none can be made.
    """
    source = Frames.of(frames, run)
    finder = Finder(run, settings or FindConfig())
    parts = list(source.found(lambda _, frame: finder.find(frame)))
    table = pa.concat_tables(parts)
    return Finds(table=table, faults=tuple(source.faults), notes=tuple(source.notes))


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table of finds that was written.

    Attributes:
        table: its path.
        rows, frames: how many things, in how many frames.
        faults, notes: as for `Finds`.
    """

    table: Path
    rows: int
    frames: int
    faults: list[Fault]
    notes: list[str]

    def in_words(self) -> str:
        """Describe the table in one line."""
        things = "1 thing" if self.rows == 1 else f"{self.rows:,} things"
        frames = "1 frame" if self.frames == 1 else f"{self.frames:,} frames"
        return f"{things} in {frames}: {self.table}"


def write_finds(
    run: TrainedRun,
    frames: str,
    out: Path,
    settings: FindConfig,
    *,
    overwrite: bool = False,
    track: Track = iter,
    tell: Tell = lambda done, frame, things: None,
) -> Found:
    """Write a table of the things in frames. If this is stopped, the same call continues it.

    Args:
        run: an open run.
        frames: path of the frames.
        out: table to write, .parquet or .csv.
        settings: how things are found.
        overwrite: replace the table if it exists.
        track: as for `templates_of`.
        tell: see `Tell`.

    Raises:
        UserError: as for `find_in`, or the table exists or cannot be written.
    """
    check_table_path(out)
    source = Frames.of(frames, run)
    assert source.snapshot is not None
    identity = source.identity(FORM, run, settings, out, overwrite=overwrite)
    finder = Finder(run, settings, track)
    folder = begin_parts(out, identity)
    parts = source.parts(
        folder,
        lambda _, frame, kept: finder.find(
            frame, lambda done, things: tell(done, frame.name, things), kept
        ),
    )
    source.snapshot.check_unchanged()
    write_faults(source.faults, skipped(out))
    about = {"mcevae": identity, "mcevae.checkpoint": run.in_words, **settings.metadata}
    write_tables((whole_part(path).replace_schema_metadata(about) for path in parts), out)
    shutil.rmtree(folder)
    return Found(
        table=out,
        rows=sum(parts.values()),
        frames=len(parts),
        faults=source.faults,
        notes=source.notes,
    )
