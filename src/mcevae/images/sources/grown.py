"""The files of a run and new ones in one list, which is the source of a run that has both."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import atomic
from mcevae.base.names import path_of
from mcevae.images.readers.inside import parted
from mcevae.images.sources.contract import START
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.listing import paths_in
from mcevae.images.sources.registry import open_source

Key = tuple[Path, str | None]


@dataclass(frozen=True, kw_only=True)
class Grown:
    """Files of a run and new ones.

    Attributes:
        old, new: the files.
        known: how many files of the new source the run has already.
        first: place of the first new image, with those that cannot be used.
    """

    old: list[Path]
    new: list[Path]
    known: int
    first: int

    def write(self, path: Path) -> None:
        """Write the list, with paths relative to it.

        Raises:
            UserError: a list cannot hold the name of a file, or it cannot be written.
        """
        folder = path.parent.resolve()
        files = [os.path.relpath(os.path.abspath(file), folder) for file in (*self.old, *self.new)]
        with atomic(path) as temporary:
            lines = "".join(f"{file}\n" for file in files)
            temporary.write_bytes(lines.encode(errors="surrogateescape"))
        read = paths_in(path)
        for i, file in enumerate(files):
            if i >= len(read) or read[i] != path.parent / file:
                path.unlink()
                raise UserError(f"{file}: a list cannot hold this name; rename the file.")


def grown(data: DataConfig, source: str, run: Path) -> Grown:
    """Find the files of a source that a run does not have.

    Args:
        data: settings of the run's images.
        source: folder, list or file of new images.
        run: folder of the run, for errors.

    Raises:
        UserError: one of the two is something else than files, or there is nothing new.
    """
    settings = replace(data, source=source, labels=None, label_column=None, hints=None)
    own, new = files_in(data, str(run)), files_in(settings, source)
    if path_of(source).resolve() == own.location.resolve():
        raise UserError(
            f"{source}: is the source of {run} itself; put the new images into a folder of their "
            "own, and give that."
        )
    have = {key(path) for path in own.paths}
    fresh = [path for path in new.paths if key(path) not in have]
    if not fresh:
        raise UserError(
            f"{source}: {run} has all of its files ({len(new.paths):,}) already, so there is "
            "nothing new; give other images."
        )
    first = sum(1 for _ in own.numbered(START, None, "all", iter))
    return Grown(old=own.paths, new=fresh, known=len(new.paths) - len(fresh), first=first)


def files_in(data: DataConfig, whose: str) -> FileSource:
    """Open a source that is made of files.

    Args:
        data: settings of the images.
        whose: the source, or the run that has it, for errors.

    Raises:
        UserError: it cannot be read, or is something else.
    """
    source = open_source(data.source or "", data)
    if type(source) is not FileSource or data.features is not None:
        kind = "features" if data.features is not None else "no files of whole images"
        raise UserError(
            f"{whose}: has {kind}, and extend joins files of images alone; sort the new images "
            "with `mcevae predict`, or train again on all of them."
        )
    return source


def key(path: Path) -> Key:
    """What a file is known by, whatever the path to it."""
    file, inside = parted(path)
    return file.resolve(), inside
