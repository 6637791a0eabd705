"""Record the state of a source's files, to notice when they change."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mcevae.base.errors import UserError

State = tuple[int, int] | None
"""Size (bytes) and time of change (ns) of a file; None if the file is not there."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """States of the files of a source.

    Attributes:
        source: name or path of the source.
        states: of each file.
    """

    source: str
    states: dict[Path, State]

    @classmethod
    def of(cls, source: str, files: Sequence[Path]) -> "Snapshot":
        """Look at the files of a source."""
        return cls(source=source, states={path: state_of(path) for path in files})

    def fingerprint(self, part: str) -> str:
        """Fingerprint of the names, sizes and times of the files, and of which part is used.

        Args:
            part: all, train or test.
        """
        known = hashlib.blake2b(f"{self.source} {part}".encode(), digest_size=16)
        for path, state in self.states.items():
            known.update(os.fsencode(path) + f" {state}".encode())
        return known.hexdigest()

    def check_unchanged(self) -> None:
        """Check that the files have not changed since the snapshot.

        Files that are gone are named as faults, and are no error here.

        Raises:
            UserError: a file was written to since the snapshot.
        """
        for path, before in self.states.items():
            if (now := state_of(path)) is not None and now != before:
                raise UserError(
                    f"{self.source}: {path} was changed while it was read; give the command again "
                    "when its files are at rest."
                )


def state_of(path: Path) -> State:
    """Size and time of a file; None if it is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # a list may name anything
        return None
    return state.st_size, state.st_mtime_ns
