"""Writing files so that a crash leaves either the old one or the new one, never half of it."""

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
    """Yield a temporary name beside `path`; what is written there replaces `path` at the end.

    The folder is made if needed. If the body raises, `path` stays as it was. What processes that
    were killed while they wrote the same file have left is removed.

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
    """Yield a temporary folder beside `folder`; what is written there is in `folder` at the end.

    If the body raises, nothing is. What a process that was killed while it wrote has left, and
    nobody takes for whole, is removed by the next one.

    Args:
        folder: that there is not yet, or an empty one.

    Raises:
        UserError: it cannot be written.
    """
    whole = folder.resolve()  # "." has no name
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
    """Whether a file is a temporary one of `atomic`, of a process that is no more."""
    match = re.fullmatch(r"\..+\.(\d+)\.tmp", path.name)
    return match is not None and not psutil.pid_exists(int(match[1]))


def digest(path: Path) -> str:
    """Fingerprint of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as CSV atomically."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8")
