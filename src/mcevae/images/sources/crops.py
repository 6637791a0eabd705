"""Crops from large images as a source: of a table of boxes, or of the objects of label images."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mcevae.base.config import DataConfig
from mcevae.base.names import as_text
from mcevae.images.crops.boxes import Boxes, boxes_of
from mcevae.images.crops.cutting import cut, seen_in
from mcevae.images.crops.large import LargeImages
from mcevae.images.readers.channels import framed, held
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.inside import parted
from mcevae.images.readers.views import View
from mcevae.images.reckoning import ASIDE
from mcevae.images.sources.files import name_of
from mcevae.images.sources.listing import files_of
from mcevae.images.sources.tabled import TabledSource


class CropSource(TabledSource):
    """Crops in the order of the table that names them; a few large images are open at once."""

    def __init__(self, name: str, settings: DataConfig) -> None:
        """Find the images and their boxes.

        Raises:
            UserError: there are none.
        """
        super().__init__(name, settings)
        listing = files_of(self.location, links=settings.links)
        self.paths = listing.paths
        self.large = LargeImages(self.paths, self.called, self.reading)
        self.boxes = self.found()
        self.passed = (*listing.passed, *self.aside)

    def found(self) -> Boxes:
        """The boxes of the crops. Files without any are set `aside`.

        Raises:
            UserError: there are none.
        """
        names = [self.called(path) for path in self.paths]
        boxes = boxes_of(names, self.settings)
        used = set(boxes.image)
        without = (name for place, name in enumerate(names) if place not in used)
        self.aside = [Fault(name, "has no box", ASIDE) for name in without]
        return boxes

    @classmethod
    def takes(cls, name: str) -> bool:
        """No name is of this kind: the settings say it, see `registry.open_source`."""
        return False

    def called(self, path: Path) -> str:
        """The name of a large image."""
        return name_of(path, self.location)

    def files(self) -> list[Path]:
        """See `Source.files`: the tables and the large images that they name."""
        used = sorted(set(self.boxes.image) - {-1})
        tables = [table for table, _ in self.boxes.tables]
        return [*tables, *(parted(self.paths[place])[0] for place in used)]

    def total(self, part: str = "all") -> int:
        """See `Source.total`."""
        return len(self.boxes)

    def frame(self, row: int) -> Frame | Fault:
        """See `TabledSource.frame`."""
        boxes = self.boxes
        if row in boxes.wrong:
            return Fault(self.row_name(row), boxes.wrong[row])
        try:
            image, pixels, seen = self.cut(row)
            found = held(pixels, pictured=image.pictured, names=image.names)
            name = self.called(self.paths[boxes.image[row]])
            return seen_in(framed(self.crop_name(row), found, self.reading.of(name)), seen)
        except Unreadable as error:
            return Fault(self.row_name(row), str(error))

    def words(self, column: str) -> Iterator[tuple[int, str]]:
        """See `TabledSource.words`."""
        names = [self.called(path) for path in self.paths]
        yield from boxes_of(names, self.settings, column).words.items()

    def named_as(self, row: int) -> str:
        """See `TabledSource.named_as`."""
        return self.crop_name(row)

    def row_name(self, row: int) -> str:
        """What names a crop: a row of the table of boxes."""
        return self.boxes.row(row)

    def crop_name(self, row: int) -> str:
        """What a crop is called: image.tif#x,y,width,height; in a stack stack.tif#3#x,..."""
        boxes = self.boxes
        image = self.called(self.paths[boxes.image[row]])
        frame = f"#{boxes.frame[row]}" if boxes.frame[row] >= 0 else ""
        return f"{image}{frame}#{','.join(map(str, boxes.box(row)))}"

    def cut(self, row: int) -> tuple[View, np.ndarray, np.ndarray | None]:
        """The image of a crop, its pixels there, and which of them count; None: all.

        Raises:
            Unreadable: it cannot be cut.
        """
        boxes = self.boxes
        image = self.large.get(boxes.image[row], boxes.frame[row])
        pixels, seen = cut(image, boxes.box(row))
        if seen is not None:
            name = self.called(self.paths[boxes.image[row]])
            self.reading.of(name).note(
                "has crops that reach beyond its border, where the background is put"
            )
        return image, pixels, seen

    @cached_property
    def of_stacks(self) -> bool:
        """Whether some crop is of a file of several images."""
        return any(number >= 0 for number in self.boxes.frame)

    def columns(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """See `Source.columns`: the image and the box of each crop."""
        boxes = self.boxes
        images = [as_text(self.called(self.paths[boxes.image[row]])) for row in rows]
        made: dict[str, np.ndarray] = {"image_file": np.array(images, np.str_)}
        if self.of_stacks:
            made["frame"] = np.array([boxes.frame[row] for row in rows], np.int32)
        for name in ("x", "y", "width", "height"):
            column = getattr(boxes, name)
            made[f"box_{name}"] = np.array([column[row] for row in rows], np.int32)
        return made
