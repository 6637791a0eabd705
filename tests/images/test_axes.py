"""Arrays of any layout become the images that they hold, and doubts are said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.readers.axes import guessed
from mcevae.images.readers.frames import Fault, Frame, gathered, write_faults
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.registry import open_source
from tests.images.reading import read

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "many", "axes", "doubt"),
    [
        ((20, 24), False, "HW", False),
        ((60_000, 28, 28), False, "NHW", False),
        ((23, 20, 24), False, "NHW", True),
        ((100, 20, 24), False, "NHW", False),
        ((3, 20, 24), False, "NHW", True),
        ((3, 20, 24), True, "CHW", True),
        ((5, 32, 32), True, "NHW", True),
        ((32, 32, 3), False, "HWC", False),
        ((20, 24, 1), False, "HWC", False),
        ((32, 32, 4), True, "HWC", True),
        ((32, 32, 5), True, "HWC", True),
        ((129, 129, 10), False, "HWN", True),
        ((32, 32, 64), False, "HWN", True),
        ((20, 24, 600), False, "HWN", True),
        ((600, 300, 2), False, "HWC", True),
        ((600, 28, 28, 3), False, "NHWC", False),
        ((600, 28, 28, 1), False, "NHWC", False),
        ((600, 3, 28, 28), False, "NCHW", True),
        ((600, 1, 28, 28), False, "NCHW", False),
        ((32, 32, 3, 600), False, "HWCN", True),
        ((600, 28, 28, 5), False, "NHWC", True),
        ((600, 5, 28, 28), False, "NCHW", True),
        ((10, 64, 64, 64), False, "", False),
        ((768, 32, 2), False, "", False),
        ((20, 3, 24), False, "", False),
        ((7,), False, "", False),
        ((2, 3, 4, 5, 6), False, "", False),
    ],
)
def test_shapes_tell_their_axes(shape: tuple[int, ...], many: bool, axes: str, doubt: bool) -> None:
    assert guessed(shape, many) == (axes, doubt)


def folder_of(path: Path, arrays: list[np.ndarray]) -> Path:
    (path / "arrays").mkdir()
    for i, array in enumerate(arrays):
        np.save(path / "arrays" / f"{i:02}.npy", array)
    return path / "arrays"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("last", [True, False])
def test_one_file_for_each_colour_image(kind: Any, last: bool, tmp_path: Path) -> None:
    images = [rng.integers(0, 256, (32, 24, 3)).astype(kind) for _ in range(5)]
    folder = folder_of(tmp_path, [one if last else one.transpose(2, 0, 1) for one in images])
    for path, image in zip(sorted(folder.iterdir()), images, strict=True):
        (frame,) = frames_of(path, path.name, Reading(many=True))
        assert isinstance(frame, Frame) and np.array_equal(frame.pixels, image)
    source = open_source(str(folder))
    assert len(source.load().train) == 5
    assert [note.partition("; ")[0] for note in source.notes] == (
        [] if last else ["00.npy has shape (3, 32, 24), read as (C, H, W)"]
    )


def test_channels_that_are_no_colours_are_chosen_and_said(tmp_path: Path) -> None:
    images = [rng.integers(0, 256, (32, 32, 5)).astype(np.uint8) for _ in range(6)]
    folder = folder_of(tmp_path, images)
    source = open_source(str(folder), DataConfig(source=str(folder), normalise="none"))
    assert np.array_equal(source.load().train.pixels[:, 3], np.stack(images)[..., 3])
    layout, channel = source.notes
    assert "has shape (32, 32, 5), read as (H, W, C); --axes" in layout
    assert "has 5 channels, all taken; --channels 0 takes the first alone" in channel
    third = DataConfig(source=str(folder), channels="2")
    assert np.array_equal(read(folder, third)[0].pixels[:, 0], np.stack(images)[..., 2])
    with pytest.raises(UserError, match="has 5 channels, so there is no channels 5"):
        read(folder, DataConfig(source=str(folder), channels="5"))


def test_axes_that_are_given_are_taken(tmp_path: Path) -> None:
    stack = rng.integers(0, 256, (6, 3, 20, 24)).astype(np.uint8)
    ways = {
        "NCHW": stack,
        "czyx": stack.transpose(1, 0, 2, 3),  # letters of microscopes, in any case
        "HWCN": stack.transpose(2, 3, 1, 0),
        "WHNC": stack.transpose(3, 2, 0, 1),
    }
    for axes, array in ways.items():
        np.save(tmp_path / "a.npy", array)
        images, _ = read(tmp_path / "a.npy", DataConfig(axes=axes))
        assert np.array_equal(images.pixels, stack), axes
    np.save(tmp_path / "a.npy", stack.reshape(2, 3, 3, 20, 24))
    assert np.array_equal(read(tmp_path / "a.npy", DataConfig(axes="TZCYX"))[0].pixels, stack)
    for axes, said in (("NHW", "has 5 axes of"), ("NNHHW", "one of them must be H, one W")):
        with pytest.raises(UserError, match=said):
            read(tmp_path / "a.npy", DataConfig(axes=axes))


def test_images_that_come_last_are_read_in_order(tmp_path: Path) -> None:
    stack = rng.integers(0, 256, (40, 32, 32)).astype(np.uint8)
    np.save(tmp_path / "last.npy", stack.transpose(1, 2, 0))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(stack))
    for name in ("last", "fortran"):
        images, _ = read(tmp_path / f"{name}.npy", DataConfig())
        assert np.array_equal(images.pixels[:, 0], stack)


def test_strips_are_no_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((768, 32, 2), np.uint8))
    (fault,) = frames_of(tmp_path / "a.npy", "a.npy")
    assert isinstance(fault, Fault) and "--axes CHW" in fault.reason


def test_many_faults_of_a_file_are_one_line(tmp_path: Path) -> None:
    stack = rng.random((300, 20, 20))
    stack[2:290, 5, 5] = np.inf
    np.save(tmp_path / "a.npy", stack)
    np.save(tmp_path / "b.npy", stack[1:3])
    images, faults = read(tmp_path, DataConfig(source=str(tmp_path)))
    assert len(images) == 13 and len(faults) == 289
    many, one = gathered(faults)
    assert many.name == "a.npy" and many.reason.endswith("(288 of its images, from #2 to #289)")
    assert one.name == "b.npy#1"
    write_faults(faults, tmp_path / "skipped.csv")
    assert len((tmp_path / "skipped.csv").read_text().splitlines()) == 3


def test_objects_are_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", images=np.array([{}, []], dtype=object))
    for name in ("a.npy", "b.npz"):
        (fault,) = frames_of(tmp_path / name, name)
        assert isinstance(fault, Fault) and "holds Python objects (dtype object)" in fault.reason


def test_an_archive_of_one_array_needs_no_name(tmp_path: Path) -> None:
    stack = rng.integers(0, 256, (6, 20, 24)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", stack)
    assert np.array_equal(read(tmp_path / "a.npz", DataConfig())[0].pixels[:, 0], stack)
