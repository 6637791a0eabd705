"""Objects of label images: one crop for each, in which all else is background."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Frame
from mcevae.images.sources.objects import ObjectSource
from mcevae.images.sources.registry import open_source
from tests.images.reading import read

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(1000, 3000, (60, 80), dtype=np.uint16)
LABELS = np.zeros((60, 80), np.int32)
LABELS[5:15, 10:30] = 3
LABELS[8:12, 14:20] = 0  # a hole
LABELS[20:34, 40:48] = 7
LABELS[0:6, 70:80] = 12  # at the border
LABELS[40:44, 20:24] = 90_000


def opened(source: Path, labels: Path, **settings: object) -> ObjectSource:
    found = open_source(str(source), DataConfig(objects=str(labels), **settings))  # pyright: ignore[reportArgumentType]
    assert isinstance(found, ObjectSource)
    return found


def written(folder: Path, name: str, pixels: np.ndarray) -> Path:
    """Write an image or a label image, by the ending of its name."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return path


def expected(label: int, side: int, image: np.ndarray = IMAGE, labels: np.ndarray = LABELS):
    """The crop of an object by scipy and NumPy alone, and its mask."""
    rows, columns = np.nonzero(labels == label)
    top = (rows.min() + rows.max() + 1) // 2 - side // 2
    left = (columns.min() + columns.max() + 1) // 2 - side // 2
    wide = np.pad(image, side)[top + side : top + 2 * side, left + side : left + 2 * side]
    mask = np.pad(labels == label, side)[top + side : top + 2 * side, left + side : left + 2 * side]
    return wide, mask


def held(source: ObjectSource, numbers: list[int], side: int) -> None:
    """Hold that a source has the crops of these objects."""
    frames = [source.frame(row) for row in range(source.total())]
    assert [one.name.rpartition("#")[2] for one in frames] == [f"object{n}" for n in numbers]
    for frame, number in zip(frames, numbers, strict=True):
        assert isinstance(frame, Frame), frame
        pixels, mask = expected(number, side)
        assert frame.pixels.shape == (side, side, 4)
        np.testing.assert_array_equal(frame.pixels[..., 3] > 0, mask)
        for channel in range(3):
            np.testing.assert_array_equal(frame.pixels[..., channel][mask], pixels[mask])
        assert np.isin(frame.pixels[~mask][:, 0], np.median(pixels[mask]).astype(np.uint16)).all()


@pytest.mark.parametrize("ending", [".tif", ".npy"])
def test_each_object_gives_a_crop(tmp_path: Path, ending: str) -> None:
    image = written(tmp_path, "image.tif", IMAGE)
    labels = written(tmp_path, f"other{ending}", LABELS)
    source = opened(image, labels)
    held(source, [3, 7, 12, 90_000], 20)
    assert any("has 1 of 4 objects at the border" in note for note in source.notes)
    assert any("has objects of up to 20 pixels a side" in note for note in source.notes)
    held(opened(image, labels, border_objects="drop", box_size=31), [3, 7, 90_000], 31)
    columns = source.columns([0, 3])
    assert columns["object"].tolist() == [3, 90_000]
    assert columns["image_file"].tolist() == ["image.tif", "image.tif"]


@pytest.mark.parametrize(
    "names",
    [
        ("images/a.tif", "labels/a.png", "images", "labels"),
        ("images/plate/a.tif", "labels/plate/a_masks.png", "images", "labels"),
        ("images/plate/a.tif", "labels/a.png", "images", "labels"),
        ("both/a.tif", "both/a_cp_masks.png", "both", "both"),
        ("set/images/a.tif", "set/masks/a.png", "set", "set/masks"),
    ],
)
def test_label_images_have_the_names_of_their_images(
    tmp_path: Path, names: tuple[str, str, str, str]
) -> None:
    image, label, source, labels = names
    written(tmp_path, image, IMAGE)
    written(tmp_path, label, np.where(LABELS > 100, 20, LABELS).astype(np.uint8))
    alone = written(tmp_path / source, "alone.tif", IMAGE)
    found = opened(tmp_path / source, tmp_path / labels)
    assert [found.frame(row).name.rpartition("#")[2] for row in range(4)] == [
        "object3",
        "object7",
        "object12",
        "object20",
    ]
    passed = {one.name: one.reason for one in found.passed}
    assert passed.pop(alone.relative_to(tmp_path / source).as_posix()) == "has no label image"
    assert not {name: why for name, why in passed.items() if name != "alone.tif"}


def test_masks_and_colours_are_objects_as_well(tmp_path: Path) -> None:
    image = written(tmp_path, "image.tif", IMAGE)
    mask = written(tmp_path, "mask.png", ((LABELS > 0) * 255).astype(np.uint8))
    source = opened(image, mask)
    parts, count = ndimage.label(LABELS > 0, np.ones((3, 3)))
    assert source.total() == count == 4
    for row in range(4):
        frame = source.frame(row)
        assert isinstance(frame, Frame)
        _, wanted = expected(row + 1, 20, labels=parts)
        np.testing.assert_array_equal(frame.pixels[..., 3] > 0, wanted)
    assert any("each of its connected parts is an object" in note for note in source.notes)
    colours = np.zeros((60, 80, 3), np.uint8)
    for number, colour in {3: (200, 0, 10), 7: (0, 0, 9), 12: (1, 2, 3)}.items():
        colours[number == LABELS] = colour
    source = opened(image, written(tmp_path, "colours.png", colours))
    assert source.columns(range(3))["object"].tolist() == [9, 0x010203, 0xC8000A]


def test_stacks_have_stacks_of_labels(tmp_path: Path) -> None:
    stack = RNG.integers(0, 255, (3, 60, 80), dtype=np.uint8)
    labels = np.stack([LABELS * 0, LABELS, np.where(LABELS == 7, 7, 2)]).astype(np.int32)
    image, label = written(tmp_path, "a.npy", stack), written(tmp_path, "b.npy", labels)
    source = opened(image, label, box_size=20)
    names = [source.frame(row).name for row in range(source.total())]
    assert names == [
        *(f"a.npy#1#object{number}" for number in (3, 7, 12, 90_000)),
        "b.npy#2",  # as large as the image
        "a.npy#2#object7",
    ]
    assert source.columns([0])["frame"].tolist() == [1]


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        written(tmp_path, f"images/{name}.tif", IMAGE)
    written(tmp_path, "labels/a.npy", LABELS[:-1])
    written(tmp_path, "labels/b.npy", LABELS + 0.5)
    written(tmp_path, "labels/c.npy", LABELS)
    written(tmp_path, "labels/d.npy", LABELS)
    settings = DataConfig(objects=str(tmp_path / "labels"), box_size=16)
    images, faults = read(tmp_path / "images", settings)
    assert images.names is not None
    assert images.names.tolist() == [f"c.tif#object{number}" for number in (7, 12, 90_000)]
    told = {one.name: one.reason for one in faults}
    assert told["a.npy#7"] == "is in a label image of 80 x 59, but its image is 80 x 60"
    assert told["b.npy"] == "is a label image with fractions; give whole numbers"
    assert told["c.npy#3"] == "is 20 x 10 pixels, more than --box-size 16"
    assert told["d.npy"] == "is the label image of no image"
    with pytest.raises(UserError, match="has no objects of images of"):
        opened(tmp_path / "images/a.tif", written(tmp_path, "none.npy", LABELS * 0))
    written(tmp_path, "images/sub/a.tif", IMAGE)
    with pytest.raises(UserError, match="is the label image of both"):
        opened(tmp_path / "images", tmp_path / "labels")


def test_floats_with_holes_are_masked(tmp_path: Path) -> None:
    """Of floats, too, a hole in an object is background and no missing number."""
    image = written(tmp_path, "image.npy", np.full((60, 80), 0.75, np.float32))
    labels = written(tmp_path, "labels.npy", LABELS)
    settings = DataConfig(objects=str(labels), background=0.25, normalise="none", flatten="no")
    images, faults = read(image, settings)
    assert not faults
    for row, number in enumerate((3, 7, 12, 90_000)):
        wanted = np.where(expected(number, 20)[1], round(0.75 * 255), round(0.25 * 255))
        np.testing.assert_array_equal(images.pixels[row, 0].numpy(), wanted)
