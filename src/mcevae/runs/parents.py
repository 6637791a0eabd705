"""Parents of a run that was made from some images of another run: a tree of classes.

`mcevae fit --from` writes parents.json into the new run's folder. For each run before it, the first
one first, it says which group each image had there. So tables can show all levels.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from mcevae.base.config import MOST_IMAGES
from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import MOST_TEXT, read_text, write_text
from mcevae.base.packing import packed, unpacked
from mcevae.runs.units import check_name

FILE = "parents.json"
FORMAT = 1
MOST_LEVELS = 100
MOST_ENTRIES = 2 * 10**7
"""Groups of images that all parents together record: a short file can say many, and fill memory."""
COLUMN = "parent_"
"""Columns of tables begin with it; the first run's is parent_1."""
ABSENT = -1
"""Stands for the group of an image that a run does not have."""


@dataclass(frozen=True, kw_only=True)
class Parent:
    """A run from which another run was made.

    Attributes:
        run: its folder, as it was given.
        checkpoint: fingerprint of its checkpoint.
        chosen: which of its images were taken, in words.
        images: number of its images.
        taken: how many of these were taken.
        groups: names of its groups.
        of: (n,) the group of each image of the source by its place, or `ABSENT`; of the images that
            were taken.
    """

    run: str
    checkpoint: str
    chosen: str
    images: int
    taken: int
    groups: tuple[str, ...]
    of: Int[np.ndarray, " n"]

    def __post_init__(self) -> None:
        for name in self.groups:
            check_name(name)
        if not (self.of >= ABSENT).all() or not (self.of < len(self.groups)).all():
            raise ValueError("images are in a group that does not exist")
        if not 0 <= self.taken <= self.images <= MOST_IMAGES:
            raise ValueError(f"{self.taken} of {self.images} images were taken")

    def in_words(self) -> str:
        """Say what was taken of which run."""
        return f"{self.taken:,} of the {self.images:,} images of {self.run}: {self.chosen}"

    def column(self, places: Int[np.ndarray, " m"]) -> pa.Array:
        """The group of images that are at these places of the source; null where it has none."""
        inside = places < len(self.of)
        index = np.where(inside, self.of[np.where(inside, places, 0)], ABSENT)
        names = [self.groups[i] if i != ABSENT else None for i in index.tolist()]
        return pa.array(names, pa.string())

    def to_dict(self) -> dict[str, Any]:
        """JSON values: the inverse of `from_dict`."""
        return {
            **{name: getattr(self, name) for name in ("run", "checkpoint", "chosen")},
            **{name: getattr(self, name) for name in ("images", "taken", "groups")},
            "count": len(self.of),
            "of": packed((self.of + 1).astype("<u4").tobytes()),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Parent":
        """Read it from JSON values.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are something else.
        """
        count = int(values["count"])
        if not 1 <= count <= MOST_ENTRIES:
            raise ValueError(f"there are {count} images")
        return cls(
            run=str(values["run"]),
            checkpoint=str(values["checkpoint"]),
            chosen=str(values["chosen"]),
            images=int(values["images"]),
            taken=int(values["taken"]),
            groups=tuple(map(str, values["groups"])),
            of=np.frombuffer(unpacked(values["of"], 4 * count), "<u4").astype(np.int64) - 1,
        )


def parents_of(run: Path) -> tuple[Parent, ...]:
    """Read the parents of a run, the first one first; () if it has none.

    Raises:
        UserError: the file is damaged.
    """
    path = run / FILE
    try:
        values = json.loads(read_text(path))
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
        if len(values["parents"]) > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS} parents")
        if sum(int(one["count"]) for one in values["parents"]) > MOST_ENTRIES:
            raise ValueError(f"more than {MOST_ENTRIES:,} images")
        return tuple(map(Parent.from_dict, values["parents"]))
    except FileNotFoundError:
        return ()
    except DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read ({error}); restore it, or move it away."
        ) from error


def write_parents(run: Path, parents: Sequence[Parent]) -> None:
    """Save the parents of a run in its folder.

    Raises:
        UserError: there are too many, or it would be too long to be read again.
    """
    content = {"format": FORMAT, "parents": [one.to_dict() for one in parents]}
    text = json.dumps(content, indent=1) + "\n"
    entries = sum(len(one.of) for one in parents)
    if len(parents) > MOST_LEVELS or entries > MOST_ENTRIES or len(text) > MOST_TEXT:
        raise UserError(
            f"{run / FILE}: would be too long; write the images with `mcevae select`, and train on "
            "what it wrote."
        )
    write_text(run / FILE, text)


def columns(parents: Sequence[Parent], places: Int[np.ndarray, " m"]) -> Mapping[str, pa.Array]:
    """Columns of a table: the groups that images had in the runs before.

    Args:
        parents: of the run, the first one first.
        places: of the images in the run's source.
    """
    return {f"{COLUMN}{i}": one.column(places) for i, one in enumerate(parents, 1)}
