"""TIFF files of other libraries: numbers as they were meant, and pages that are images alone."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (20, 24)).astype(np.uint8)
COLOUR = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
DEEP = rng.integers(0, 4096, (20, 24, 3)).astype(np.uint16)


def found_in(path: Path, **choices: Any) -> tuple[list[np.ndarray], list[str]]:
    """All frames of a file, and what was said of it."""
    reading = Reading(**choices)
    frames = list(frames_of(path, path.name, reading))
    assert all(isinstance(one, Frame) for one in frames), frames
    return [one.pixels for one in frames if isinstance(one, Frame)], list(reading.notes)


def only(path: Path, **choices: Any) -> np.ndarray:
    """The one frame of a file, of which nothing is said."""
    (pixels,), notes = found_in(path, **choices)
    assert not notes, notes
    return pixels


NUMBERS = {
    "signed bytes": (GREY.view(np.int8), {}),
    "16 bits": (DEEP[..., 0], {}),
    "signed 16 bits": (DEEP[..., 0].view(np.int16) - 2000, {}),
    "32 bits": (DEEP[..., 0].astype(np.uint32) * 1_000_000, {}),
    "signed 32 bits": (DEEP[..., 0].astype(np.int32) * -100_000, {}),
    "float": (GREY / np.float32(7), {}),
    "double": (GREY / 7.0, {}),
    "half": ((GREY / 7).astype(np.float16), {}),
    "LZW": (GREY, {"compression": "lzw"}),
    "LZW of 16 bits with a predictor": (DEEP, {"compression": "lzw", "predictor": True}),
    "LZW of floats": (GREY / np.float32(7), {"compression": "lzw"}),
    "floats with a predictor": (GREY / np.float32(7), {"compression": "zlib", "predictor": True}),
    "zstandard": (DEEP, {"compression": "zstd"}),
    "tiles": (np.tile(DEEP, (4, 4, 1)), {"tile": (32, 32)}),
    "the other order of bytes": (DEEP, {"byteorder": ">"}),
    "BigTIFF": (DEEP, {"bigtiff": True}),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("metadata", [None, {}], ids=["bare", "described"])
def test_numbers_are_those_that_were_written(kind: str, metadata: Any, tmp_path: Path) -> None:
    array, options = NUMBERS[kind]
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif", array, photometric=photometric, metadata=metadata, **options
    )
    pixels = only(tmp_path / "a.tif")
    assert pixels.dtype == array.dtype and np.array_equal(pixels, array)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_bits_are_unpacked(bits: int, tmp_path: Path) -> None:
    array = rng.integers(0, 2**bits, (20, 24)).astype(np.uint16)
    by_hand = "".join(f"{int(value):0{bits}b}" for value in array.ravel())
    content = int(by_hand, 2).to_bytes(len(by_hand) // 8, "big")
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([content]),
        shape=array.shape,
        dtype=np.uint16,
        bitspersample=bits,
        rowsperstrip=20,
        photometric="minisblack",
        metadata=None,
    )
    assert np.array_equal(only(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("array", [COLOUR, DEEP, DEEP / np.float32(4095)], ids=["8", "16", "float"])
@pytest.mark.parametrize("metadata", [None, {}], ids=["bare", "described"])
def test_colours_are_read_plane_by_plane_or_together(
    planes: str, array: np.ndarray, metadata: Any, tmp_path: Path
) -> None:
    stored = array if planes == "contig" else array.transpose(2, 0, 1)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, metadata=metadata
    )
    assert np.array_equal(only(tmp_path / "a.tif"), array)


@pytest.mark.parametrize("metadata", [None, {}], ids=["bare", "described"])
def test_white_is_zero_is_undone_for_every_kind(metadata: Any, tmp_path: Path) -> None:
    kinds = {
        "u1": (255 - GREY, GREY),
        "u2": (65535 - DEEP[..., 0], DEEP[..., 0]),
        "i1": (~GREY.view(np.int8), GREY.view(np.int8)),
        "f4": (-GREY.astype("f4"), GREY.astype("f4")),
    }
    for kind, (stored, meant) in kinds.items():
        path = tmp_path / f"{kind}.tif"
        tifffile.imwrite(path, stored, photometric="miniswhite", metadata=metadata)
        assert np.array_equal(only(path), meant), kind


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_opacity_is_taken_out_of_colours(kind: str, tmp_path: Path) -> None:
    full = 1.0 if kind == "f4" else np.iinfo(kind).max
    opacity = np.linspace(0.2, 1, 24)[None].repeat(20, 0) * full
    for name, colours in (("grey", GREY[..., None]), ("colour", COLOUR)):
        meant = colours / 255 * full
        stored = np.concatenate([meant * opacity[..., None] / full, opacity[..., None]], -1)
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            stored.astype(kind) if kind == "f4" else stored.round().astype(kind),
            photometric="minisblack" if name == "grey" else "rgb",
            planarconfig="contig",
            extrasamples=["assocalpha"],
        )
        pixels = only(tmp_path / f"{name}.tif")
        assert pixels.shape == (20, 24, 4)
        error = np.abs(pixels[..., :3].astype(float) - meant) / full
        assert error.max() < (0.012 if kind == "u1" else 1e-4)
        assert np.abs(pixels[..., 3] / full - opacity / full).max() < 0.01


def test_pages_that_are_no_images_are_left_out_and_said(tmp_path: Path) -> None:
    for metadata in (None, {}):
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            file.write(GREY, metadata=metadata)
            file.write(GREY[::2, ::2], subfiletype=1, metadata=metadata)
            file.write(255 - GREY, metadata=metadata)
        pixels, (note,) = found_in(tmp_path / "a.tif")
        assert np.array_equal(pixels, [GREY, 255 - GREY])
        assert "previews, smaller copies or masks" in note
    large = rng.integers(0, 256, (256, 192)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:  # of which no level is marked
        for step in (1, 2, 4):
            file.write(large[::step, ::step], tile=(64, 64), metadata=None)
    (pixels,), _ = found_in(tmp_path / "pyramid.tif")
    assert np.array_equal(pixels, large)
    with tifffile.TiffWriter(tmp_path / "sub.ome.tif") as file:
        file.write(large, subifds=2, tile=(64, 64))
        for step in (2, 4):
            file.write(large[::step, ::step], subfiletype=1, tile=(64, 64))
    (pixels,), _ = found_in(tmp_path / "sub.ome.tif")
    assert np.array_equal(pixels, large)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_times_planes_and_channels_are_told_apart(
    compression: Any, kind: str, tmp_path: Path
) -> None:
    stack = rng.integers(0, 4096, (2, 4, 5, 20, 24)).astype(np.uint16)  # T Z C Y X
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    options = {"metadata": {"axes": "TZCYX"}, "compression": compression}
    if kind == "imagej":
        tifffile.imwrite(path, stack, imagej=True, **options)
    else:
        tifffile.imwrite(path, stack, photometric="minisblack", **options)
    channels_last = np.moveaxis(stack, 2, -1)
    for channel in (None, 3):
        pixels, notes = found_in(path, channels=None if channel is None else str(channel))
        wanted = channels_last if channel is None else channels_last[..., channel, None]
        assert np.array_equal(np.reshape(pixels, (8, 20, 24, -1)), wanted.reshape(8, 20, 24, -1))
        assert "each time and each plane is an image, channels belong to one" in notes[0]
        assert len(notes) == (2 if channel is None else 1)
    pixels, notes = found_in(path, axes="TZNYX")  # each channel an image of its own
    assert np.array_equal(pixels, stack.reshape(-1, 20, 24)) and not notes
    three = stack[:, :, :3]
    tifffile.imwrite(tmp_path / "b.ome.tif", three, photometric="minisblack", **options)
    pixels, _ = found_in(tmp_path / "b.ome.tif")
    assert np.array_equal(pixels, three.reshape(8, 3, 20, 24).transpose(0, 2, 3, 1))


def test_pages_without_axes_are_images_unless_axes_are_given(tmp_path: Path) -> None:
    stack = rng.integers(0, 4096, (3, 20, 24)).astype(np.uint16)
    for metadata in (None, {}):
        tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata=metadata)
        pixels, notes = found_in(tmp_path / "a.tif")
        assert np.array_equal(pixels, stack) and not notes
        pixels, _ = found_in(tmp_path / "a.tif", axes="CYX")
        assert np.array_equal(pixels, stack.transpose(1, 2, 0)[None])
    (fault,) = frames_of(tmp_path / "a.tif", "a.tif", Reading(axes="CZYX"))
    assert isinstance(fault, Fault) and "which --axes CZYX does not fit" in fault.reason


def test_pictures_of_pillow_are_read_as_pillow_reads_them(tmp_path: Path) -> None:
    pictures = {
        "grey": (Image.fromarray(GREY), {}, GREY),
        "lzw": (Image.fromarray(COLOUR), {"compression": "tiff_lzw"}, COLOUR),
        "deflate": (Image.fromarray(COLOUR), {"compression": "tiff_adobe_deflate"}, COLOUR),
        "bits": (Image.fromarray(GREY > 99), {"compression": "group4"}, (GREY > 99) * 255),
        "16": (Image.fromarray(DEEP[..., 0]), {"compression": "tiff_lzw"}, DEEP[..., 0]),
        "float": (Image.fromarray(GREY / np.float32(9)), {}, GREY / np.float32(9)),
        "opacity": (Image.fromarray(np.dstack([COLOUR, GREY])), {}, np.dstack([COLOUR, GREY])),
    }
    for name, (image, options, meant) in pictures.items():
        image.save(tmp_path / f"{name}.tif", **options)
        assert np.array_equal(only(tmp_path / f"{name}.tif"), meant), name
    for name in ("P", "CMYK", "YCbCr"):
        image = Image.fromarray(COLOUR).convert(name)
        image.save(tmp_path / f"{name}.tif")
        with Image.open(tmp_path / f"{name}.tif") as again:
            assert np.array_equal(only(tmp_path / f"{name}.tif"), again.convert("RGB")), name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pages_are_turned_as_they_say(orientation: int, tmp_path: Path) -> None:
    tag = (274, "H", 1, orientation, True)
    for kind in (np.uint8, np.uint16):
        path = tmp_path / f"{kind.__name__}.tif"
        tifffile.imwrite(path, COLOUR.astype(kind), photometric="rgb", extratags=[tag])
    plain, deep = only(tmp_path / "uint8.tif"), only(tmp_path / "uint16.tif")
    assert np.array_equal(plain, deep) and plain.shape[:2] in ((20, 24), (24, 20))


def test_tables_of_colours_and_of_16_bits(tmp_path: Path) -> None:
    table = rng.integers(0, 65536, (3, 65536)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", DEEP[..., 0], photometric="palette", colormap=table)
    assert np.array_equal(only(tmp_path / "a.tif"), table.T[DEEP[..., 0]])


def test_without_tifffile_plain_pictures_are_read_and_others_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tifffile.TiffWriter(tmp_path / "plain.tif") as file:
        file.write(COLOUR, photometric="rgb", metadata=None)
        file.write(COLOUR[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    tifffile.imwrite(tmp_path / "deep.tif", DEEP, photometric="rgb", metadata=None)
    tifffile.imwrite(tmp_path / "axes.ome.tif", np.stack([GREY] * 3), photometric="minisblack")
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "tifffile":
            raise ImportError
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert np.array_equal(only(tmp_path / "plain.tif"), COLOUR)
    for name in ("deep.tif", "axes.ome.tif"):
        (fault,) = frames_of(tmp_path / name, name)
        assert isinstance(fault, Fault) and "pip install 'mcevae[microscopy]'" in fault.reason
