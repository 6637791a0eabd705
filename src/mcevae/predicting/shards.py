"""Shards: work that several processes share without a word between them, and a table of each.

Which process does what follows from its number and their count alone, so that it does not matter
who started them: torchrun, a job array, or an indexed job.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mcevae.base.errors import UserError

BLOCK = 500
"""Frames of a stack that go to one shard together."""
FILE_BITS = 32
"""An image's id in shards is the number of its file, shifted by so many bits, plus its frame's."""


@dataclass(frozen=True)
class Shard:
    """One of `count` shares of a source; `index` is from 0."""

    index: int
    count: int

    def __str__(self) -> str:
        """I/N, as `parse` reads it."""
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From I/N.

        Raises:
            UserError: it is none, or I is not from 0 to N - 1.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or int(found[1]) >= int(found[2]):
            raise UserError(f"--shard {text}: give I/N with I from 0 to N - 1, such as 0/4.")
        return cls(int(found[1]), int(found[2]))

    def has(self, file: int, frame: int) -> bool:
        """Whether a frame is of this share: files go round, as do the blocks of a stack."""
        return (file + frame // BLOCK) % self.count == self.index

    def rows(self, n: int) -> range:
        """This share of n rows, one stretch of them."""
        return range(self.index * n // self.count, (self.index + 1) * n // self.count)

    def table(self, folder: Path) -> Path:
        """Where the table of this share is."""
        return folder / f"part-{self.index:05}-of-{self.count:05}.parquet"

    def check(self, folder: Path, *, overwrite: bool) -> None:
        """Refuse a folder that was shared among another number, whose rows would be there twice.

        Args:
            folder: of the tables.
            overwrite: remove them instead.

        Raises:
            UserError: it holds tables, or begun ones, of another number.
        """
        for path in folder.iterdir() if folder.is_dir() else ():
            found = re.match(r"[._]?part-\d+-of-(\d+)\.", path.name)
            if not found or int(found[1]) == self.count:
                continue
            if not overwrite:
                raise UserError(
                    f"{folder}: holds {path.name}, of {int(found[1])} shards, not {self.count}; "
                    "go on with that number, choose another --out, or add --overwrite."
                )
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
