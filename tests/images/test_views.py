"""Windows of images, for every format that can give them: the same pixels as the whole image."""

from collections.abc import Callable
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from astropy.io import fits
from PIL import Image
from scipy import io

from mcevae.images.crops.large import LargeImages
from mcevae.images.readers import frames
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4000, (150, 230), dtype=np.uint16)
STACK = RNG.integers(0, 4000, (3, 150, 230), dtype=np.uint16)
COLOURS = RNG.integers(0, 256, (150, 230, 3), dtype=np.uint8)
TILE = (64, 48)
SEVERAL = (
    "stack.npy",
    "many.mrcs",
    "shaped.tif",
    "tiled.ome.tif",
    "chunks.h5",
    "folder.zarr",
    "packed.npz",
)


def mrc(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(GREY.astype(np.float32))


def mrcs(path: Path) -> None:
    with mrcfile.new(path) as file:
        file.set_data(STACK)


def ome(path: Path) -> None:
    tifffile.imwrite(
        path,
        STACK,
        metadata={"axes": "TYX"},
        compression="zlib",
        tile=TILE,
        photometric="minisblack",
    )


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=STACK, chunks=(1, 40, 40), compression="gzip")


def zarr_folder(path: Path) -> None:
    array = zarr.create_array(str(path), shape=STACK.shape, dtype=STACK.dtype, chunks=(1, 50, 60))
    array[:] = STACK


WINDOWED: dict[str, Callable[[Path], object]] = {
    "grey.npy": lambda path: np.save(path, GREY),
    "stack.npy": lambda path: np.save(path, STACK),
    "colours.npy": lambda path: np.save(path, COLOURS),
    "turned.npy": lambda path: np.save(path, np.asfortranarray(GREY)),
    "one.mrc": mrc,
    "many.mrcs": mrcs,
    "plain.tif": lambda path: tifffile.imwrite(path, GREY, metadata=None),
    "strips.tif": lambda path: tifffile.imwrite(path, GREY, metadata=None, rowsperstrip=7),
    "big.tif": lambda path: tifffile.imwrite(
        path, GREY, metadata=None, byteorder=">", bigtiff=True, rowsperstrip=9, compression="lzw"
    ),
    "white.tif": lambda path: tifffile.imwrite(
        path, GREY, metadata=None, photometric="miniswhite", compression="zlib", predictor=True
    ),
    "tiles.tif": lambda path: tifffile.imwrite(path, GREY, metadata=None, tile=TILE),
    "colours.tif": lambda path: tifffile.imwrite(
        path, COLOURS, metadata=None, photometric="rgb", compression="zlib", tile=TILE
    ),
    "shaped.tif": lambda path: tifffile.imwrite(path, STACK, photometric="minisblack"),
    "tiled.ome.tif": ome,
    "chunks.h5": hdf5,
    "folder.zarr": zarr_folder,
    "image.fits": lambda path: fits.writeto(path, GREY.astype(np.float32)),
}
WHOLE: dict[str, Callable[[Path], object]] = {
    "picture.png": lambda path: Image.fromarray(COLOURS).save(path),
    "picture.jpg": lambda path: Image.fromarray(COLOURS).save(path),
    "variable.mat": lambda path: io.savemat(path, {"image": GREY}),
    "packed.npz": lambda path: np.savez_compressed(path, images=STACK),
}


@pytest.mark.parametrize("name", [*WINDOWED, *WHOLE])
def test_windows_have_the_pixels_of_the_whole_image(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    {**WINDOWED, **WHOLE}[name](path)
    whole = [one.pixels for one in frames_of(path, name) if isinstance(one, Frame)]
    large = LargeImages([path], lambda path: path.name, Reading())
    assert len(whole) == (
        3 if name.startswith(("stack", "many", "shaped", "tiled", "chunks", "fol", "packed")) else 1
    )
    for number, pixels in enumerate(whole):
        view = large.get(0, number if len(whole) > 1 else -1)
        assert view.shape == pixels.shape
        np.testing.assert_array_equal(view.whole(), pixels, strict=True)
        for rows, columns in ((slice(0, 9), slice(0, 5)), (slice(60, 131), slice(47, 230))):
            np.testing.assert_array_equal(view.read(rows, columns), pixels[rows, columns])


@pytest.mark.parametrize("name", WINDOWED)
def test_only_the_window_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is too large to be read whole gives windows."""
    if name.endswith((".mrc", ".mrcs")):
        pytest.skip("MRC files have the same limit in any case")
    path = tmp_path / name
    WINDOWED[name](path)
    monkeypatch.setattr(frames, "MOST_PIXELS", 20_000)
    found = list(frames_of(path, name))
    assert not any(isinstance(one, Frame) for one in found)
    large = LargeImages([path], lambda path: path.name, Reading())
    view = large.get(0, 0)
    assert view.read(slice(3, 13), slice(5, 25)).shape[:2] == (10, 20)


def test_a_file_of_several_needs_a_number(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", STACK)
    large = LargeImages([tmp_path / "stack.npy"], lambda path: path.name, Reading())
    with pytest.raises(Unreadable, match=r"has several images; add a column frame, .* stack.npy#0"):
        large.get(0, -1)
    for number in (2, 0, 1):  # in any order
        np.testing.assert_array_equal(large.get(0, number).whole(), STACK[number])
    with pytest.raises(Unreadable, match=r"is in image 3 of stack\.npy, which has 3 images"):
        large.get(0, 3)
    np.testing.assert_array_equal(large.get(0, 1).whole(), STACK[1])


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    paths = []
    for number in range(30):
        paths.append(tmp_path / f"{number}.h5")
        with h5py.File(paths[-1], "w") as file:
            file["a"] = GREY + number
    large = LargeImages(paths, lambda path: path.name, Reading())
    for number in (*range(30), 0, 17):
        pixels = large.get(number, -1).read(slice(0, 4), slice(0, 4))
        np.testing.assert_array_equal(pixels, GREY[:4, :4] + number)
        assert len(large.open) <= 8


@pytest.mark.parametrize("name", ["colours.tif", "big.tif", "folder.zarr"])
def test_damaged_windows_are_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WINDOWED[name](path)
    file = next(path.glob("c/0/1/1")) if path.is_dir() else path
    content = file.read_bytes()
    begin = 4 if path.is_dir() else len(content) // 2
    file.write_bytes(content[:begin] + b"\xff" * 2000 + content[begin + 2000 :])
    large = LargeImages([path], lambda path: path.name, Reading())
    with pytest.raises(Unreadable, match=f"is in {name}, which "):
        large.get(0, 0).whole()
