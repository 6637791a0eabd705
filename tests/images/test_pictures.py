"""Pictures of many formats, with more than 8 bits, or with several frames."""

import builtins
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pi_heif
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from tests.images.reading import read

rng = np.random.default_rng(0)
GREY = rng.integers(0, 256, (20, 24)).astype(np.uint8)
COLOUR = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
DEEP = rng.integers(0, 4096, (20, 24, 4)).astype(np.uint16)


def found_in(path: Path, **choices: Any) -> tuple[list[np.ndarray], list[str]]:
    """All frames of a file, and what was said of it."""
    reading = Reading(**choices)
    frames = list(frames_of(path, path.name, reading))
    assert all(isinstance(one, Frame) for one in frames), frames
    return [one.pixels for one in frames if isinstance(one, Frame)], list(reading.notes)


def deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits by hand: (H, W, 2 to 4)."""
    height, width, channels = pixels.shape
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        made += struct.pack(">I", len(data)) + kind + data
        made += struct.pack(">I", zlib.crc32(kind + data))
    return made


LOSSLESS = ("pgm", "pnm", "ppm", "jp2", "j2k", "gif", "apng", "dib")


@pytest.mark.parametrize("ending", LOSSLESS)
def test_pictures_of_more_formats_come_back_as_they_were(ending: str, tmp_path: Path) -> None:
    kind = {"pnm": "ppm", "apng": "png"}.get(ending, ending)
    for name, array in (("grey", GREY), ("colour", COLOUR)):
        if (ending, name) in (("pgm", "colour"), ("ppm", "grey"), ("gif", "colour")):
            continue
        Image.fromarray(array).save(tmp_path / f"{name}.{kind}")
        path = (tmp_path / f"{name}.{kind}").rename(tmp_path / f"{name}.{ending.upper()}")
        (pixels,), notes = found_in(path)
        meant = array if pixels.ndim == array.ndim else np.dstack([array] * 3)
        assert np.array_equal(pixels, meant) and not notes


def test_lossy_pictures_are_nearly_as_they_were(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(COLOUR[:4, :4]).resize((64, 48), Image.Resampling.BICUBIC))
    Image.fromarray(smooth).save(tmp_path / "a.avif", quality=95)
    Image.fromarray(smooth).save(tmp_path / "a.jfif", "JPEG", quality=95)
    for name in ("a.avif", "a.jfif"):
        (pixels,), _ = found_in(tmp_path / name)
        assert np.abs(pixels.astype(int) - smooth).mean() < 6


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_are_not_cut_to_8(channels: int, tmp_path: Path) -> None:
    pixels = DEEP[..., -channels:]
    (tmp_path / "a.png").write_bytes(deep_png(pixels))
    (tmp_path / "b.jp2").write_bytes(imagecodecs.jpeg2k_encode(DEEP[..., :3].copy()))
    header = b"P6 # of a camera\n24 20\n4095\n"
    (tmp_path / "c.ppm").write_bytes(header + DEEP[..., :3].astype(">u2").tobytes())
    (tmp_path / "d.pgm").write_bytes(b"P5\n24 20 4095\n" + DEEP[..., 0].astype(">u2").tobytes())
    meant = pixels if channels > 2 else pixels[..., [0, 0, 0, 1]]
    table = pa.table({"image": [deep_png(pixels)]})
    parquet.write_table(table, tmp_path / "e.parquet")
    wanted = {"a.png": meant, "b.jp2": DEEP[..., :3], "c.ppm": DEEP[..., :3]}
    for name, array in (wanted | {"d.pgm": DEEP[..., 0], "e.parquet": meant}).items():
        (found,), _ = found_in(tmp_path / name)
        assert found.dtype == np.uint16 and np.array_equal(found, array), name


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_animated_pictures_give_their_first_frame_or_all(ending: str, tmp_path: Path) -> None:
    frames = [np.full((20, 24), level, np.uint8) for level in (0, 100, 200)]
    pictures = [Image.fromarray(one).convert("RGB") for one in frames]
    path = tmp_path / f"a.{ending}"
    exact = {"lossless": True} if ending == "webp" else {}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **exact)
    (first,), (note,) = found_in(path)
    assert first.max() == 0 and note.startswith(f"a.{ending} has 3 frames, of which the first")
    every, notes = found_in(path, animation="all")
    assert [int(one.max()) for one in every] == [0, 100, 200] and not notes


def test_a_heic_picture_is_read_or_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (fault,) = frames_of(path, path.name)
    assert isinstance(fault, Fault) and pi_heif.__version__
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name in ("pi_heif", "imagecodecs"):
            raise ImportError
        return real(name, *rest, **more)

    def gone(name: str) -> Any:
        raise ImportError

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("mcevae.images.readers.pictures.import_module", gone)
    (tmp_path / "b.png").write_bytes(deep_png(DEEP))
    for name, extra in (("a.heic", "heif"), ("b.png", "microscopy")):
        (fault,) = frames_of(tmp_path / name, name)
        assert isinstance(fault, Fault) and f"pip install 'mcevae[{extra}]'" in fault.reason


def png(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


@pytest.mark.parametrize("bad", [None, b"", b"no picture", png(GREY)[:60]])
@pytest.mark.parametrize("struct_rows", [False, True])
def test_a_bad_row_of_a_table_costs_that_row(
    bad: bytes | None, struct_rows: bool, tmp_path: Path
) -> None:
    rows: list[Any] = [png(GREY)] * 100
    rows[20] = rows[70] = bad
    kind: Any = pa.binary()
    if struct_rows:
        rows = [row if i == 70 else {"bytes": row} for i, row in enumerate(rows)]
        rows[70] = None
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(rows, kind)})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=30)
    images, faults = read(tmp_path / "a.parquet", DataConfig())
    assert len(images) == 98 and images.names is not None
    assert [fault.name for fault in faults] == ["a.parquet#20", "a.parquet#70"]
    assert images.names[20] == "a.parquet#21" and (bad or faults[0].reason == "is an empty row")


def test_the_only_column_of_bytes_is_read_and_said(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": [1, 2], "png": [png(GREY)] * 2}), tmp_path / "a.parquet")
    pixels, (note,) = found_in(tmp_path / "a.parquet")
    assert np.array_equal(pixels, [GREY, GREY]) and "no column named image, so png is" in note
    two = {"a": [png(GREY)], "b": [png(GREY)]}
    parquet.write_table(pa.table(two), tmp_path / "b.parquet")
    (fault,) = frames_of(tmp_path / "b.parquet", "b.parquet")
    assert isinstance(fault, Fault) and "its columns are a, b" in fault.reason
