"""A folder of files of many kinds, each written by something else than what reads it.

By hand, as the formats' descriptions have it, or by another library. Each file must give the pixels
that were written.
"""

import bz2
import gzip
import json
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import imagecodecs
import numpy as np
import pyarrow as pa
import pydicom
import pydicom.uid
import tifffile
import zarr
from astropy.io import fits
from PIL import Image
from pyarrow import parquet
from scipy import io

from mcevae.base.config import DataConfig
from mcevae.images.readers.frames import Frame
from mcevae.images.sources.contract import START
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.registry import open_source

RNG = np.random.default_rng(0)
H, W = 20, 24
BYTES = RNG.integers(0, 256, (H, W), dtype=np.uint8)
WORDS = RNG.integers(0, 65536, (H, W), dtype=np.uint16)
SIGNED = RNG.integers(-3000, 3000, (H, W)).astype(np.int16)
FLOATS = RNG.normal(size=(H, W)).astype(np.float32)
COLOURS = RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
WORD_COLOURS = RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
OPACITY = np.concatenate([COLOURS, BYTES[..., None]], -1)
STACK = RNG.integers(0, 256, (5, H, W), dtype=np.uint8)
FLOAT_STACK = RNG.normal(size=(5, H, W)).astype(np.float32)


class Kind(NamedTuple):
    """How a file is written, and the images that it must give."""

    write: Callable[[Path], object]
    images: np.ndarray | list[np.ndarray]


def png(pixels: np.ndarray, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by its description: no filter, one chunk."""
    bits = 8 * pixels.dtype.itemsize
    lines = b"".join(b"\0" + line.astype(f">u{bits // 8}").tobytes() for line in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], bits, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def bmp(pixels: np.ndarray) -> bytes:
    """A BMP of 24 bits: blue first, the last line first."""
    lines = np.pad(pixels[::-1, :, ::-1].reshape(H, -1), ((0, 0), (0, -3 * W % 4))).tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, W, H, 1, 24, 0, len(lines), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(lines), 0, 0, 54) + head + lines


def mrc(
    pixels: np.ndarray, mode: int, order: str = "<", *, mark: bool = True, more: bytes = b""
) -> bytes:
    """An MRC file by MRC2014; without the word MAP as older programs write it."""
    data = pixels if pixels.ndim == 3 else pixels[None]
    head = bytearray(1024)
    struct.pack_into(f"{order}4i", head, 0, *data.shape[::-1], mode)
    struct.pack_into(f"{order}3i", head, 28, *data.shape[::-1])
    struct.pack_into(f"{order}3i", head, 64, 1, 2, 3)
    struct.pack_into(f"{order}2i", head, 88, 0, len(more))
    if mark:
        head[208:216] = b"MAP " + (b"DD\0\0" if order == "<" else b"\x11\x11\0\0")
    return bytes(head) + more + data.astype(data.dtype.newbyteorder(order)).tobytes()


def npy(pixels: np.ndarray, kind: str, fortran: bool = False) -> bytes:
    """A .npy by its description."""
    about = f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {pixels.shape}, }}"
    about += " " * (-(len(about) + 11) % 64) + "\n"
    content = pixels.astype(kind).tobytes("F" if fortran else "C")
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(about)) + about.encode() + content


def fits_file(pixels: np.ndarray, bits: int, *cards: str) -> bytes:
    """A FITS file by the standard: cards of 80 letters, numbers with the highest byte first."""
    sides = [f"NAXIS{i + 1:<3}= {side:>20}" for i, side in enumerate(pixels.shape[::-1])]
    lines = ["SIMPLE  =                    T", f"BITPIX  = {bits:>20}"]
    lines += [f"NAXIS   = {pixels.ndim:>20}", *sides, *cards, "END"]
    head = "".join(line.ljust(80) for line in lines)
    data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return head.ljust(-(-len(head) // 2880) * 2880).encode() + data + bytes(-len(data) % 2880)


def matlab_4(pixels: np.ndarray) -> bytes:
    """A .mat of version 4: a header of five numbers, the name, the columns."""
    head = struct.pack("<5i", 0, *pixels.shape, 0, 6)
    return head + b"image\0" + pixels.astype("<f8").tobytes("F")


def zarr_2(path: Path) -> None:
    """A Zarr folder of version 2 by its description, its chunks not packed."""
    path.mkdir()
    about = {
        **{"zarr_format": 2, "shape": [H, W], "chunks": [H, 12], "dtype": "<u2", "order": "C"},
        **{"compressor": None, "fill_value": 0, "filters": None},
    }
    (path / ".zarray").write_text(json.dumps(about))
    for i in range(2):
        (path / f"0.{i}").write_bytes(WORDS[:, 12 * i : 12 * i + 12].astype("<u2").tobytes())


def zarr_3(path: Path) -> None:
    """A Zarr folder with shards."""
    settings = {"shape": STACK.shape, "dtype": STACK.dtype, "chunks": (1, 10, 12)}
    zarr.create_array(str(path), shards=(1, H, W), **settings)[:] = STACK


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=FLOAT_STACK, chunks=(2, 10, 24), compression="gzip")
        file["entry/scale"] = np.arange(7.0)


def matlab_73(path: Path) -> None:
    """A .mat of version 7.3: HDF5 behind 512 bytes, axes in the reverse order."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["image"] = FLOATS.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def dicom(path: Path, kind: str = "MONOCHROME2", slope: float = 1.0) -> None:
    """A DICOM file of 12 bits in 16."""
    about = pydicom.Dataset()
    about.file_meta = pydicom.dataset.FileMetaDataset()
    about.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    about.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    about.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    about.Rows, about.Columns, about.SamplesPerPixel = H, W, 1
    about.PhotometricInterpretation, about.PixelRepresentation = kind, 0
    about.BitsAllocated, about.BitsStored, about.HighBit = 16, 12, 11
    if slope != 1:
        about.RescaleSlope, about.RescaleIntercept = slope, -100
    about.PixelData = (WORDS >> 4).tobytes()
    about.save_as(path, enforce_file_format=True)


def animation(path: Path) -> None:
    """Three frames, of which the first is read."""
    frames = [Image.fromarray(one) for one in STACK[:3]]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def table(path: Path) -> None:
    """Rows of pictures, as Hugging Face keeps them."""
    rows = [{"bytes": png(one, 0), "path": None} for one in STACK]
    parquet.write_table(pa.table({"image": rows}), path)


def npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", npy(STACK, "|u1"))


def of(content: bytes) -> Callable[[Path], object]:
    """What writes these bytes."""
    return lambda path: path.write_bytes(content)


def by_tifffile(pixels: np.ndarray, **how: object) -> Callable[[Path], object]:
    """What writes a TIFF that Pillow, or our own code, reads."""
    return lambda path: tifffile.imwrite(path, pixels, metadata=None, **how)  # pyright: ignore[reportArgumentType]


def by_pillow(pixels: np.ndarray, **how: object) -> Callable[[Path], object]:
    """What writes a TIFF that tifffile reads."""
    return lambda path: Image.fromarray(pixels).save(path, **how)  # pyright: ignore[reportArgumentType]


PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
GREY_OPACITY = np.stack([BYTES, BYTES.T.reshape(H, W)], -1)
BITS = BYTES > 127
JPEG = imagecodecs.jpeg_encode(BYTES, level=95)
FILES = {
    "grey.png": Kind(of(png(BYTES, 0)), BYTES),
    "words.png": Kind(of(png(WORDS, 0)), WORDS),
    "colours.png": Kind(of(png(COLOURS, 2)), COLOURS),
    "opacity.png": Kind(of(imagecodecs.png_encode(OPACITY)), OPACITY),
    "word colours.png": Kind(of(png(WORD_COLOURS, 2)), WORD_COLOURS),
    "grey with opacity.png": Kind(of(png(GREY_OPACITY, 4)), GREY_OPACITY[..., [0, 0, 0, 1]]),
    "palette.png": Kind(of(png(BYTES, 3, (b"PLTE", PALETTE.tobytes()))), PALETTE[BYTES]),
    "moving.apng": Kind(animation, STACK[0]),
    "moving.gif": Kind(animation, np.repeat(STACK[0][..., None], 3, -1)),
    "grey.jpg": Kind(of(JPEG), imagecodecs.jpeg_decode(JPEG)),
    "lossless.webp": Kind(of(imagecodecs.webp_encode(COLOURS, lossless=True)), COLOURS),
    "grey.jp2": Kind(of(imagecodecs.jpeg2k_encode(BYTES, reversible=True)), BYTES),
    "colours.bmp": Kind(of(bmp(COLOURS)), COLOURS),
    "binary.pgm": Kind(of(f"P5 {W} {H} 255\n".encode() + BYTES.tobytes()), BYTES),
    "text.pgm": Kind(
        of(f"P2\n# by hand\n{W} {H}\n255\n{' '.join(map(str, BYTES.ravel()))}\n".encode()), BYTES
    ),
    "words.pgm": Kind(of(f"P5\n{W} {H}\n65535\n".encode() + WORDS.astype(">u2").tobytes()), WORDS),
    "colours.ppm": Kind(of(f"P6\n{W} {H}\n255\n".encode() + COLOURS.tobytes()), COLOURS),
    "bits.pbm": Kind(
        of(f"P4\n{W} {H}\n".encode() + np.packbits(~BITS, axis=1).tobytes()),
        BITS.astype(np.uint8) * 255,
    ),
    "plain.tif": Kind(by_tifffile(BYTES), BYTES),
    "tiles.tif": Kind(by_tifffile(COLOURS, tile=(16, 16), compression="zlib"), COLOURS),
    "white.tif": Kind(by_tifffile(BYTES, photometric="miniswhite"), 255 - BYTES),
    "pages.tiff": Kind(by_tifffile(STACK, photometric="minisblack"), STACK),
    "words.tif": Kind(by_pillow(WORDS), WORDS),
    "packed words.tif": Kind(by_pillow(WORDS, compression="tiff_lzw"), WORDS),
    "floats.tif": Kind(by_pillow(FLOATS), FLOATS),
    "whole.tif": Kind(by_pillow(SIGNED.astype(np.int32)), SIGNED),
    "bytes.npy": Kind(of(npy(BYTES, "|u1")), BYTES),
    "highest first.npy": Kind(of(npy(WORDS, ">u2")), WORDS),
    "columns.npy": Kind(of(npy(FLOATS, "<f8", fortran=True)), FLOATS),
    "stack.npy": Kind(of(npy(FLOAT_STACK, "<f4")), FLOAT_STACK),
    "archive.npz": Kind(npz, STACK),
    "bytes.mrc": Kind(of(mrc((BYTES // 2).astype(np.int8), 0)), BYTES // 2),
    "words.mrc": Kind(of(mrc(SIGNED, 1)), SIGNED),
    "floats.mrc": Kind(of(mrc(FLOATS, 2, more=b"x" * 1234)), FLOATS),
    "unsigned.mrc": Kind(of(mrc(WORDS, 6, ">")), WORDS),
    "half.mrc": Kind(of(mrc(FLOATS.astype(np.float16), 12)), FLOATS.astype(np.float16)),
    "old.mrcs": Kind(of(mrc(FLOAT_STACK, 2, mark=False)), FLOAT_STACK),
    "old highest first.st": Kind(of(mrc(FLOAT_STACK, 2, ">", mark=False)), FLOAT_STACK),
    "packed.mrc.gz": Kind(of(gzip.compress(mrc(SIGNED, 1))), SIGNED),
    "packed.mrc.bz2": Kind(of(bz2.compress(mrc(FLOATS, 2))), FLOATS),
    "chunks.h5": Kind(hdf5, FLOAT_STACK),
    "version 4.mat": Kind(of(matlab_4(FLOATS)), FLOATS),
    "version 5.mat": Kind(lambda path: io.savemat(path, {"image": SIGNED}), SIGNED),
    "version 7.3.mat": Kind(matlab_73, FLOATS),
    "floats.fits": Kind(of(fits_file(FLOATS, -32)), FLOATS),
    "unsigned.fits": Kind(
        of(fits_file((WORDS ^ 0x8000).view(np.int16), 16, "BZERO   =                32768")), WORDS
    ),
    "cube.fit": Kind(of(fits_file(FLOAT_STACK, -32)), FLOAT_STACK),
    "extension.fits": Kind(
        lambda path: fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.ImageHDU(SIGNED, name="SCI"),
                fits.ImageHDU(FLOATS, name="ERR"),
            ]
        ).writeto(path),
        SIGNED,
    ),
    "plain.dcm": Kind(dicom, WORDS >> 4),
    "white.dcm": Kind(lambda path: dicom(path, "MONOCHROME1"), 4095 - (WORDS >> 4)),
    "scaled.dcm": Kind(lambda path: dicom(path, slope=0.5), 0.5 * (WORDS >> 4) - 100),
    "second.zarr": Kind(zarr_2, WORDS),
    "third.zarr": Kind(zarr_3, STACK),
    "pictures.parquet": Kind(table, STACK),
}


def test_a_folder_of_many_kinds_is_read_pixel_for_pixel(tmp_path: Path) -> None:
    assert len(FILES) >= 40
    for name, kind in FILES.items():
        kind.write(tmp_path / name)
    source = open_source(str(tmp_path), DataConfig(normalise="image"))
    assert isinstance(source, FileSource)
    found = defaultdict(list)
    for numbered in source.numbered(START, None, "all", iter):
        assert isinstance(numbered.frame, Frame), numbered.frame
        found[numbered.frame.name.partition("#")[0]].append(numbered.frame.pixels)
    assert set(found) == set(FILES)
    for name, kind in FILES.items():
        several = len(found[name]) > 1
        wanted = list(kind.images) if several else [kind.images]
        assert len(found[name]) == len(wanted), name
        for pixels, right in zip(found[name], wanted, strict=True):
            np.testing.assert_array_equal(pixels, right, err_msg=name)
    images, faults = source.images(source.survey.recipe)
    assert not faults
    assert len(images) == sum(map(len, found.values()))
