"""Writing files so that a crash leaves the old file or the new one, but never a part of one.

And reading files of folders that can be a stranger's: no links, pipes or devices, nothing endless.
"""

import csv
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from io import StringIO
from pathlib import Path

import psutil

from mcevae.base.errors import UserError

MOST_TEXT = 2**25
"""Bytes of a text file in a run, at most; as JSON it takes some ten times as much memory."""
FORMULA = re.compile(r"[=+\-@\t\r']")
"""How a cell of a CSV file begins that a spreadsheet may take for a formula."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MOST_HOLLOW = 2**26
"""Bytes of a file, at most, that are not on the disk: a file can claim to be larger than it is."""


class Irregular(OSError):
    """What is at a path is no plain file, or too large."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EINVAL, reason)

    def __str__(self) -> str:
        """The reason."""
        return str(self.strerror)


def check_regular(path: Path, most: int | None = None, *, follow: bool = False) -> None:
    """Refuse to read what is no plain file, or is larger than it may be.

    Args:
        path: what is about to be read. For a file in a folder that can be a stranger's, also check
            the folders below that one, with `real_folder`.
        most: largest size in bytes; None: any that the disk really holds.
        follow: whether `path` may be a link, because a person has named it.

    Raises:
        Irregular: it is a link, pipe, device or folder, or too large.
        OSError: it is not there.
    """
    state = path.stat() if follow else path.lstat()
    if stat.S_ISLNK(state.st_mode):
        raise Irregular("is a link, which is not followed here; put the file itself there")
    if not stat.S_ISREG(state.st_mode):
        raise Irregular("is not a regular file")
    if most is not None and state.st_size > most:
        raise Irregular(f"has {state.st_size:,} bytes, more than {most:,}")
    held = 512 * getattr(state, "st_blocks", state.st_size)  # Windows does not say
    if state.st_size > MOST_HOLLOW and held < state.st_size // 4:
        raise Irregular(f"claims {state.st_size:,} bytes, but is almost empty")


def read_bytes(path: Path, most: int, *, follow: bool = False) -> bytes:
    """Read a file as `check_regular` allows. Arguments and errors are the same."""
    check_regular(path, most, follow=follow)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:  # a file that grows, or one without a size, as in /proc
        raise Irregular(f"has more than {most:,} bytes")
    return content


def read_text(path: Path, most: int = MOST_TEXT, *, follow: bool = False) -> str:
    """Read UTF-8 text as `check_regular` allows. Arguments and errors are the same."""
    return read_bytes(path, most, follow=follow).decode("utf-8")


def real_folder(folder: Path) -> Path:
    """Return a folder inside a run, after a check that it is no link that leads out of the run.

    Raises:
        UserError: it is a link, or no folder. It may be missing.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(
            f"{folder}: is a link or no folder, so mcevae does not use it; move it away."
        )
    return folder


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`. The file written there replaces `path` at the end.

    Missing folders are made. If the body raises, `path` stays as it was. Temporary files that
    killed processes left for the same path are removed.

    Raises:
        UserError: the folder cannot be made or the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.glob(f".{escape(path.name)}.*.tmp"):
            if is_stale(other):
                other.unlink(missing_ok=True)
        temporary.unlink(missing_ok=True)  # a link there would be written through
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder`. Its files are in `folder` at the end.

    If the body raises, `folder` stays as it was. A temporary folder that a killed process left is
    removed by the next call for the same folder.

    Args:
        folder: a folder that does not exist yet, or an empty one.

    Raises:
        UserError: it cannot be written.
    """
    whole = folder.resolve()  # the path "." has no name
    half = whole.with_name(f".{whole.name}.half")
    shutil.rmtree(half, ignore_errors=True)
    try:
        half.mkdir(parents=True)
        yield half
        if whole.is_dir():  # somebody may be working in it
            for path in half.iterdir():
                path.replace(whole / path.name)
        else:
            half.replace(whole)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def is_stale(path: Path) -> bool:
    """Whether a file is a temporary file of `atomic` whose process has ended."""
    match = re.fullmatch(r"\..+\.(\d+)\.tmp", path.name)
    return match is not None and not psutil.pid_exists(int(match[1]))


def digest(path: Path) -> str:
    """Fingerprint (BLAKE2b, hexadecimal) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def in_cell(text: str) -> str:
    """Write text so that a spreadsheet does not take it for a formula: with ' in front.

    Text that begins with ' gets another one, so that the text is known from the cell. Numbers stay.
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV, with `atomic`; cells are as `in_cell` gives them."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([in_cell(value) for value in row] for row in rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, with `atomic`; what UTF-8 cannot hold is written as an escape."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8", "backslashreplace")
