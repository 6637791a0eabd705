"""HDF5, FITS, .mat, DICOM and Zarr: files of the field's own libraries, read pixel for pixel."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pydicom
import pytest
import zarr
from astropy.io import fits
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from scipy import io

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.readers.lazy import Lazy, images_in
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.registry import is_there, open_source

RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 2**16, (7, 20, 24)).astype(np.uint16)
COLOURS = RNG.integers(0, 256, (5, 20, 24, 3)).astype(np.uint8)


def pixels_of(path: Path | str, **choices: Any) -> tuple[np.ndarray, list[str]]:
    """All frames of a file, and what was said of it."""
    path, reading = Path(path), Reading(**choices)
    frames = list(frames_of(path, path.name, reading))
    assert all(isinstance(one, Frame) for one in frames), frames
    return np.stack([one.pixels for one in frames if isinstance(one, Frame)]), list(reading.notes)


def refused(path: Path | str, **choices: Any) -> str:
    """Why a file cannot be read."""
    (fault,) = frames_of(Path(path), Path(path).name, Reading(**choices))
    assert isinstance(fault, Fault), fault
    return fault.reason


def equal(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype.newbyteorder("=")


# ---- HDF5


@pytest.mark.parametrize(
    "packing",
    [
        {},
        {"chunks": (3, 20, 24), "compression": "gzip", "shuffle": True},
        {"chunks": (1, 7, 24), "compression": "lzf", "fletcher32": True},
    ],
)
@pytest.mark.parametrize("kind", ["<u2", ">u2", "<f4", ">f8", "i1", "<f2", "?"])
def test_the_only_dataset_is_found(tmp_path: Path, packing: dict[str, Any], kind: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/images", data=(STACK // 99).astype(kind), **packing)
        file["labels"] = np.arange(7)
        file["entry/name"] = "an experiment"
    with h5py.File(tmp_path / "a.h5") as file:
        wanted = file["entry/data/images"][()]  # pyright: ignore[reportIndexIssue]
    found, said = pixels_of(tmp_path / "a.h5")
    equal(found, wanted)  # pyright: ignore[reportArgumentType]
    assert "a.h5 is read at /entry/data/images" in said


def test_a_path_says_which_dataset_or_group(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["train/x"], file["test/x"] = STACK, STACK[:2] + 1
        for i in range(4):
            file[f"single/{i:03}"] = STACK[i]
    reason = refused(path)
    told = "has several arrays that look like images: /test/x (2, 20, 24), /train/x"
    assert reason.startswith(told)
    assert "a.h5:/test/x" in reason
    equal(pixels_of(f"{path}:/train/x")[0], STACK)
    equal(pixels_of(f"{path}:/single")[0], STACK[:4])
    equal(pixels_of(f"{path}:/train/x", axes="HNW")[0], STACK.transpose(1, 0, 2))
    assert "has no images at /nothing; it has" in refused(f"{path}:/nothing")


def test_a_source_may_have_a_path_inside_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"], file["b"] = STACK, STACK[::-1]
    name = f"{path}:/b"
    assert is_there(name)
    source = open_source(name)
    assert source.files() == [path]
    frames = [one for one in source.sample() if isinstance(one, Frame)]
    equal(frames[0].pixels, STACK[6])
    assert frames[0].name == "a.h5:/b#0"
    (tmp_path / "list.txt").write_text("a.h5:/a\na.h5:/b\n")
    images, faults = open_source(str(tmp_path / "list.txt")).load().train, ()
    assert len(images) == 14 and not faults
    with pytest.raises(UserError, match="no such file"):
        open_source(f"{tmp_path}/none.h5:/b")


def test_only_what_is_asked_for_is_read() -> None:
    asked: list[tuple[int | slice, ...]] = []

    def read(index: tuple[int | slice, ...]) -> np.ndarray:
        asked.append(index)
        return np.zeros(
            (3, 500, 500, 7)[:0]
            + tuple(
                len(range(*one.indices(size)))
                for one, size in zip(index, (1000, 50, 500, 500), strict=True)
                if isinstance(one, slice)
            )
        )

    array = Lazy(shape=(1000, 50, 500, 500), kind=np.dtype("f8"), read=read, chunks=(4, 10, 64, 64))
    images = images_in(array, Reading(), "TZYX")
    assert next(images).shape == (500, 500)
    assert asked == [(0, slice(0, 10), slice(None), slice(None))]


def test_datasets_that_hold_nothing_of_what_they_claim_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**7, 512, 512), "f4", chunks=(1, 512, 512))
    assert "claims" in refused(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    assert refused(path) == "is not an HDF5 file, or a damaged one"
    with h5py.File(path, "w") as file:
        file["x"] = STACK + 1j
        file["words"] = ["a", "b"]
    assert refused(path).startswith("has no array that looks like images; it has /x (7, 20, 24)")


def test_damaged_chunks_cost_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("x", data=STACK, chunks=(1, 20, 24), compression="gzip")
        place = made.id.get_chunk_info(3)  # pyright: ignore[reportAttributeAccessIssue]
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(content)
    *frames, fault = frames_of(path, "a.h5")
    assert len(frames) == 3 and isinstance(fault, Fault)
    assert "damaged, or packed by a filter that is missing" in fault.reason


# ---- FITS


@pytest.mark.parametrize("kind", ["u1", ">i2", ">u2", ">i4", ">f4", ">f8", "i1"])
def test_fits_images_and_cubes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(STACK[0].astype(kind)).writeto(path)
    equal(pixels_of(path)[0], np.asarray(fits.getdata(path))[None])
    fits.PrimaryHDU(STACK.astype(kind)).writeto(path, overwrite=True)
    equal(pixels_of(path)[0], np.asarray(fits.getdata(path)))


@pytest.mark.parametrize("packing", ["RICE_1", "GZIP_1", "GZIP_2"])
def test_packed_scaled_and_blank_fits(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "a.fits"
    fits.HDUList(
        [fits.PrimaryHDU(), fits.CompImageHDU(STACK[0].astype(">i2"), compression_type=packing)]
    ).writeto(path)
    equal(pixels_of(path)[0], np.asarray(fits.getdata(path, 1))[None])
    unit = fits.PrimaryHDU(STACK[0].astype(float))
    unit.scale("int16", bscale=0.5, bzero=1000)
    unit.writeto(path, overwrite=True)
    equal(pixels_of(path)[0], np.asarray(fits.getdata(path))[None])
    path = tmp_path / "a.fits.gz"
    fits.PrimaryHDU(STACK[0]).writeto(path)
    equal(pixels_of(path)[0], np.asarray(fits.getdata(path))[None])


def test_extensions_are_images_but_not_their_errors_and_masks(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    units = [fits.PrimaryHDU()]
    for i in range(2):
        for name, data in (("SCI", STACK[i].astype("f4")), ("ERR", STACK[3].astype("f4"))):
            units.append(fits.ImageHDU(data, name=name, ver=i + 1))  # pyright: ignore[reportArgumentType]
    units.append(fits.BinTableHDU.from_columns([fits.Column("a", "E", array=[1.0])]))  # pyright: ignore[reportArgumentType]
    fits.HDUList(units).writeto(path)
    found, said = pixels_of(path)
    equal(found, STACK[:2].astype("f4"))
    assert said == ["a.fits has extensions beside its images, left out: ERR; a.fits:/ERR reads one"]
    equal(pixels_of(f"{path}:/ERR")[0], STACK[[3, 3]].astype("f4"))
    equal(pixels_of(f"{path}:/3")[0], STACK[[1]].astype("f4"))
    assert "has no image at /DQ; it has /SCI (20, 24), /ERR" in refused(f"{path}:/DQ")
    path.write_bytes(b"SIMPLE  =                    F")
    assert refused(path)


# ---- MATLAB


@pytest.mark.parametrize("form", ["4", "5"])
def test_mat_files(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a.mat"
    one = {"picture": STACK[0].astype(float), "y": np.arange(7.0)[:, None]}
    io.savemat(path, one, format=form, do_compression=form == "5")
    equal(pixels_of(path)[0], io.loadmat(path)["picture"][None])
    if form == "5":
        io.savemat(path, {"X": COLOURS.transpose(1, 2, 3, 0), "y": np.arange(5), "s": {"a": 1}})
        found, said = pixels_of(path)
        equal(found, COLOURS)
        assert "is read at /X" in said[0] or "is read at /X" in said[1]
        io.savemat(path, {"a": STACK, "b": STACK})
        assert "several arrays" in refused(path)
        equal(pixels_of(f"{path}:/b")[0], STACK)
    path.write_bytes(b"MATLAB 5.0" + bytes(200))
    assert refused(path)


def test_mat_files_of_version_7_3(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("X", data=STACK.T, chunks=True, compression="gzip")
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"
    content = head + path.read_bytes()[128:]
    path.write_bytes(content)
    equal(pixels_of(path)[0], STACK)


# ---- DICOM


def written(path: Path, data: np.ndarray, **changes: Any) -> Path:
    """A DICOM file, by pydicom."""
    about = Dataset()
    about.file_meta = FileMetaDataset()
    about.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    about.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    about.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    about.SOPClassUID, about.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    colour = data.shape[-1] == 3
    about.SamplesPerPixel = 3 if colour else 1
    about.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        about.PlanarConfiguration = 0
    *many, height, width = data.shape[:-1] if colour else data.shape
    frames, size = many[0] if many else 1, (height, width)
    about.Rows, about.Columns = size
    if frames > 1:
        about.NumberOfFrames = frames
    bits = 8 * data.dtype.itemsize
    about.BitsAllocated, about.BitsStored, about.HighBit = bits, bits, bits - 1
    about.PixelRepresentation = int(data.dtype.kind == "i")
    about.PixelData = data.astype(data.dtype.newbyteorder("<")).tobytes()
    packing = changes.pop("packing", None)
    for name, value in changes.items():
        setattr(about, name, value)
    if packing:
        about.compress(packing)
    about.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("packing", [None, RLELossless])
@pytest.mark.parametrize(
    "data", [STACK[0], STACK, STACK.astype(np.int16), COLOURS, COLOURS[0], COLOURS[..., 0]]
)
def test_dicom_files(tmp_path: Path, data: np.ndarray, packing: Any) -> None:
    path = written(tmp_path / "a.dcm", data, packing=packing)
    wanted = pydicom.dcmread(path).pixel_array
    several = "NumberOfFrames" in pydicom.dcmread(path)
    equal(pixels_of(path)[0], wanted if several else wanted[None])


def test_dicom_numbers_are_in_the_units_of_the_file_and_white_is_light(tmp_path: Path) -> None:
    data = (STACK[0] // 16).astype(np.uint16)
    path = written(tmp_path / "a.dcm", data, RescaleSlope=2, RescaleIntercept=-1024)
    np.testing.assert_array_equal(pixels_of(path)[0][0], 2.0 * data - 1024)
    path = written(
        tmp_path / "a.dcm", data, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11
    )
    equal(pixels_of(path)[0][0], 4095 - data)


def test_dicom_files_without_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"none" * 100)
    assert refused(path) == "is not a DICOM file, or a damaged one"
    written(path, STACK[0])
    about = pydicom.dcmread(path)
    del about.PixelData, about.Rows
    about.save_as(path)
    assert refused(path) == "is a DICOM file without an image"


# ---- Zarr


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("sharded", [False, True])
def test_zarr_arrays(tmp_path: Path, version: Any, sharded: bool) -> None:
    path = tmp_path / "a.zarr"
    more: dict[str, Any] = {"shards": (4, 20, 24)} if sharded and version == 3 else {}
    zarr.create_array(path, data=STACK, chunks=(2, 10, 24), zarr_format=version, **more)
    equal(pixels_of(path)[0], STACK)


def ome(path: Path, version: int, data: np.ndarray, axes: str) -> None:
    """An OME-Zarr image of two levels, with labels."""
    root = zarr.open_group(path, mode="w", zarr_format=version)  # pyright: ignore[reportArgumentType]
    kinds = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
    told = [{"name": axis, "type": kinds[axis]} for axis in axes]
    levels = [{"path": "0", "coordinateTransformations": []}, {"path": "1"}]
    about: dict[str, Any] = {"multiscales": [{"axes": told, "datasets": levels}]}
    root.attrs.update({"ome": about} if version == 3 else about)
    root.create_array("0", data=data, chunks=(*[1] * (data.ndim - 2), 10, 12))
    root.create_array("1", data=data[..., ::2, ::2].copy())
    labels = root.create_group("labels/cells")
    labels.attrs.update(about)
    labels.create_array("0", data=np.zeros((20, 24), np.uint8))


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tmp_path: Path, version: int) -> None:
    data = np.stack([STACK[:6].reshape(3, 2, 20, 24)] * 2)  # t, c, z, y, x
    ome(tmp_path / "a.zarr", version, data, "tczyx")
    found, said = pixels_of(tmp_path / "a.zarr", channels="1")
    equal(found, data[:, 1].reshape(4, 20, 24))
    found, said = pixels_of(tmp_path / "a.zarr")
    equal(found, data.transpose(0, 2, 3, 4, 1).reshape(4, 20, 24, 3))
    assert said[0].startswith("a.zarr has axes TCZYX of (2, 3, 2, 20, 24): Y and X are an image")
    ome(tmp_path / "b.ome.zarr", version, STACK, "zyx")
    equal(pixels_of(tmp_path / "b.ome.zarr")[0], STACK)


def test_zarr_folders_are_files_of_a_folder(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "in" / "a.zarr", data=STACK)
    zarr.open_group(tmp_path / "in" / "b.zarr", mode="w").create_array("x/y", data=STACK[:2] + 1)
    images = open_source(str(tmp_path / "in"), DataConfig(normalise="image")).load().train
    assert images.names is not None
    assert images.names.tolist()[::7] == ["a.zarr#0", "b.zarr#0"]
    assert len(open_source(str(tmp_path / "in" / "a.zarr")).load().train) == 7
    assert len(open_source(f"{tmp_path}/in/b.zarr:/x/y").load().train) == 2


@pytest.mark.parametrize("kind", ["<u2", "|O"])
@pytest.mark.parametrize("place", ["compressor", "filters"])
def test_zarr_that_could_run_code_is_refused(tmp_path: Path, kind: str, place: str) -> None:
    path, ran = tmp_path / "a.zarr", tmp_path / "ran"
    zarr.create_array(path, data=STACK, zarr_format=2, chunks=STACK.shape)

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (ran,)

    packing = {"id": "pickle"}
    about = json.loads((path / ".zarray").read_text())
    about |= {"compressor": None, "filters": None, "dtype": kind}
    about |= {place: packing if place == "compressor" else [packing]}
    (path / ".zarray").write_text(json.dumps(about))
    (path / "0.0.0").write_bytes(pickle.dumps(Evil()))
    assert refused(path) and not ran.exists()


def test_damaged_zarr_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.zarr").mkdir()
    assert "not a Zarr folder" in refused(tmp_path / "b.zarr")
    zarr.create_array(tmp_path / "c.zarr", data=STACK, chunks=(1, 20, 24))
    (tmp_path / "c.zarr" / "c" / "2" / "0" / "0").write_bytes(b"none")
    *frames, fault = frames_of(tmp_path / "c.zarr", "c")
    assert len(frames) == 2 and isinstance(fault, Fault)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("a.h5", "h5py", "hdf5"),
        ("a.fits", "astropy.io.fits", "astronomy"),
        ("a.dcm", "pydicom", "medical"),
        ("a.zarr", "zarr", "zarr"),
    ],
)
def test_without_its_extra_a_file_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(b"any")
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'mcevae[{extra}]' reads it" in refused(tmp_path / name)
