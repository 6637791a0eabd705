"""Locks between processes. The system ends them with the process that holds them."""

import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcevae.base.errors import UserError

if sys.platform == "win32":
    import msvcrt

    def try_to_lock(file: int) -> None:
        """Lock an open file, or raise OSError if another has done so."""
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def try_to_lock(file: int) -> None:
        """Lock an open file, or raise OSError if another has done so."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


TICK = 0.01
"""Seconds between attempts."""
_held: set[tuple[Path, int]] = set()
"""The locks that this process holds, and in which thread."""


@contextmanager
def locked(path: Path, refusal: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock while the body runs. Within it, the same thread may ask for it again.

    The lock belongs to the process and not to the file: a file that a killed process has left locks
    nothing. At the end the file is removed.

    Args:
        path: file of the lock; its folder is made if it is missing, and removed if it stays empty.
        refusal: the sentence if another process holds the lock.
        patience: seconds to wait for that process.

    Raises:
        UserError: another process holds it, or the file cannot be made.
    """
    key = (path.parent.resolve() / path.name, threading.get_ident())
    if key in _held:
        yield
        return
    new = not path.parent.exists()
    file = acquired(path, refusal, patience)
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        with suppress(OSError):  # before it is unlocked, so that nobody locks a file that is gone
            path.unlink()
        os.close(file)
        if new:
            with suppress(OSError):
                path.parent.rmdir()  # if nothing was written


def acquired(path: Path, refusal: str, patience: float) -> int:
    """Lock a file, and return its descriptor; see `locked`."""
    due = time.monotonic() + patience
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = opened(path)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
        try:
            try_to_lock(file)
            if os.path.samestat(os.fstat(file), path.lstat()):
                return file
        except FileNotFoundError:  # its last holder has just removed it
            pass
        except OSError as error:
            if time.monotonic() > due:
                os.close(file)
                raise UserError(refusal) from error
            time.sleep(TICK)
        os.close(file)


def opened(path: Path) -> int:
    """Open the file of a lock, unless it is a link, a pipe or a device."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    file = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError("is not a regular file")
    return file
