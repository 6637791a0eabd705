"""Add new images to a run: a new run that has both, in which old clusters keep their numbers.

Its source is a list of the files of both. The old run says what the new images show. If some are a
new kind (`teaching.novel`), the new run begins with the old run's clusters, poses and weights, and
with one more cluster for each new kind. If there is none, the model stays as it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.base.names import as_setting
from mcevae.geometry.groups import reflect
from mcevae.images.blocks import images_in, is_new, places_of, renaming
from mcevae.images.kept import as_text, within
from mcevae.images.sources.contract import Track
from mcevae.images.sources.grown import Grown, grown
from mcevae.images.splits import Splits
from mcevae.models.config import MOST_CLUSTERS, Config
from mcevae.models.registry import spec_of
from mcevae.predicting.extended import with_new
from mcevae.predicting.family import LEAST_EPOCHS, SHARE
from mcevae.runs import checkpoint
from mcevae.runs.collections import Collections
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.runs.parents import ABSENT, Parent, parents_of, write_parents
from mcevae.runs.run import TrainedRun
from mcevae.teaching.graph import describe_pixels
from mcevae.teaching.novel import NONE, new_kinds
from mcevae.teaching.rings import Track as Parts
from mcevae.training.given import Given

LIST = "images.txt"
"""The files of a run that was extended, in its folder."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A run that is about to be extended.

    Attributes:
        parent: the run.
        source: of the new images, as it was given.
        config: settings of the new run.
        data: images of the new run.
        first: place of the first new image in its source.
        known: files of the new source that the run has already.
        copies: new images whose pixels are those of an old image; they are left out.
        kinds: number of new kinds.
        given: what the new run begins with.
    """

    parent: TrainedRun
    source: str
    config: Config
    data: Splits
    first: int
    known: int
    copies: int
    kinds: int
    given: Given

    @property
    def trains(self) -> bool:
        """Whether the model must learn new kinds. If not, it stays as it is."""
        return self.kinds > 0

    @property
    def images(self) -> int:
        """Number of new images."""
        return sum(int(is_new(images, self.first).sum()) for images in images_in(self.data))

    def begin(self, out: Path) -> None:
        """Write what the new run begins with; if nothing is to be learned, the whole model.

        Raises:
            UserError: a file cannot be written.
        """
        parent = self.parent
        chosen = f"all, with {self.images:,} new images of {self.source}"
        write_parents(out, (*parents_of(parent.folder), self.as_parent(chosen)))
        if (groups := Collections.kept(parent.folder)) is not None:
            names = renaming(images_in(parent.data()), images_in(self.data))
            with_new(groups, self.kinds, names).write(out)
        if self.trains:
            self.given.write(out)
            return
        write_text(out / "settings.toml", self.config.to_toml())
        about = {"config": self.config.to_dict(), "data": self.data.digest()}
        for which in checkpoint.WHICH:
            if (old := checkpoint.run_file(parent.folder, which)).exists():
                tensors, state = checkpoint.load(old)
                weights = {k: v for k, v in tensors.items() if k.startswith("model.")}
                state = {"shape": state["shape"], "position": state["position"], **about}
                checkpoint.save(checkpoint.run_file(out, which), weights, state)

    def as_parent(self, chosen: str) -> Parent:
        """What the new run knows of the old one.

        Args:
            chosen: which images were taken, in words.
        """
        parent, of = self.parent, np.full(self.first, ABSENT)
        for images in images_in(self.data):
            old = ~is_new(images, self.first)
            assert images.places is not None
            found = embed(parent.model, images.pixels[torch.from_numpy(old)])
            names = None if images.names is None else images.names[old].tolist()
            of[images.places[old]] = parent.collections.assign(
                found.cluster.numpy(), found.z.numpy(), names
            )
        taken = int((of != ABSENT).sum())
        groups = tuple(entry.name for entry in parent.collections.entries)
        return Parent(
            run=str(parent.folder),
            checkpoint=parent.identity,
            chosen=chosen,
            images=taken,
            taken=taken,
            groups=groups,
            of=of,
        )


def extension_of(
    parent: TrainedRun, source: str, out: Path, track: Track = iter, parts: Parts = iter
) -> Extension:
    """Look at new images for a run; the list of all files is written into the new run's folder.

    Args:
        parent: the run.
        source: folder, list or file of new images.
        out: folder of the new run, which exists.
        track: wraps the list of files, for example to show a progress bar.
        parts: wraps the parts of the comparison of images.

    Raises:
        UserError: the run cannot be extended by these images, or there is nothing new.
    """
    old = parent.settings
    if not spec_of(old.model.kind).extends:
        raise UserError(
            f"{parent.folder}: is of preset {old.preset}, which cannot take new clusters; only "
            "runs of presets default and quick can be extended."
        )
    files = grown(old.data, source, parent.folder)
    before = parent.data(track)
    files.write(out / LIST)
    try:
        config = with_files(parent, out / LIST, files)
        data = prepare_for(config, track)
        check_shape(data, parent, source)
        config, data, copies = without_copies(config, data, before, files.first, source)
        kinds, given = learned(parent, data, files.first, parts)
    except BaseException:
        (out / LIST).unlink(missing_ok=True)  # so that the folder is free for another try
        raise
    return Extension(
        parent=parent,
        source=source,
        config=with_kinds(config, parent.clusters, kinds),
        data=data,
        first=files.first,
        known=files.known,
        copies=copies,
        kinds=kinds,
        given=given,
    )


def with_files(parent: TrainedRun, files: Path, grown: Grown) -> Config:
    """The settings of a run of more files. Labels and hints name files by their old names.

    Args:
        parent: the run before.
        files: the list of all files.
        grown: which of them are new.
    """
    nothing = dict.fromkeys(("limit", "kept", "hints", "labels", "label_column", "file_column"))
    old, (_, height, width) = parent.settings, parent.shape
    changes = {"source": as_setting(str(files)), "blocks": (*old.data.blocks, grown.first)}
    if height == width:  # new images of another size are brought to it
        changes["size"] = height
    return old.changed(data={**changes, **nothing})


def check_shape(data: Splits, parent: TrainedRun, source: str) -> None:
    """Refuse new images that are not brought to the form of the old ones.

    Args:
        data: both.
        parent: the run before.
        source: of the new images.

    Raises:
        UserError: it is so, because the old ones are no squares, and the new ones differ in size.
    """
    if data.train.images.shape != parent.shape:
        _, height, width = parent.shape
        raise UserError(
            f"{source}: has images that are not {width} x {height} pixels, as those of "
            f"{parent.folder} are; bring them to this size first."
        )


def with_kinds(config: Config, clusters: int, kinds: int) -> Config:
    """The settings of a run that must learn new kinds.

    Args:
        config: of the run, with all of its files.
        clusters: K of the run before.
        kinds: number of new kinds; 0: nothing is to be learned.

    Raises:
        UserError: there are more clusters than a model can have.
    """
    count = clusters + kinds
    if not kinds:
        return config
    asked = "auto" if config.model.clusters == "auto" and count <= MOST_CLUSTERS else count
    train, epochs = {}, config.train.epochs
    if spec_of(config.model.kind).trained and epochs != "auto":
        train = {"epochs": max(LEAST_EPOCHS, math.ceil(SHARE * epochs))}
    try:
        return config.changed(model={"clusters": asked}, train=train)
    except ValueError as error:
        raise UserError(f"{kinds} new kinds were found, but {error}.") from error


def without_copies(
    config: Config, data: Splits, before: Splits, first: int, source: str
) -> tuple[Config, Splits, int]:
    """Leave out old images that the run before did not have, and new ones that are copies.

    Args:
        config: settings of the new run.
        data: its images.
        before: images of the run before.
        first: place of the first new image.
        source: of the new images, for errors.

    Returns:
        Settings and images, and the number of copies.

    Raises:
        UserError: no new image is left, or none can be used.
    """
    have = {place for images in images_in(before) for place in places_of(images).tolist()}
    seen = {bytes(image.numpy()) for images in images_in(before) for image in images.pixels}
    kept = np.ones(max(int(places_of(images).max()) for images in images_in(data)) + 1, bool)
    new = copies = 0
    for images in images_in(data):
        late = is_new(images, first)
        new += int(late.sum())
        for i, place in enumerate(places_of(images).tolist()):
            copy = bool(late[i]) and bytes(images.pixels[i].numpy()) in seen
            copies += copy
            kept[place] = not copy if late[i] else place in have
    if not new:
        fault = data.faults[-1]
        raise UserError(f"{source}: no image can be used; {fault.name} {fault.reason}.")
    if new == copies:
        raise UserError(
            f"{source}: all of its images ({new:,}) are copies of images that the run has, so "
            "there is nothing new; give other images."
        )
    known = [place for images in images_in(data) for place in places_of(images).tolist()]
    if kept[known].all():
        return config, data, 0
    text = as_text(kept)
    return config.changed(data={"kept": text}), within(data, text), copies


def learned(parent: TrainedRun, data: Splits, first: int, parts: Parts = iter) -> tuple[int, Given]:
    """Find new kinds among the training images; return their number, and what a run begins with.

    Args:
        parent: the run before.
        data: images of the new run.
        first: place of the first new image.
        parts: wraps the parts of the comparison of images.
    """
    model, settings, images = parent.model, parent.settings, data.train.images
    group, new = model.group, torch.from_numpy(is_new(images, first))
    found = embed(model, images.pixels)
    cluster, element = found.cluster.clone(), found.element.clone()
    weights = model.state_dict()
    if not group.polar:  # nothing says how images are turned against each other
        return 0, Given(weights=weights, cluster=cluster, element=element)
    background = settings.data.background_level
    described = describe_pixels(images.pixels, group, background, parts)
    kinds = new_kinds(
        described.rings[~new],
        cluster[~new],
        described.rings[new],
        settings.support.half_widths(group)[0],
        neighbours=settings.start.neighbours,
        mirror=group.mirrors,
        seed=settings.train.seed,
        track=parts,
    )
    mine = kinds.number != NONE
    rows = new.nonzero()[:, 0][mine]
    cluster[rows] = parent.clusters + kinds.number[mine]
    turned = torch.cat([kinds.angle[mine][:, None], described.rest[rows]], 1)
    element[rows] = reflect(group.from_parameters(turned), kinds.mirrored[mine])
    return kinds.count, Given(weights=weights, cluster=cluster, element=element)
