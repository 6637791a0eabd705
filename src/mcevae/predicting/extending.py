"""Add new images to a run: a new run that has both, in which old clusters keep their numbers.

Its source joins those of both (`added`). The old run says what the new images show. If some are a
new kind (`teaching.novel`), the new run begins with the old run's clusters, poses and weights, and
with one more cluster for each new kind. If there is none, the model stays as it is.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int

from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.geometry.groups import reflect
from mcevae.images.blocks import PARTS, images_in, is_new, places_of
from mcevae.images.kept import as_text, within
from mcevae.images.sources.contract import Track
from mcevae.images.sources.members import FILE
from mcevae.images.splits import Splits
from mcevae.models.config import MOST_CLUSTERS, Config
from mcevae.models.registry import spec_of
from mcevae.predicting.added import FEATURES, Added, with_added
from mcevae.predicting.extended import with_new
from mcevae.predicting.family import LEAST_EPOCHS, SHARE
from mcevae.runs import checkpoint
from mcevae.runs.collections import Collections
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import Embedding, embed
from mcevae.runs.parents import ABSENT, Parent, parents_of, write_parents
from mcevae.runs.run import TrainedRun
from mcevae.teaching.graph import describe_pixels
from mcevae.teaching.novel import NONE, new_kinds
from mcevae.teaching.rings import Track as Parts
from mcevae.training.given import Given


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A run that is about to be extended.

    Attributes:
        parent: the run.
        source: of the new images, as it was given.
        config: settings of the new run.
        data: images of the new run.
        first: place of the first new image in its source.
        copies: new images whose pixels are those of an old image; they are left out.
        kinds: number of new kinds.
        given: what the new run begins with.
        of: (n,) the group that each old image has in the run, by its place; else `ABSENT`.
    """

    parent: TrainedRun
    source: str
    config: Config
    data: Splits
    first: int
    copies: int
    kinds: int
    given: Given
    of: Int[np.ndarray, " n"]

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
            with_new(groups, self.kinds).write(out)
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
        parent, of = self.parent, self.of
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

    @property
    def loses_poses(self) -> bool:
        """Whether the run has true poses, which nobody knows of new images."""
        return self.parent.settings.data_group is not None and self.data.test.elements is None


def extension_of(
    parent: TrainedRun, added: Added, out: Path, track: Track = iter, parts: Parts = iter
) -> Extension:
    """Look at new images for a run; what names its sources is written into the new run's folder.

    Args:
        parent: the run.
        added: the new images.
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
    before = parent.data(track)
    try:
        config, joined = with_added(parent, before, added, out)
        data = prepare_for(config, track, joined)
        first = joined.begins[-1]
        config, data, copies = without_copies(config, data, before, first, added.source)
        found = found_in(parent, data)
        kinds, given = learned(parent, data, found[0], first, parts)
    except BaseException:
        for name in (FILE, FEATURES):  # so that the folder is free for another try
            (out / name).unlink(missing_ok=True)
        raise
    return Extension(
        parent=parent,
        source=added.source,
        config=with_kinds(config, parent.clusters, kinds),
        data=data,
        first=first,
        copies=copies,
        kinds=kinds,
        given=given,
        of=groups_of(parent, data, found, first),
    )


def found_in(parent: TrainedRun, data: Splits) -> list[Embedding]:
    """What a run says of images, part by part as `images_in` has them."""
    return [
        embed(parent.model, one.pixels, evidence=parent.told(one.features))
        for one in images_in(data)
    ]


def groups_of(
    parent: TrainedRun, data: Splits, found: list[Embedding], first: int
) -> Int[np.ndarray, " n"]:
    """The group that each old image has in a run, by its place; `ABSENT` where there is none.

    Args:
        parent: the run.
        data: images of the new run.
        found: what the run says of them.
        first: place of the first new image.
    """
    of = np.full(first, ABSENT)
    for images, own in zip(images_in(data), found, strict=True):
        old = ~is_new(images, first)
        names = None if images.names is None else images.names[old].tolist()
        groups = parent.collections.assign(own.cluster.numpy()[old], own.z.numpy()[old], names)
        of[places_of(images)[old]] = groups
    return of


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
        UserError: no new image is left.
    """
    have = {place for images in images_in(before) for place in places_of(images).tolist()}
    posed = [getattr(before, part) for part in PARTS]
    lying = [one.images.pixels if one.upright is None else one.upright for one in posed]
    seen = {bytes(image.numpy()) for pixels in lying for image in pixels}
    kept = np.ones(max(int(places_of(images).max()) for images in images_in(data)) + 1, bool)
    new = copies = 0
    for images in images_in(data):
        late = is_new(images, first)
        new += int(late.sum())
        for i, place in enumerate(places_of(images).tolist()):
            copy = bool(late[i]) and bytes(images.pixels[i].numpy()) in seen
            copies += copy
            kept[place] = not copy if late[i] else place in have
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


def learned(
    parent: TrainedRun, data: Splits, found: Embedding, first: int, parts: Parts = iter
) -> tuple[int, Given]:
    """Find new kinds among the training images; return their number, and what a run begins with.

    Args:
        parent: the run before.
        data: images of the new run.
        found: what the run says of the training images.
        first: place of the first new image.
        parts: wraps the parts of the comparison of images.
    """
    model, settings, images = parent.model, parent.settings, data.train.images
    group, new = model.group, torch.from_numpy(is_new(images, first))
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
