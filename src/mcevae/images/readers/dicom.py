"""DICOM files: every frame, in the units that the file says, with black as the darkest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.images.readers.frames import MOST_BYTES, Unreadable, within_bounds
from mcevae.images.readers.inside import needed
from mcevae.images.readers.reading import Reading

LARGE = 2**26
"""Elements of more bytes than this are not read with the header."""
DICOMS = (".dcm", ".dicom", ".ima")


def dicom(path: Path, reading: Reading) -> Iterator[np.ndarray]:
    """Frames of a DICOM file, (H, W) or (H, W, 3), one at a time from the disk."""
    pydicom = needed("pydicom", "a DICOM file", "medical")
    pixels = needed("pydicom.pixels", "a DICOM file", "medical")
    errors = needed("pydicom.errors", "a DICOM file", "medical")
    try:
        about = pydicom.dcmread(path, stop_before_pixels=True, defer_size=LARGE)
    except errors.InvalidDicomError as error:
        raise Unreadable("is not a DICOM file, or a damaged one") from error
    if "Rows" not in about or "Columns" not in about:
        raise Unreadable("is a DICOM file without an image")
    within_bounds((int(about.Columns), int(about.Rows)))
    samples, bits = int(about.get("SamplesPerPixel", 1)), int(about.get("BitsAllocated", 8))
    if int(about.Columns) * int(about.Rows) * samples * bits // 8 > MOST_BYTES:
        raise Unreadable(f"has a frame of more than {MOST_BYTES:,} bytes")
    try:
        for frame in pixels.iter_pixels(path):
            yield finished(frame, about, pixels)
    except MemoryError as error:
        raise Unreadable("has an element that claims more bytes than there are") from error
    except (RuntimeError, NotImplementedError) as error:
        packing = getattr(about.file_meta.TransferSyntaxUID, "name", "unknown")
        raise Unreadable(
            f"is packed as {packing}, which cannot be unpacked here; pip install pylibjpeg "
            "pylibjpeg-libjpeg pylibjpeg-openjpeg, or unpack it"
        ) from error


def finished(frame: np.ndarray, about: Any, pixels: Any) -> np.ndarray:
    """A frame in its units (rescale slope, or the modality's table), the darkest smallest.

    Args:
        frame: as stored.
        about: the file without its pixels.
        pixels: the part of pydicom that knows tables.
    """
    kind = about.get("PhotometricInterpretation", "")
    if kind == "PALETTE COLOR":
        return pixels.apply_color_lut(frame, about)
    if kind == "MONOCHROME1":  # the smallest number is white
        stored = int(about.get("BitsStored", 8 * frame.dtype.itemsize))
        frame = ~frame if frame.dtype.kind == "i" else (2**stored - 1 - frame).astype(frame.dtype)
    if about.get("ModalityLUTSequence"):
        return pixels.apply_modality_lut(frame, about)
    slope, intercept = scale_of(about)
    return frame if (slope, intercept) == (1.0, 0.0) else frame * slope + intercept


def scale_of(about: Any) -> tuple[float, float]:
    """Slope and intercept."""
    slope, intercept = about.get("RescaleSlope"), about.get("RescaleIntercept")  # None: empty
    return 1.0 if slope is None else float(slope), float(intercept or 0.0)
