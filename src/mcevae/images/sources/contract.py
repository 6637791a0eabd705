"""The methods that every source of images has, however its images are stored.

A kind of source is a class with this interface in a file of this folder, and a line in `registry`.
`FrameSource` and `RowSource` do most of the work for kinds like those that are here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import as_path, as_setting, path_of
from mcevae.images.arrays import Images, ImageSet
from mcevae.images.hints import to_front
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.recipe import Recipe
from mcevae.images.reckoning import reckon
from mcevae.images.sources.beside import placed, with_features, with_hints
from mcevae.images.sources.snapshot import Snapshot
from mcevae.images.splits import Place, Splits, split_blocks
from mcevae.images.survey import Survey

Track = Callable[[list[Any]], Iterable[Any]]
"""Wraps a list of things to read, for example to show a progress bar."""


@runtime_checkable
class Share(Protocol):
    """The images of a source that one of several processes works on (`predicting.shards`)."""

    def has(self, file: int, frame: int) -> bool:
        """Whether a frame of a file belongs to this share."""
        ...

    def rows(self, n: int) -> range:
        """The rows of this share, out of n."""
        ...


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a part begins.

    Attributes:
        file: number of the file, from 0.
        frame: number of the frame in the file, from 0; without files, of the frame in the share.
        images: how many images came before.
        entries: the same, with those that could not be used; only counted if all images are read.
    """

    file: int = 0
    frame: int = 0
    images: int = 0
    entries: int = 0


START = Position()


@dataclass(kw_only=True)
class Part:
    """Images that are processed together.

    Attributes:
        pixels: (N, C, H, W) uint8.
        names: of each image; None where images have none.
        faults: what could not be used among them.
        end: where the next part begins.
        done: share of the source that is done after this part, 0 to 1.
        ids: number of each image; None: images are counted through the parts.
        places: number of each image in the source, with those that cannot be used; None: `ids`.
        columns: more columns that tables of these images have, see `Source.columns`.
        sizes: (N, 2) height and width of each image as it lies in its file. None: as in `pixels`.
    """

    pixels: UInt8[Tensor, "n c h w"]
    names: list[str] | None
    faults: list[Fault] = field(default_factory=list)
    end: Position
    done: float
    ids: list[int] | None = None
    places: list[int] | None = None
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: Int[np.ndarray, "n 2"] | None = None

    def places_from(self, first: int) -> np.ndarray:
        """Number of each image in the source; `first` is how many images came before the part."""
        return np.asarray(self.places or self.ids or range(first, first + len(self.pixels)))


@dataclass(frozen=True, kw_only=True)
class Original:
    """An image as it is in its file, and as the model takes it.

    Attributes:
        frame: as it is in its file, at full resolution.
        image: (C, H, W), after the recipe.
        done: share of the source that is done before this image, 0 to 1.
    """

    frame: Frame
    image: UInt8[Tensor, "c h w"]
    done: float


class Source(ABC):
    """Images in a folder, a file, an array or a pack.

    Attributes:
        name: as it was given: a name or a path.
        settings: how its images are read.
        passed: files that the source has, but that are passed over, and why.
        named: whether each image has a name, which tables then list.
        packable: whether `mcevae pack` can bring its images to one form.
        counted: whether the number of an image in a share says how many come before it.
        part_size: images of a part, but for the last one.
        raw: whether its frames have the intensities of their files. False: they already went
            through a recipe.
    """

    named: ClassVar[bool] = False
    packable: ClassVar[bool] = False
    counted: ClassVar[bool] = True
    part_size: ClassVar[int] = 2000
    raw: bool = True

    def __init__(self, name: str, settings: DataConfig) -> None:
        self.name, self.settings = as_setting(name), settings
        self.passed: tuple[Fault, ...] = ()
        self.reading = Reading.by(settings)

    @cached_property
    def location(self) -> Path:
        """Where it is, if its name is a path."""
        return path_of(self.name)

    @property
    def notes(self) -> list[str]:
        """What was said of the images while they were read, one sentence for each thing."""
        return [f"{sentence}." for sentence in self.reading.notes]

    @classmethod
    @abstractmethod
    def takes(cls, name: str) -> bool:
        """Whether a name or path is of this kind."""

    @cached_property
    def survey(self) -> Survey | None:
        """How the images look and how they are converted. None: there is nothing to choose.

        Raises:
            UserError: no image can be used.
        """
        return None

    def settled(self) -> dict[str, Any]:
        """The settings of `DataConfig` that depend on the images. A run records them.

        Raises:
            UserError: as `survey`.
        """
        given = {"channels": self.settings.channels} if self.settings.channels else {}
        return {} if self.survey is None else {**self.survey.settled(), **given}

    @abstractmethod
    def load(self, track: Track = iter, recipe: Recipe | None = None) -> ImageSet:
        """All images in memory, with labels where they are known.

        Args:
            track: wraps what is read one after another, in a progress bar say.
            recipe: what is done to each image; None: what the images themselves suggest.

        Raises:
            UserError: nothing can be read, or labels are asked for and are not there.
        """

    @abstractmethod
    def parts(
        self,
        recipe: Recipe,
        *,
        part: str = "all",
        begin: Position = START,
        share: Share | None = None,
        track: Track = iter,
    ) -> Iterator[Part]:
        """The images part by part; memory holds one part.

        Args:
            recipe: what is done to each image.
            part: of a source that has training and test images of its own: all, train or test.
            begin: of the first part, as `Part.end` says.
            share: of one of several processes; None: all images.
            track: as in `load`.

        Raises:
            UserError: the source cannot be read, or its images do not fit the recipe.
        """

    @abstractmethod
    def sample(self) -> Iterable[Frame | Fault]:
        """A few frames from the whole source, from which choices for all of them are made.

        Raises:
            UserError: the source cannot be read.
        """

    @abstractmethod
    def originals(self, recipe: Recipe, part: str = "all") -> Iterator[Original | Fault]:
        """The images one by one, each at full resolution and in the form that the model takes.

        Args:
            recipe: as in `parts`.
            part: as in `parts`.

        Raises:
            UserError: as for `parts`.
        """

    def images(
        self, recipe: Recipe, part: str = "all", track: Track = iter
    ) -> tuple[Images, list[Fault]]:
        """All images of a part in memory, and what could not be used.

        Args:
            recipe: as in `parts`.
            part: as in `parts`.
            track: as in `load`.

        Raises:
            UserError: as for `parts`, or no image can be used.
        """
        pixels: list[Tensor] = []
        names: list[str] = []
        faults: list[Fault] = []
        places: list[int] = []
        sizes: list[np.ndarray] = []
        for batch in self.parts(recipe, part=part, track=track):
            pixels.append(batch.pixels)
            names += batch.names or []
            faults += batch.faults
            places += batch.places or batch.ids or []
            sizes += [] if batch.sizes is None else [batch.sizes]
        if not any(map(len, pixels)):
            raise no_image(self.name, faults)
        images = Images(
            name=self.name,
            pixels=torch.cat(pixels),
            names=np.asarray(names) if self.named else None,
            places=np.asarray(places),
            sizes=np.concatenate(sizes) if sizes else None,
        )
        return images, faults

    def total(self, part: str = "all") -> int | None:
        """How many images a part has, also those that cannot be used; None: reading them tells."""
        return None

    def columns(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """Columns of tables of images, beside those that all images have.

        Args:
            rows: numbers of images, as in `Numbered`.
        """
        return {}

    def own_labels(self) -> dict[str, str] | None:
        """Labels by the names of images, of the column of its own table that settings name.

        An image that is there twice, with different labels, has none. None: no column is named.

        Raises:
            UserError: the table has no such column.
        """
        return None

    def file_of(self, name: str) -> Path:
        """The absolute path of the file that an image with this name would be."""
        folder = self.location if self.location.is_dir() else self.location.parent
        return folder.resolve() / as_path(name)

    def files(self) -> list[Path]:
        """The files that hold the images; none if they are in memory or belong to the package."""
        return []

    def in_words(self, faults: Sequence[Fault]) -> str:
        """Say how many of its files were read, as `reckon` does; "" if all were.

        Args:
            faults: what could not be used, or was passed over.
        """
        said = reckon(len(self.files()) + len(self.passed), faults)
        return said and f"{self.name}: {said}."

    def snapshot(self) -> Snapshot:
        """The state of its files at this moment."""
        return Snapshot.of(self.name, self.files())

    def splits(
        self,
        place: Place,
        *,
        split: str = "standard",
        limit: int | None = None,
        track: Track = iter,
        recipe: Recipe | None = None,
    ) -> Splits:
        """Split the images into training, validation and test images.

        Args:
            place: poses the images of a split.
            split: standard or paper, as in `split_images`.
            limit: training images that are kept, at most.
            track: as in `load`.
            recipe: as in `load`.

        Raises:
            UserError: as `load` and `split_images`.
        """
        read = self.load(track) if recipe is None else self.load(track, recipe)
        loaded = with_hints(self, with_features(self, placed(self, read)))
        parts = split_blocks(loaded.train, loaded.test, split, self.settings.blocks)
        train, validation, test = to_front(*parts)
        return Splits(
            train=place(train.subset(slice(limit)), "train"),
            validation=place(validation, "validation"),
            test=place(test, "test"),
            faults=loaded.faults,
            reckoned=self.in_words(loaded.faults),
        )


def no_image(source: str, faults: Sequence[Fault]) -> UserError:
    """The error for a source without any image that can be used."""
    first = faults[0]
    where = "" if first.name == Path(source).name else f"no image can be used; {first.name} "
    return UserError(f"{source}: {where}{first.reason}.")
