"""Writing files so that a crash leaves the old file or the new one, but never a part of one."""

import csv
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from io import StringIO
from pathlib import Path

import psutil

from mcevae.base.errors import UserError


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


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV, with `atomic`."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, with `atomic`."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")
