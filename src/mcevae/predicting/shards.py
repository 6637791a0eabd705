"""Shards: several processes share a prediction, and each writes its own table.

The number of a process and the count of all processes decide which images it takes. The processes
need no contact, so it does not matter what started them: torchrun, a job array or an indexed job.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mcevae.base.errors import UserError

T = TypeVar("T")
BLOCK = 500
"""Number of consecutive frames of a stack that go to the same shard."""


@dataclass(frozen=True)
class Shard:
    """One of `count` equal shares of a source. `index` starts at 0."""

    index: int
    count: int

    def __str__(self) -> str:
        """Return I/N, which `parse` reads."""
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read a shard from the text I/N.

        Raises:
            UserError: the text is not I/N, or I is not from 0 to N - 1.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or int(found[1]) >= int(found[2]):
            raise UserError(f"--shard {text}: give I/N with I from 0 to N - 1, such as 0/4.")
        return cls(int(found[1]), int(found[2]))

    def has(self, file: int, frame: int) -> bool:
        """Whether a frame belongs to this shard. Files and blocks are dealt out in turn."""
        return (file + frame // BLOCK) % self.count == self.index

    def rows(self, n: int) -> range:
        """The rows of this shard, out of n: consecutive ones."""
        return range(self.index * n // self.count, (self.index + 1) * n // self.count)

    def table(self, folder: Path) -> Path:
        """Path of this shard's table."""
        return folder / f"part-{self.index:05}-of-{self.count:05}.parquet"

    def check(self, folder: Path, *, overwrite: bool) -> None:
        """Refuse a folder with tables for another number of shards: it would have rows twice.

        Args:
            folder: folder of the tables.
            overwrite: delete those tables instead.

        Raises:
            UserError: the folder holds tables, finished or not, for another number of shards.
        """
        for path in folder.iterdir() if folder.is_dir() else ():
            found = re.match(r"[._]?part-\d+-of-(\d+)\.", path.name)
            if not found or int(found[1]) == self.count:
                continue
            if not overwrite:
                raise UserError(
                    f"{folder}: holds {path.name}, one of {int(found[1])} shards, not "
                    f"{self.count}; use the same number of shards, choose another --out, or add "
                    "--overwrite."
                )
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def listed_by(shard: Shard | None, things: Iterable[T]) -> list[T]:
    """What a shard lists of things that are of no shard: the first one all of them."""
    return [] if shard and shard.index else list(things)
