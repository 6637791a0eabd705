"""Label images: numbers above 0 are objects, of which each gives one crop."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mcevae.base.cutting import LARGEST_BOX
from mcevae.base.errors import UserError
from mcevae.images.crops.boxes import Boxes
from mcevae.images.crops.large import LargeImages
from mcevae.images.crops.names import Names
from mcevae.images.label_tables import unended
from mcevae.images.readers.frames import Fault, Unreadable, within_bounds
from mcevae.images.reckoning import ASIDE

SUFFIXES = ("", "_cp_masks", "_masks", "_mask", "_labels", "_label", "_seg", "_objects")
"""What names of label images may have behind the name of their image."""
MANY = 2**20
"""Numbers of objects above this are replaced by smaller ones before objects are looked for."""


class Found(NamedTuple):
    """An object.

    Attributes:
        image: place of its image.
        frame: number of the image in its file; -1: the only one.
        label: its number.
        rows, columns: where it is.
        at_border: whether it touches the border of its image.
    """

    image: int
    frame: int
    label: int
    rows: slice
    columns: slice
    at_border: bool


class LabelImages:
    """The label images of large images, by the place of the image; the last one is kept."""

    def __init__(self, files: LargeImages, own: dict[int, int]) -> None:
        """Take the label images.

        Args:
            files: label images by their place.
            own: the place of the label image of each image that has one.
        """
        self.files, self.own = files, own
        self.kept: tuple[int, int, np.ndarray] | None = None

    def name(self, image: int) -> str:
        """The name of the label image of an image."""
        return self.files.name_of(self.files.paths[self.own[image]])

    def get(self, image: int, frame: int) -> np.ndarray:
        """The numbers of the objects of an image, (H, W).

        Raises:
            Unreadable: there are none.
        """
        if self.kept is None or self.kept[:2] != (image, frame):
            view = self.files.get(self.own[image], frame)
            within_bounds((view.shape[1], view.shape[0]))
            numbers = numbers_of(view.whole())
            if len(values := some_values(numbers)) == 1:
                self.files.reading.of(self.name(image)).note(
                    "has one number beside 0, so each of its connected parts is an object"
                )
                numbers = connected(numbers == values[0])
            self.kept = image, frame, numbers
        return self.kept[2]

    def objects(self, image: int) -> Iterator[Found]:
        """The objects of an image, or of all images of its file.

        Raises:
            Unreadable: the label image cannot be read.
        """
        try:
            frames = [(-1, self.get(image, -1))]
        except Unreadable as error:
            if "several images" not in str(error):
                raise
            frames = self.frames(image)
        for frame, numbers in frames:
            yield from objects_in(numbers, image, frame)

    def frames(self, image: int) -> Iterator[tuple[int, np.ndarray]]:
        """The label images of a file of several."""
        frame = 0
        while True:
            try:
                yield frame, self.get(image, frame)
            except Unreadable as error:
                if f"which has {frame:,} images" in str(error):
                    return
                raise
            frame += 1


def numbers_of(pixels: np.ndarray) -> np.ndarray:
    """Numbers of objects, (H, W), of a label image; of colours, each colour is a number.

    Raises:
        Unreadable: it holds other numbers than whole ones.
    """
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        colours = pixels[..., :3].astype(np.int64)
        if pixels.dtype != np.uint8:
            raise Unreadable(f"is a label image with colours of {pixels.dtype}; give whole numbers")
        return (colours[..., 0] << 16) + (colours[..., 1] << 8) + colours[..., 2]
    if pixels.dtype.kind == "f":
        whole = np.nan_to_num(pixels)
        if not (np.abs(whole) < 2**53).all() or (whole != np.round(whole)).any():
            raise Unreadable("is a label image with fractions; give whole numbers")
        return whole.astype(np.int64)
    if pixels.dtype.kind not in "bui":
        raise Unreadable(f"is a label image of {pixels.dtype}; give whole numbers")
    return pixels.astype(np.uint8) if pixels.dtype.kind == "b" else pixels


def some_values(numbers: np.ndarray) -> list[int]:
    """Up to two of the numbers above 0."""
    above = numbers[numbers > 0]
    if not above.size:
        return []
    return sorted({int(above.min()), int(above.max())})


def connected(mask: np.ndarray) -> np.ndarray:
    """Number the connected parts of a mask; corners connect, too."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
    return parts


def objects_in(numbers: np.ndarray, image: int, frame: int) -> Iterator[Found]:
    """The objects of a label image, in the order of their numbers."""
    values = None
    if numbers.size and numbers.max() > MANY:
        values, numbers = np.unique(numbers.clip(min=0), return_inverse=True)
        numbers = numbers.reshape(numbers.shape) + (values[0] > 0)
        values = values[values > 0]
    small = numbers.clip(min=0).astype(np.int32)
    for label, place in enumerate(ndimage.find_objects(small), 1):
        if place is not None:
            rows, columns = place
            tall, wide = numbers.shape
            edge = rows.start == 0 or columns.start == 0
            edge = edge or rows.stop == tall or columns.stop == wide
            number = label if values is None else int(values[label - 1])
            yield Found(image, frame, number, rows, columns, edge)


def labels_of(images: Sequence[Path], names: Names, labels: Sequence[Path]) -> dict[int, int]:
    """Which label image belongs to each image: that of the same name, but for `SUFFIXES`.

    Args:
        images: paths of images.
        names: of the label images.
        labels: their paths.

    Raises:
        UserError: two images have the same.
    """
    found: dict[int, int] = {}
    for place, path in enumerate(images):
        parts = unended(path.as_posix()).split("/")
        ends = ["/".join(parts[first:]) for first in range(len(parts))]
        forms = (f"{end}{suffix}" for end in ends for suffix in SUFFIXES)
        own = (names.known.get(form) for form in forms)
        label = next((one for one in own if one is not None and labels[one] != path), None)
        if label is not None:
            found[place] = label
    taken: dict[int, int] = {}
    for place, label in found.items():
        if (other := taken.setdefault(label, place)) != place:
            raise UserError(
                f"{labels[label]}: is the label image of both {images[other]} and {images[place]}; "
                "give label images the folders of their images."
            )
    return found


def boxes_around(found: Sequence[Found], side: int | None, files: LargeImages) -> Boxes:
    """Square boxes of one size around the middles of objects.

    Args:
        found: the objects.
        side: of the boxes; None: that of the largest object.
        files: the label images, whose remarks get what is said.

    Raises:
        UserError: the largest object is too large.
    """
    sizes = [
        (one.columns.stop - one.columns.start, one.rows.stop - one.rows.start) for one in found
    ]
    most = max((max(size) for size in sizes), default=0)
    if side is None:
        files.reading.note(
            f"has objects of up to {most} pixels a side, which all crops have; --box-size makes "
            "them smaller or larger"
        )
    if most > LARGEST_BOX:
        raise UserError(f"{files.reading.file}: has an object of {most} pixels a side; cut it up.")
    boxes, common = Boxes(), side or most
    for one, size in zip(found, sizes, strict=True):
        x = (one.columns.start + one.columns.stop) // 2 - common // 2
        y = (one.rows.start + one.rows.stop) // 2 - common // 2
        if max(size) > common:
            boxes.wrong[len(boxes)] = (
                f"is {size[0]} x {size[1]} pixels, more than --box-size {common}"
            )
        boxes.add(one.image, one.frame, (x, y, common, common), one.label)
    return boxes


def without_labels(
    images: dict[int, str], used: dict[int, int], labels: dict[int, str]
) -> Iterator[Fault]:
    """Images without a label image, and label images of no image.

    Args:
        images: names of images by their place.
        used: the place of the label image of each image that has one.
        labels: names of label images by their place.
    """
    for place, name in images.items():
        if place not in used:
            yield Fault(name, "has no label image", ASIDE)
    taken = set(used.values())
    for place, name in labels.items():
        if place not in taken:
            yield Fault(name, "is the label image of no image", ASIDE)
