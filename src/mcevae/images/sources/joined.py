"""Several sources, one after another, as one: what a run has that was extended by other images.

Images of the first source keep their names and numbers; names of the others begin with what their
source is called. All are read by the recipe of the first. Each source is split by itself, so what
comes later changes no part of what was there before.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import Images, ImageSet, joined, require
from mcevae.images.features import Features
from mcevae.images.hints import read_hints, to_front
from mcevae.images.merging import alike, with_alike_hints
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.reckoning import unused
from mcevae.images.sources.beside import placed
from mcevae.images.sources.contract import (
    START,
    Original,
    Part,
    Position,
    Share,
    Source,
    Track,
)
from mcevae.images.sources.members import FILE, Member
from mcevae.images.sources.rows import RowSource
from mcevae.images.splits import Place, Posed, Splits

SOURCE_BITS = 56
"""The number of an image in a share is its own, plus that of its source shifted by so many bits."""


class JoinedSource(Source):
    """Sources that a file names. They are opened by `registry.open_source`."""

    named: ClassVar[bool] = True
    counted: ClassVar[bool] = False

    def __init__(
        self, name: str, settings: DataConfig, members: Sequence[Member], sources: Sequence[Source]
    ) -> None:
        """Join sources.

        Args:
            name: path of the file that names them.
            settings: of all of them together.
            members: what the file says of each.
            sources: the same, opened.
        """
        super().__init__(name, settings)
        self.members, self.sources = tuple(members), tuple(sources)
        self.passed = tuple(
            fault for i, source in enumerate(sources) for fault in self.told(i, source.passed)
        )
        self.raw = all(source.raw for source in sources)
        self.begins: list[int] = []
        """Place of the first image of each source, once all were read."""

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether it is a file of this name, or what is in its place."""
        path = path_of(name)
        return path.name == FILE and os.path.lexists(path)

    @property
    def notes(self) -> list[str]:
        """See `Source.notes`."""
        return [note for source in self.sources for note in source.notes]

    @property
    def recipe(self) -> Recipe:
        """By which all images are read: that of the first source.

        Raises:
            UserError: no image of it can be used.
        """
        first = self.sources[0]
        if isinstance(first, RowSource):
            return recipe_for(self.settings, first.shape)
        assert first.survey is not None
        return first.survey.recipe

    def settled(self) -> dict[str, Any]:
        """See `Source.settled`."""
        return self.sources[0].settled()

    def called(self, member: int, name: str | None, place: int) -> str:
        """The name of an image.

        Args:
            member: number of its source.
            name: its name there; None: it has none.
            place: its number there.
        """
        prefix = self.members[member].called
        if name is None:
            return f"{prefix or Path(self.sources[member].name).name}#{place}"
        return f"{prefix}/{name}" if prefix else name

    def told(self, member: int, faults: Iterable[Fault]) -> list[Fault]:
        """Faults of a source, by the names that they have here."""
        return [replace(one, name=self.called(member, one.name, 0)) for one in faults]

    def taken(self, member: int, images: Images, offset: int) -> Images:
        """Images of a source with the names and places that they have here.

        Args:
            member: number of the source.
            images: with their places in it.
            offset: place of its first image here.
        """
        assert images.places is not None
        own = [None] * len(images) if images.names is None else images.names.tolist()
        each = zip(own, images.places.tolist(), strict=True)
        names = np.array([self.called(member, name, place) for name, place in each], np.str_)
        return replace(images, name=self.name, names=names, places=images.places + offset)

    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """See `Source.load`. Test images of a source come behind its training images."""
        how, offset = recipe or self.recipe, 0
        every: list[Images] = []
        faults: list[Fault] = []
        for i, source in enumerate(self.sources):
            loaded = placed(source, source.load(track, how))
            parts = [loaded.train] if loaded.test is None else [loaded.train, loaded.test]
            every.append(self.taken(i, joined(parts), offset))
            offset += counted(source, len(every[-1]), loaded.faults)
            faults += self.told(i, loaded.faults)
        return ImageSet(train=joined(alike(every)), faults=tuple(faults))

    def splits(
        self,
        place: Place,
        *,
        split: str = "standard",
        limit: int | None = None,
        track: Track = iter,
        recipe: Recipe | None = None,
    ) -> Splits:
        """See `Source.splits`. Each source is split by itself; `limit` holds for the first."""
        require(
            self.settings.labels is None,
            f"{self.name}: names sources that have labels of their own; leave out --labels, or "
            "write them there.",
        )
        how, offset = recipe or self.recipe, 0
        self.begins = []
        every: list[list[Images]] = []
        posed: list[Splits] = []
        for i, (member, source) in enumerate(zip(self.members, self.sources, strict=True)):
            most = None if i else limit
            given = place if member.moved else unmoved
            made = source.splits(given, split=split, limit=most, track=track, recipe=how)
            if made.window is not None:
                raise UserError(
                    f"{source.name}: has more images than fit into memory, so it cannot be joined "
                    "with others; pack the images of all of them together, and train on that."
                )
            parts = [one.images for one in parts_of(made)]
            count = sum(map(len, parts[: 2 if split == "all" else 3]))  # test is validation then
            every.append([self.taken(i, one, offset) for one in parts])
            self.begins.append(offset)
            offset += counted(source, count, made.faults)
            posed.append(made)
        training, validation, test = self.together(every, posed, split)
        return Splits(
            train=training,
            validation=validation,
            test=test,
            faults=tuple(f for i, one in enumerate(posed) for f in self.told(i, one.faults)),
            reckoned=" ".join(filter(None, (one.reckoned for one in posed))),
        )

    def together(self, every: list[list[Images]], posed: list[Splits], split: str) -> list[Posed]:
        """Join the parts of all sources: training, validation and test images.

        Args:
            every: training, validation and test images of each source.
            posed: the same, as they were posed.
            split: as in `splits`.
        """
        flat = alike([images for parts in every for images in parts])
        train, validation, test = (joined(with_alike_hints(flat[k::3])) for k in range(3))
        if self.settings.hints is not None:
            own = [validation] if split == "all" else [validation, test]
            train, validation, *rest = to_front(*read_hints(self.settings.hints, [train, *own]))
            test = rest[0] if rest else validation
        elif all(one.train.elements is not None for one in posed):
            each = zip(*map(parts_of, posed), strict=True)
            both = zip(each, (train, validation, test), strict=True)
            return [joined_poses(own, images) for own, images in both]
        features = self.settings.features
        known = None if features is None else Features.read(features)
        return [
            Posed(images=images if known is None else featured(images, known, self.name))
            for images in (train, validation, test)
        ]

    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = START,
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """See `Source.parts`. What comes before `begin` is read again."""
        skipped, common = begin != START, {*self.columns([])}
        images = entries = 0
        for i, source in enumerate(self.sources):
            inner = START
            for one in source.parts(recipe, part=part, share=share, track=track):
                inner, first = one.end, one.end.images - len(one.pixels)
                # Sources of rows do not count entries: there all can be used.
                end = Position(
                    file=i,
                    frame=inner.frame,
                    images=images + inner.images,
                    entries=entries + (inner.entries or inner.images),
                )
                if skipped:
                    skipped = end != begin
                    continue
                own = one.places_from(first).tolist()
                names = one.names or [None] * len(own)
                yield replace(
                    one,
                    names=[self.called(i, *each) for each in zip(names, own, strict=True)],
                    faults=self.told(i, one.faults),
                    end=end,
                    done=(i + one.done) / len(self.sources),
                    ids=[(i << SOURCE_BITS) + place for place in own] if share else None,
                    places=None if share else [entries + place for place in own],
                    columns={k: values for k, values in one.columns.items() if k in common},
                )
            images, entries = images + inner.images, entries + (inner.entries or inner.images)

    def sample(self) -> Iterable[Frame | Fault]:
        """See `Source.sample`. If frames of some have no recipe any more, only these are taken."""
        for source in self.sources:
            if source.raw == self.raw:
                yield from source.sample()

    def originals(self, recipe: Recipe, part: str = "all") -> Iterator[Original | Fault]:
        """See `Source.originals`. If some sources have nothing finer, no source has."""
        for i, source in enumerate(self.sources):
            for place, one in enumerate(source.originals(recipe, part)):
                if isinstance(one, Fault):
                    yield from self.told(i, [one])
                    continue
                name = one.frame.name if source.named else None
                frame = replace(one.frame, name=self.called(i, name, place))
                if source.raw != self.raw:
                    pixels = one.image.movedim(0, -1).numpy()
                    frame = Frame(frame.name, pixels, recipe.names)
                yield replace(one, frame=frame, done=(i + one.done) / len(self.sources))

    def total(self, part: str = "all") -> int | None:
        """See `Source.total`."""
        counts = [source.total(part) for source in self.sources]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def columns(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """See `Source.columns`: those that all sources have. Of joined ones only none are asked."""
        every = [source.columns([]) for source in self.sources]
        return {k: v for k, v in every[0].items() if all(k in own for own in every)}

    def files(self) -> list[Path]:
        """See `Source.files`."""
        return [file for source in self.sources for file in source.files()]

    def file_of(self, name: str) -> Path:
        """See `Source.file_of`."""
        for member, source in zip(self.members, self.sources, strict=True):
            if member.called and name.startswith(f"{member.called}/"):
                return source.file_of(name.removeprefix(f"{member.called}/"))
        return self.sources[0].file_of(name)


def parts_of(splits: Splits) -> list[Posed]:
    """Training, validation and test images."""
    return [splits.train, splits.validation, splits.test]


def unmoved(images: Images, stream: str, window: int = 0) -> Posed:
    """Images as they are; see `Place`."""
    return Posed(images=images)


def counted(source: Source, images: int, faults: Sequence[Fault]) -> int:
    """How many images a source has, with those that cannot be used."""
    total = source.total()
    return images + len(unused(faults)) if total is None else total


def featured(images: Images, features: Features, source: str) -> Images:
    """Images with their rows of features, by their places."""
    assert images.places is not None
    return replace(images, features=features.rows(images.places, source))


def joined_poses(parts: Sequence[Posed], images: Images) -> Posed:
    """Images that were all moved, with what is known of it."""
    upright = [one.upright for one in parts if one.upright is not None]
    elements = [one.elements for one in parts if one.elements is not None]
    return Posed(images=images, upright=torch.cat(upright), elements=torch.cat(elements))
