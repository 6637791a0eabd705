"""New images for a run: the source that has both, and the settings of a run with it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.base.files import atomic
from mcevae.base.names import as_setting, path_of
from mcevae.images.blocks import images_in
from mcevae.images.features import Features
from mcevae.images.sources.contract import Source
from mcevae.images.sources.joined import JoinedSource
from mcevae.images.sources.members import FILE, Member, members_in, write_members
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.own_group import OwnGroup
from mcevae.runs.run import TrainedRun

FEATURES = "features.npy"
"""Features of all images of a run that was extended, in its folder."""
MOST_LETTERS = 100
"""Of what a source is called in the names of its images."""


@dataclass(frozen=True, kw_only=True)
class Added:
    """New images, as a person gives them.

    Attributes:
        source: as for `mcevae fit`.
        labels, label_column, file_column: as in `FilesConfig`; for scores only.
        features: a .npy with a row for each image; needed if the run was trained with features.
        cutting: which parts of the files are the images.
    """

    source: str
    labels: str | None = None
    label_column: str | None = None
    file_column: str | None = None
    features: str | None = None
    cutting: CuttingConfig = field(default_factory=CuttingConfig)


def members_of(parent: TrainedRun, before: Splits, added: Added) -> list[Member]:
    """The sources of a run and of new images.

    Args:
        parent: the run.
        before: its images.
        added: the new ones.

    Raises:
        UserError: the new source is one of the run's, or images were moved by a group of one's own.
    """
    data, moves = parent.settings.data, parent.settings.data_group
    if isinstance(moves, OwnGroup):
        raise UserError(
            f"{parent.folder}: was trained on images that mcevae moved by a group of your own, "
            "which cannot be extended; train again on all of them."
        )
    if JoinedSource.takes(data.source):
        old = list(members_in(path_of(data.source)))
    else:
        tables = ("labels", "label_column", "file_column", "hints", "blocks")
        own = {name: getattr(data, name) for name in ("source", *tables)}
        old = [Member(**own, **data.cutting(), moved=moves is not None)]
    for one in old:
        same = path_of(one.source).resolve() == path_of(added.source).resolve()
        if same and one.cutting() == added.cutting.cutting():
            raise UserError(
                f"{added.source}: is the source of {parent.folder} itself; put the new images into "
                "a folder or file of their own, and give that."
            )
    try:
        new = Member(
            source=as_setting(added.source),
            called=called(added.source, names_in(before) | {one.called for one in old}),
            labels=added.labels,
            label_column=added.label_column,
            file_column=added.file_column,
            blocks=(0,),
            **added.cutting.cutting(),
        )
    except ValueError as error:
        raise UserError(f"{added.source}: {error}.") from error
    return [*old, new]


def names_in(data: Splits) -> set[str]:
    """What names of images begin with, up to the first slash or number sign."""
    every = (one.names.tolist() for one in images_in(data) if one.names is not None)
    return {name.partition("/")[0].partition("#")[0] for names in every for name in names}


def called(source: str, taken: set[str]) -> str:
    """What a source is called in the names of its images: no name begins with it so far."""
    plain = as_setting(path_of(source).resolve().stem)[:MOST_LETTERS].replace("#", "_")
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}-{number}", number + 1
    return name


def with_added(
    parent: TrainedRun, before: Splits, added: Added, out: Path
) -> tuple[Config, JoinedSource]:
    """Write what names the sources of both into a folder; return the settings of a run with them.

    Args:
        parent: the run.
        before: its images.
        added: the new ones.
        out: folder of the new run.

    Raises:
        UserError: the new source cannot be joined with the run's.
    """
    old, (_, height, width) = parent.settings, parent.shape
    write_members(out / FILE, members_of(parent, before, added))
    plain = dict.fromkeys(("limit", "kept", "labels", "label_column", "file_column"))
    changes: dict[str, Any] = {**plain, **CuttingConfig().cutting(), "blocks": ()}
    changes["source"] = as_setting(str(out / FILE))
    if not JoinedSource.takes(old.data.source):
        changes["hints"] = None  # they are of the first source now
    if height == width:  # new images of another size are brought to it
        changes["size"] = height
    if old.data_group is not None:
        changes["pose"] = old.data_group
    check_features(parent, added)
    changes["features"] = None if old.data.features is None else as_setting(str(out / FEATURES))
    config = old.changed(data=changes)
    joined = open_source(config.data.source, config.data)
    assert isinstance(joined, JoinedSource)
    if added.features is not None:
        write_features(parent, added.features, joined.sources[-1], out / FEATURES)
    return config, joined


def check_features(parent: TrainedRun, added: Added) -> None:
    """Refuse new images with features for a run without any, and the reverse.

    Raises:
        UserError: it is so.
    """
    known = parent.settings.data.features is not None
    if not known and added.features is not None:
        raise UserError(
            f"{added.features}: {parent.folder} was trained without features; leave out --features."
        )
    if known and added.features is None:
        raise UserError(
            f"{parent.folder}: was trained with features, so the new images need theirs, too; give "
            "them with --features."
        )


def write_features(parent: TrainedRun, added: str, source: Source, path: Path) -> None:
    """Write the features of all images: those of a run, and then those of new ones.

    Args:
        parent: the run.
        added: a .npy with features of the new images.
        source: the new images.
        path: of the .npy to write.

    Raises:
        UserError: they do not fit, or cannot be read or written.
    """
    known = parent.settings.data.features
    assert known is not None
    old, new = Features.read(known), Features.read(added)
    new.check_columns(old.columns)
    count = source.total()
    if count is None:  # reading tells
        count = max(part.end.entries for part in source.parts(parent.recipe))
    new.check_count(count, source.name)
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate([one.values.astype(np.float32) for one in (old, new)]))
