"""Objects of label images as a source: a crop for each, in which all else is background."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.crops.boxes import Boxes
from mcevae.images.crops.cutting import cut
from mcevae.images.crops.large import LargeImages
from mcevae.images.crops.names import Names
from mcevae.images.crops.objects import Found, LabelImages, boxes_around, labels_of, without_labels
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.inside import parted
from mcevae.images.readers.views import View
from mcevae.images.sources.crops import CropSource
from mcevae.images.sources.files import name_of
from mcevae.images.sources.listing import files_of


class ObjectSource(CropSource):
    """Crops around the objects of label images, in the order of the images and of their numbers."""

    def found(self) -> Boxes:
        """See `CropSource.found`: the boxes of the objects.

        Raises:
            UserError: there are none.
        """
        given = self.settings.objects
        assert given is not None
        where = path_of(given)
        labels = files_of(where, links=self.settings.links).paths
        names = [name_of(path, where) for path in labels]
        reading = replace(self.reading.of(given), channels=None, axes=None)
        files = LargeImages(labels, lambda path: name_of(path, where), reading)
        own = {0: 0} if len(labels) == len(self.paths) == 1 else {}
        own = own or labels_of(self.paths, Names(names), labels)
        used = {labels[place] for place in own.values()}
        self.labels = LabelImages(files, own)
        self.bad: dict[int, str] = {}
        objects = [one for place in sorted(own) for one in self.objects_of(place)]
        kept = self.kept(objects)
        images = {i: self.called(path) for i, path in enumerate(self.paths) if path not in used}
        others = {i: names[i] for i, path in enumerate(labels) if path not in self.paths}
        self.aside = list(without_labels(images, own, others))
        if not kept:
            first = next(iter(self.bad), None)
            why = "" if first is None else f"; {self.labels.name(first)} {self.bad[first]}"
            raise UserError(
                f"{given}: has no objects of images of {self.name}{why}; give label images with "
                "the names of their images, in which numbers above 0 are objects."
            )
        boxes = boxes_around(kept, self.settings.box_size, files)
        for place, reason in self.bad.items():
            boxes.wrong[len(boxes)] = reason
            boxes.add(place, -1, (0, 0, 0, 0))
        return boxes

    def objects_of(self, place: int) -> list[Found]:
        """The objects of an image; none if its label image cannot be read, which is noted."""
        try:
            return list(self.labels.objects(place))
        except Unreadable as error:
            self.bad[place] = str(error)
            return []

    def kept(self, objects: list[Found]) -> list[Found]:
        """The objects without those at the border if they are not wanted; both are counted."""
        at_border = sum(one.at_border for one in objects)
        drop = self.settings.border_objects == "drop"
        if at_border:
            left = "which are left out" if drop else "--border-objects drop leaves them out"
            many = f"{at_border:,} of {len(objects):,}"
            self.labels.files.reading.note(
                f"has {many} objects at the border of their image; {left}"
            )
        return [one for one in objects if not (drop and one.at_border)]

    def files(self) -> list[Path]:
        """See `Source.files`: the large images that have objects, and their label images."""
        own, labels = self.labels.own, self.labels.files.paths
        paths = [path for place in own for path in (self.paths[place], labels[own[place]])]
        return [parted(path)[0] for path in paths]

    def row_name(self, row: int) -> str:
        """See `CropSource.row_name`: the label image, and the number of the object in it."""
        number = f"#{self.boxes.label[row]}" if self.boxes.label[row] else ""
        return f"{self.labels.name(self.boxes.image[row])}{number}"

    def crop_name(self, row: int) -> str:
        """See `CropSource.crop_name`: image.tif#object7."""
        boxes = self.boxes
        frame = f"#{boxes.frame[row]}" if boxes.frame[row] >= 0 else ""
        image = self.called(self.paths[boxes.image[row]])
        return f"{image}{frame}#object{boxes.label[row]}"

    def cut(self, row: int) -> tuple[View, np.ndarray, np.ndarray | None]:
        """See `CropSource.cut`: what is outside of the object does not count.

        Raises:
            Unreadable: it cannot be cut, or the label image is of another size.
        """
        boxes = self.boxes
        place, frame, box = boxes.image[row], boxes.frame[row], boxes.box(row)
        image, labels = self.large.get(place, frame), self.labels.get(place, frame)
        if image.shape[:2] != labels.shape:
            sizes = (
                " x ".join(map(str, labels.shape[::-1])),
                " x ".join(map(str, image.shape[1::-1])),
            )
            raise Unreadable(f"is in a label image of {sizes[0]}, but its image is {sizes[1]}")
        pixels, seen = cut(image, box)
        own, _ = cut(View.of(labels), box)
        mask = own == boxes.label[row]
        return image, pixels, mask if seen is None else mask & seen

    def words(self, column: str) -> Iterator[tuple[int, str]]:
        """See `TabledSource.words`: there is no table.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{self.settings.objects}: has label images, which have no --label-column {column}; "
            "give a table with --labels."
        )

    def columns(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """See `Source.columns`: the image, the box, and the number of the object."""
        made = super().columns(rows)
        made["object"] = np.array([self.boxes.label[row] for row in rows], np.int32)
        return made
