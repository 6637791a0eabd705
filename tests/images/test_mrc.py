"""MRC headers as packages write them: read right, said, or refused with sizes."""

import bz2
import gzip
import struct
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from mcevae.base.config import DataConfig
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.registry import open_source

STACK = np.random.default_rng(0).normal(size=(6, 20, 24)).astype(np.float32)


def content(
    data: np.ndarray,
    mode: int,
    order: str = "<",
    *,
    mark: bytes = b"MAP ",
    stamp: bytes | None = None,
    group: int = 0,
    deep: int = 1,
    extended: bytes = b"",
) -> bytes:
    """A file by hand, after the format's description."""
    count, height, width = data.shape
    header = bytearray(1024)
    struct.pack_into(
        f"{order}10i", header, 0, width, height, count, mode, 0, 0, 0, width, height, deep
    )
    limits = (float(data.min()), float(data.max()), float(data.mean()))
    struct.pack_into(f"{order}3f2i", header, 76, *limits, group, len(extended))
    header[208:212] = mark
    header[212:216] = {"<": b"DD\0\0", ">": b"\x11\x11\0\0"}[order] if stamp is None else stamp
    return bytes(header) + extended + data.astype(data.dtype.newbyteorder(order)).tobytes()


def pixels_of(path: Path, **choices: Any) -> tuple[np.ndarray, list[str]]:
    """All frames of a file, and what was said of it."""
    reading = Reading(**choices)
    frames = list(frames_of(path, path.name, reading))
    assert all(isinstance(one, Frame) for one in frames), frames
    return np.stack([one.pixels for one in frames if isinstance(one, Frame)]), list(reading.notes)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mark", [b"MAP ", b"MAP\0", bytes(4)])
@pytest.mark.parametrize(
    "stamp", [None, b"\x44\x41\0\0", b"\x44\x20\x20\x20", b"\x44\0\0\0", bytes(4), b"\x11\x11\0\0"]
)
@pytest.mark.parametrize("extended", [b"", b"SERI" * 32])
def test_headers_as_packages_write_them_are_read(
    order: str, mark: bytes, stamp: bytes | None, extended: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "stack.mrcs"
    path.write_bytes(content(STACK, 2, order, mark=mark, stamp=stamp, extended=extended))
    found, notes = pixels_of(path)
    assert np.array_equal(found, STACK) and found.dtype.isnative
    regular = {"<": (None, b"\x44\x41\0\0"), ">": (None, b"\x11\x11\0\0")}[order]
    assert len(notes) == (mark == bytes(4) or stamp not in regular)
    assert all(note.startswith("stack.mrcs has ") for note in notes)


@pytest.mark.parametrize(("mode", "kind"), [(0, "i1"), (1, "i2"), (2, "f4"), (6, "u2"), (12, "f2")])
def test_every_mode_is_read_as_mrcfile_reads_it(mode: int, kind: str, tmp_path: Path) -> None:
    data = (20 * STACK).astype(kind)
    for order in "<>":
        (tmp_path / "a.mrc").write_bytes(content(data, mode, order))
        found, notes = pixels_of(tmp_path / "a.mrc")
        assert np.array_equal(found, data) and found.dtype == np.dtype(kind) and not notes
        assert np.array_equal(mrcfile.read(tmp_path / "a.mrc"), data)


@pytest.mark.parametrize("ending", [".mrc", ".mrcs", ".map", ".st", ".ali"])
def test_packed_files_are_read_one_section_at_a_time(ending: str, tmp_path: Path) -> None:
    made = content(STACK, 2, extended=bytes(160))
    for packed, packs in (("", bytes), (".gz", gzip.compress), (".BZ2", bz2.compress)):
        path = tmp_path / f"some.particles{ending}{packed}"
        path.write_bytes(packs(made))
        assert np.array_equal(pixels_of(path)[0], STACK)
    short = tmp_path / f"short{ending}.gz"
    short.write_bytes(gzip.compress(made[:-100]))
    *frames, fault = frames_of(short, short.name)
    assert len(frames) == 5 and isinstance(fault, Fault)
    assert fault.reason == "ends within section 5 of 6"
    assert len(open_source(str(tmp_path)).load().train) == 3 * 6 + 5


def test_volumes_are_told_from_stacks(tmp_path: Path) -> None:
    volume, stack = tmp_path / "a.map", tmp_path / "b.mrc"
    mrcfile.write(volume, STACK)  # which is a volume for mrcfile
    with mrcfile.new(stack) as file:
        file.set_data(STACK)
        file.set_image_stack()
    found, (note,) = pixels_of(volume)
    assert np.array_equal(found, STACK)
    assert note.startswith("a.map is a volume by its header, and each of its 6 sections")
    assert pixels_of(volume, sections="each")[1] == [] == pixels_of(stack)[1]
    assert np.allclose(pixels_of(volume, sections="sum")[0][0], STACK.sum(0), atol=1e-5)
    assert np.array_equal(pixels_of(volume, sections="middle")[0], STACK[3:4])
    volume.rename(tmp_path / "a.mrcs")  # as RELION has it, the ending decides
    assert pixels_of(tmp_path / "a.mrcs")[1] == []
    with mrcfile.new(tmp_path / "many.mrc") as file:
        file.set_data(STACK.reshape(2, 3, 20, 24))
    found, (note,) = pixels_of(tmp_path / "many.mrc", sections="auto")
    assert np.array_equal(found, STACK) and "volume" in note
    middles = pixels_of(tmp_path / "many.mrc", sections="middle")[0]
    assert np.array_equal(middles, STACK[[1, 4]])


def test_bytes_have_the_sign_that_their_writer_meant(tmp_path: Path) -> None:
    data = np.arange(2 * 20 * 24).reshape(2, 20, 24).astype(np.uint8)
    made = bytearray(content(data, 0))
    path = tmp_path / "a.mrc"
    path.write_bytes(made)  # the header's largest value is 255
    found, (note,) = pixels_of(path)
    assert np.array_equal(found, data) and "bytes from 0 to 255" in note
    struct.pack_into("<3f", made, 76, 0, 0, 0)  # no statistics: as the format has it
    path.write_bytes(made)
    assert np.array_equal(pixels_of(path)[0], data.view(np.int8))
    struct.pack_into("<2i", made, 152, 1146047817, 0)  # of an older IMOD
    path.write_bytes(made)
    assert np.array_equal(pixels_of(path)[0], data)
    struct.pack_into("<2i", made, 152, 1146047817, 1)
    path.write_bytes(made)
    assert np.array_equal(pixels_of(path)[0], data.view(np.int8))


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (content(STACK, 2)[:-4], "has 12,540 bytes, but its header says 6 sections of 24 x 20"),
        (content(STACK, 2, mark=bytes(4))[:-4], "has 12,540 bytes, but"),
        (content(STACK, 2)[:900], "is too short for an MRC file"),
        (content(STACK, 101), "holds numbers of 4 bits (mode 101), which are not read"),
        (content(STACK, 7), "has the mode 7, which no MRC file has"),
        (b"hello" * 500, "is not an MRC file, or a damaged one"),
        (bytes(5000), "is not an MRC file, or a damaged one"),
    ],
)
def test_what_is_not_read_is_named(made: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(made)
    (fault,) = frames_of(tmp_path / "a.mrc", "a.mrc")
    assert isinstance(fault, Fault) and fault.reason.startswith(reason)


def test_one_remark_is_made_of_many_files(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.mrcs").write_bytes(content(STACK, 2, mark=bytes(4)))
    source = open_source(str(tmp_path), DataConfig(source=str(tmp_path)))
    assert len(source.load().train) == 18
    (note,) = source.notes
    assert note.startswith("a.mrcs has no word MAP") and "the same of 2 other files" in note
