"""Odd files that real programs write: read right, or refused with what they are."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.registry import open_source

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 24), dtype=np.uint8)


def one(path: Path) -> Frame | Fault:
    """The only image of a file."""
    (found,) = frames_of(path, path.name)
    return found


def test_palettes_beside_recorded_shapes_are_colours(tmp_path: Path) -> None:
    colours = RNG.integers(0, 256, (3, 256)).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours)
    found = one(tmp_path / "a.tif")
    assert isinstance(found, Frame)
    assert np.array_equal(found.pixels, (colours.T[GREY] // 257).astype(np.uint8))


@pytest.mark.parametrize(
    ("slope", "intercept", "wanted"), [(None, None, (1, 0)), (2, None, (2, 0)), (-1, 5, (-1, 5))]
)
def test_empty_scales_of_dicom_are_none(
    slope: float | None, intercept: float | None, wanted: tuple[int, int], tmp_path: Path
) -> None:
    about = Dataset()
    about.file_meta = FileMetaDataset()
    about.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    about.SOPClassUID, about.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    about.set_pixel_data(GREY, "MONOCHROME2", 8)
    about.RescaleSlope, about.RescaleIntercept = slope, intercept
    about.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    found = one(tmp_path / "a.dcm")
    assert isinstance(found, Frame)
    assert np.array_equal(found.pixels.squeeze(), GREY * float(wanted[0]) + wanted[1])


def test_records_of_hdf5_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["events"] = np.zeros(9, [("x", "f4"), ("image", "u1", (20, 24))])
    found = one(tmp_path / "a.h5")
    assert isinstance(found, Fault)
    assert "at /events, which are not intensities" in found.reason


def test_arrays_of_an_archive_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=np.stack([GREY] * 3), Z=np.stack([GREY] * 2))
    found = one(tmp_path / "a.npz")
    assert isinstance(found, Fault)
    assert found.reason == "has no array named images; it has X, Z"


def test_particles_of_tomograms_are_refused_by_name(tmp_path: Path) -> None:
    labels = "_rlnTomoName #1\n_rlnImageName #2\n_rlnTomoVisibleFrames #3\n"
    (tmp_path / "a.star").write_text(f"data_particles\n\nloop_\n{labels}T1 a.mrcs [1,1]\n")
    with pytest.raises(UserError, match="has particles of tomograms"):
        open_source(str(tmp_path / "a.star"))


def test_an_element_of_dicom_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    head = bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00" + (20).to_bytes(4, "little")
    head += b"\x02\x00\x10\x00UI\x14\x00" + b"1.2.840.10008.1.2.1\0"
    (tmp_path / "a.dcm").write_bytes(head + b"\x08\x00\x16\x00UN\0\0" + b"\xf0\xff\xff\xff" + b"x")
    found = one(tmp_path / "a.dcm")
    assert isinstance(found, Fault)
    assert found.reason == "is a DICOM file without an image"
