"""The file in a run's folder that names several sources, whose images are one source together.

`mcevae extend` writes it. A stranger's may name any files, as settings of a run may; it names no
other list of sources, so there are no circles.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mcevae.base.config import BUILT_IN, DataConfig, ensure
from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.fields import checked
from mcevae.base.files import read_text, write_text
from mcevae.base.names import as_setting, path_of
from mcevae.images.labels import FOLDERS

FILE = "sources.json"
FORMAT = 1
MOST_SOURCES = 100
MOST_CALLED = 200
"""Characters that the names of a source's images may begin with."""
PATHS = ("source", "labels", "hints", "boxes", "objects")
"""Settings that are paths. In the file they are relative to it, so a project can be moved."""
NO_PATHS = (*BUILT_IN, FOLDERS)


@dataclass(frozen=True, kw_only=True)
class Member(CuttingConfig):
    """One of the sources, with what is its own in the settings of a run.

    Attributes:
        source: as in `DataConfig`, like the other settings that are not explained here.
        called: names of its images begin with this and a slash. "": they are as in the source.
        moved: whether its images are moved at random, as those of built-in sets are.
        blocks: as in `DataConfig`; (0,) if a part of a run's images came before it.
    """

    source: str
    called: str = ""
    moved: bool = False
    labels: str | None = None
    label_column: str | None = None
    file_column: str | None = None
    hints: str | None = None
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        called = self.called
        ensure(len(called) <= MOST_CALLED, f"a name begins with more than {MOST_CALLED} letters")
        ensure(path_of(self.source).name != FILE, f"{FILE} may not name another {FILE}")

    def settings(self, data: DataConfig) -> DataConfig:
        """The settings of its images.

        Args:
            data: those of all sources together.

        Raises:
            SettingError: they cannot be.
        """
        own = {k: v for k, v in vars(self).items() if k not in ("called", "moved")}
        return replace(data, **own, kept=None, limit=None, features=None)

    def at(self, folder: Path) -> "Member":
        """The same with paths as a file in this folder has them."""
        return self._with_paths(lambda path: relative(path, folder))

    def seen_from(self, folder: Path) -> "Member":
        """The same with the paths that a file in this folder means."""
        return self._with_paths(lambda path: absolute(path, folder))

    def _with_paths(self, how: Any) -> "Member":
        known = {name: getattr(self, name) for name in PATHS}
        found = {k: how(v) for k, v in known.items() if v is not None and v not in NO_PATHS}
        return replace(self, **found)


def relative(path: str, folder: Path) -> str:
    """A path of a setting as a file in a folder has it."""
    whole = os.path.abspath(path_of(path))
    try:
        found = as_setting(os.path.relpath(whole, folder.resolve()))
    except ValueError:  # on another drive of Windows
        return as_setting(whole)
    return os.path.join(os.curdir, found) if found in NO_PATHS else found


def absolute(path: str, folder: Path) -> str:
    """The path that a file in a folder means; below the current folder, as seen from there."""
    whole = os.path.normpath(os.path.join(as_setting(str(folder.resolve())), path))
    here = os.path.join(as_setting(os.getcwd()), "")
    return whole.removeprefix(here) if whole.removeprefix(here) not in NO_PATHS else whole


def members_in(path: Path) -> tuple[Member, ...]:
    """Read the sources that a file names. A link is not followed.

    Raises:
        UserError: it is damaged.
    """
    try:
        values = json.loads(read_text(path))
        ensure(values["format"] == FORMAT, f"format {values['format']}, this version has {FORMAT}")
        each = values["sources"]
        ensure(0 < len(each) <= MOST_SOURCES, f"{len(each)} sources; 1 to {MOST_SOURCES} can be")
        found = [Member(**checked("sources", Member, one)) for one in each]
        return tuple(one.seen_from(path.parent) for one in found)
    except DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read as a list of sources ({error}); restore it from a copy, or "
            "extend the run before it again."
        ) from error


def write_members(path: Path, members: Sequence[Member]) -> None:
    """Write a file that names sources.

    Raises:
        UserError: there are too many, or it cannot be written.
    """
    if len(members) > MOST_SOURCES:
        raise UserError(
            f"{path}: would name {len(members)} sources, more than {MOST_SOURCES}; train again on "
            "all images in one folder."
        )
    known = [asdict(one.at(path.parent)) for one in members]
    plain = [{k: v for k, v in one.items() if v not in (None, "", False, ())} for one in known]
    write_text(path, json.dumps({"format": FORMAT, "sources": plain}, indent=1) + "\n")
