"""What every reader owes whoever hands it a hostile file: a result, a fault or a `UserError`.

`test_hostile` holds it for a few hundred files, `benchmarks/fuzz.py` for as long as it is given.
"""

import gzip
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import h5py
import imagecodecs
import mrcfile
import numpy as np
import pyarrow as pa
import tifffile
import torch
import zarr
from astropy.io import fits
from PIL import Image
from pyarrow import parquet
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from scipy import io

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import digest
from mcevae.exporting.hub import CONFIG, WEIGHTS
from mcevae.exporting.hub import read as read_hub
from mcevae.images.crops.cutting import cut
from mcevae.images.crops.large import LargeImages
from mcevae.images.loading import load
from mcevae.images.readers.frames import Fault, Frame, Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.registry import frames_of
from mcevae.images.recipe import Recipe
from mcevae.images.sources.frames import prepared
from mcevae.images.sources.registry import open_source
from mcevae.models.config import PRESETS, Config
from mcevae.runs.checkpoint import load_model
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.data import settle
from mcevae.runs.infer import embed
from mcevae.runs.scores import read_scores
from mcevae.training.log import read_log

Reader = Callable[[Path], None]
FRAMES = 50
"""Of a file, that are looked at one by one."""
PLAIN = Recipe(normalise="none", levels=None, channels=1, background=0.0, fit="pad", shape=(28, 28))
NEEDY = ("MemoryError", "Unable to allocate", "can't allocate memory")
"""How a reader says that it asked for more memory than it may have."""


class Broken(AssertionError):
    """A reader did not do what it owes."""


@dataclass(frozen=True)
class Target:
    """Files of a kind, valid as they are, and what reads them.

    Attributes:
        seeds: contents by name.
        readers: by name; each is given the path of a file of that name, the other files beside it.
    """

    seeds: dict[str, bytes]
    readers: dict[str, Reader]

    def settle(self, folder: Path) -> None:
        """Put all files in a folder."""
        for name, content in self.seeds.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def check(self, folder: Path, name: str, content: bytes) -> str:
        """Read a file with another content, and put the old one back.

        Returns:
            read or refused.

        Raises:
            Broken: neither; the cause is what was raised in its place.
        """
        path = folder / name
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.readers[name](path)
        except UserError as error:
            modest(str(error))
            return "refused"
        except Broken:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Broken(f"{type(error).__name__}: {error}"[:200]) from error
        finally:
            path.write_bytes(self.seeds[name])
        return "read"


def family(name: str) -> str:
    """The row of the fuzzer that a file of `images` belongs to: pictures, fields or crops."""
    if name.startswith("cut/"):
        return "crops"
    fields = (".h5", ".fits", ".mat", ".dcm", ".star", ".cs", ".mrcs", ".gz")
    return "fields" if ".zarr/" in name or name.endswith(fields) else "pictures"


def modest(said: str) -> None:
    """Hold that what was said tells of no attempt to take more memory than there is.

    Raises:
        Broken: it does.
    """
    if any(word in said for word in NEEDY):
        raise Broken(f"memory: {said}"[:200])


def images(folder: Path) -> Target:
    """Images of every ending and kind that is read."""
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (20, 24)).astype(np.uint8)
    deep = rng.integers(0, 2**16, (3, 20, 24)).astype(np.uint16)
    colour = np.dstack([grey, grey.T[:20, :20].repeat(2, 1)[:, :24], grey])
    clear = Image.fromarray(np.dstack([colour, grey]))
    for ending in ("png", "jpg", "webp", "bmp", "tif"):
        Image.fromarray(colour).save(folder / f"colour.{ending}")
    clear.save(folder / "clear.png")
    clear.convert("P").save(folder / "palette.png", transparency=0)
    Image.fromarray(deep[0]).save(folder / "deep.png")
    Image.fromarray(grey).save(folder / "lzw.tiff", compression="tiff_lzw")
    tifffile.imwrite(folder / "pages.tif", deep, photometric="minisblack")
    tifffile.imwrite(folder / "rare.tif", np.dstack(deep), photometric="rgb")
    small = (deep / 65535).astype(np.float64)
    tifffile.imwrite(folder / "packed.tif", small, compression="zlib", photometric="minisblack")
    np.save(folder / "stack.npy", deep)
    np.savez(folder / "some.npz", images=deep, labels=np.arange(3))
    split = np.zeros((5, 28, 28), np.uint8)
    np.savez_compressed(folder / "split.npz", x_train=split, x_test=split, y_train=np.arange(5))
    with mrcfile.new(folder / "stack.mrcs") as file:
        file.set_data(deep.astype(np.float32))
    for ending in ("gif", "pgm", "jp2", "avif"):
        Image.fromarray(grey).save(folder / f"more.{ending}")
    words = np.dstack(deep)
    (folder / "deep.ppm").write_bytes(b"P6 24 20 65535\n" + words.astype(">u2").tobytes())
    (folder / "deep.jp2").write_bytes(imagecodecs.jpeg2k_encode(words))
    (folder / "colours.png").write_bytes(imagecodecs.png_encode(words))
    (folder / "packed.mrc.gz").write_bytes(gzip.compress((folder / "stack.mrcs").read_bytes()))
    axes = {"axes": "TCYX"}
    microscope = deep.reshape(1, 3, 20, 24).repeat(2, 0)
    tifffile.imwrite(folder / "axes.ome.tif", microscope, metadata=axes, photometric=1)
    tifffile.imwrite(folder / "hyper.tif", microscope, metadata=axes, imagej=True)
    tifffile.imwrite(folder / "planes.tif", deep, photometric="rgb", planarconfig="separate")
    table = pa.table({"image": [(folder / "clear.png").read_bytes(), None]})
    parquet.write_table(table, folder / "table.parquet")
    formats_of_fields(folder, deep)
    names = sorted(path.name for path in folder.iterdir())
    (folder / "list.txt").write_text("\n".join(names))
    crops = tables_of_crops(folder, deep)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    seeds = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return Target(seeds, dict.fromkeys(seeds, read_images) | crops)


def tables_of_crops(folder: Path, deep: np.ndarray) -> dict[str, Reader]:
    """Tables of boxes, label images, and a STAR file with a CTF, and what reads them."""
    cut = folder / "cut"
    (cut / "images").mkdir(parents=True)
    np.save(cut / "images/large.npy", deep[0])
    (cut / "boxes.csv").write_text(
        "file,x,y,width,height\nlarge.npy,2,3,8,9\nlarge.npy,-2,15,8,8\n"
    )
    (cut / "points.tsv").write_text("image\tx_coord\ty_coord\tframe\nlarge\t9.5\t8\t0\n")
    (cut / "large.box").write_text("2 3 8 9\n-2 15 8 8 -1\n")
    labels = "data_\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
    (cut / "picked.star").write_text(f"{labels}a/large.npy 9.5 8\na/large.npy 2 18\n")
    parts = np.zeros(deep[0].shape, np.uint16)
    parts[2:9, 3:8], parts[12:, 10:20] = 3, 70
    tifffile.imwrite(cut / "labels.tif", parts, compression="zlib")
    Image.fromarray((parts > 0).astype(np.uint8) * 255).save(cut / "mask.png")
    Image.fromarray((parts > 0).astype(np.uint8) * 255).save(cut / "counted.png")
    (cut / "labels.csv").write_text("name;kind\n../pages.tif#0;a\npages.tif#1;b\n")
    np.save(cut / "labels.npy", np.arange(3))
    names = ("ImageName", "DefocusU", "DefocusV", "DefocusAngle", "Voltage")
    more = ("SphericalAberration", "AmplitudeContrast", "ImagePixelSize")
    heads = "".join(f"_rln{name} #{i}\n" for i, name in enumerate((*names, *more), 1))
    rows = "".join(f"{i}@../stack.mrcs 15000 14000 30 300 2.7 0.1 1.5\n" for i in (1, 3))
    (cut / "ctf.star").write_text(f"data_\n\nloop_\n{heads}{rows}")
    tables = ("boxes.csv", "points.tsv", "large.box", "picked.star")
    readers: dict[str, Reader] = {f"cut/{name}": read_boxes for name in tables}
    readers |= {f"cut/{name}": read_objects for name in ("labels.tif", "mask.png")}
    readers |= {f"cut/{name}": read_labelled for name in ("labels.csv", "labels.npy")}
    readers["cut/counted.png"] = read_mask
    return readers | {"cut/ctf.star": read_flipped}


def read_boxes(path: Path) -> None:
    """A table of boxes, which cuts crops, without labels and with a column of them."""
    settings = DataConfig(boxes=str(path), box_size=12)
    read_with(path.parent / "images", settings)
    column = {".csv": "file", ".tsv": "image", ".star": "rlnMicrographName"}.get(path.suffix)
    if column is not None:
        loaded = load(
            str(path.parent / "images"), replace(settings, label_column=column, normalise="image")
        )
        assert loaded.train.labels is not None


def read_labelled(path: Path) -> None:
    """A table or an array of labels."""
    found = load(str(path.parents[1] / "pages.tif"), DataConfig(labels=str(path)))
    assert found.train.labels is not None


def read_mask(path: Path) -> None:
    """A mask of all images."""
    source = str(path.parents[1] / "pages.tif")
    found = load(source, DataConfig(source=source, mask=str(path)))
    assert found.train.pixels.dtype == torch.uint8


def read_objects(path: Path) -> None:
    """A label image, which cuts crops."""
    read_with(path.parent / "images/large.npy", DataConfig(objects=str(path)))


def read_flipped(path: Path) -> None:
    """A STAR file with a CTF."""
    read_with(path, DataConfig(phase_flip=True))


def read_with(source: Path, settings: DataConfig) -> None:
    """All images of a source."""
    opened = open_source(str(source), settings)
    opened.snapshot().fingerprint("all")
    for part in opened.parts(PLAIN):
        assert part.pixels.dtype == torch.uint8
        for fault in part.faults:
            modest(fault.reason)


def read_windows(path: Path) -> None:
    """Windows of the first images of a file, as crops are cut."""
    large = LargeImages([path], lambda path: path.name, Reading())
    for number in range(3):
        try:
            cut(large.get(0, number), (2, -3, 16, 16))
        except Unreadable as error:
            modest(str(error))
            break


def formats_of_fields(folder: Path, deep: np.ndarray) -> None:
    """Files of HDF5, FITS, MATLAB, DICOM and Zarr, and tables of particles."""
    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("a/b", data=deep, chunks=(2, 20, 24), compression="gzip")
    units = [fits.PrimaryHDU(), fits.ImageHDU(deep[0], name="SCI"), fits.CompImageHDU(deep[1])]
    fits.HDUList(units).writeto(folder / "sky.fits")
    io.savemat(folder / "some.mat", {"x": deep}, do_compression=True)
    about = Dataset()
    about.file_meta = FileMetaDataset()
    about.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    about.SOPClassUID, about.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    about.set_pixel_data(deep[0], "MONOCHROME1", 16)
    about.RescaleSlope, about.RescaleIntercept = 2, -1
    about.save_as(folder / "scan.dcm", enforce_file_format=True)
    zarr.create_array(folder / "some.zarr", data=deep, chunks=(1, 20, 24))
    rows = "".join(f" 1 {i}@stack.mrcs\n" for i in (1, 3))
    optics = "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n 1 1.5\n\n"
    labels = "data_particles\n\nloop_\n_rlnOpticsGroup #1\n_rlnImageName #2\n"
    (folder / "run.star").write_text(optics + labels + rows)
    records = np.zeros(2, [("uid", "<u8"), ("blob/path", "S12"), ("blob/idx", "<u4")])
    records["blob/path"] = "stack.mrcs"
    with (folder / "run.cs").open("wb") as file:
        np.save(file, records)


def read_images(path: Path) -> None:
    """A file as `fit` and `predict` read it, and as the explorer reads one that is dropped."""
    path = next((one for one in path.parents if one.suffix == ".zarr"), path)
    for one in islice(frames_of(path, path.name), FRAMES):
        found = prepared(one, PLAIN, str(path), "skip")
        if isinstance(found, Fault):
            modest(found.reason)
        elif not isinstance(one, Frame) or found.shape != (1, 28, 28):
            raise Broken(f"{one} became {found.shape}")
    read_windows(path)
    source = open_source(str(path))
    source.snapshot().fingerprint("all")
    for part in source.parts(PLAIN):
        assert part.pixels.dtype == torch.uint8
    config = settle(Config(data=source.settings), source)
    found = load(str(path), config.data)
    assert found.train.pixels.dtype == torch.uint8
    if source.survey:
        assert found.train.shape == (source.survey.recipe.channels, *source.survey.recipe.shape)
    for fault in found.faults:
        modest(fault.reason)


def run_files(run: Path, saved: Path) -> Target:
    """Files of a run, and of an estimator that was saved.

    Args:
        run: of preset default, with groups.json.
        saved: folder that `save_pretrained` filled.
    """
    readers: dict[str, Reader] = {
        "best.safetensors": read_model,
        "calibration.json": read_calibration,
        "groups.json": read_groups,
        "metrics.jsonl": read_losses,
        "metrics.json": read_figures,
        f"saved/{CONFIG}": read_saved,
        f"saved/{WEIGHTS}": read_weights,
    }
    places = {name: saved if name.startswith("saved/") else run for name in readers}
    seeds = {name: (places[name] / Path(name).name).read_bytes() for name in readers}
    return Target(seeds, readers)


def read_model(path: Path) -> None:
    """A checkpoint, as all commands that use a run do."""
    model, config, state = load_model(path.parent)
    assert state["position"]["epoch"] >= 0 and isinstance(state["data"], str)
    embed(model, torch.zeros(2, *state["shape"], dtype=torch.uint8))
    config.to_toml()


def read_calibration(path: Path) -> None:
    """Confidences and outlier scores are shares."""
    found = Calibration.read(path.parent)
    p = torch.zeros(2, 3 if found.usual is None else len(found.usual)) + 0.1
    confidence = found.confidence(p, torch.tensor([0.0, 1e9]))
    scores = found.outlier(p, torch.tensor([0.0, 1e9]))
    if not (0 <= confidence.min() <= confidence.max() <= 1 and 0 <= scores.min() <= 1):
        raise Broken(f"confidence {confidence}, outlier {scores}")


def read_groups(path: Path) -> None:
    """Every image is in one of the groups."""
    run = path.parent
    for found in (Collections.read(run, 3), Collections.kept(run)):
        assert found
        width = max((len(c) for parts in found.centres.values() for c in parts), default=4)
        cluster = np.arange(min(found.clusters, 100))
        places = found.assign(cluster, np.zeros((len(cluster), width), np.float32))
        assert 0 <= places.min() <= places.max() < len(found.entries)


def read_losses(path: Path) -> None:
    """Rows have what the page and a resumed training look up."""
    for row in read_log(path.parent):
        assert row["split"] in ("train", "validation") and row["epoch"] >= 0
        f"{row['seconds'] / 60:.1f} {row['loss']:.2f}"


def read_figures(path: Path) -> None:
    """Scores can be shown."""
    for name, score in read_scores(path.parent).items():
        f"{name} {score.value:.4g} {score.unit} {score.n:d}"


def read_saved(path: Path) -> None:
    """An estimator that others made."""
    _, found = read_hub(path.parent)
    recipe = found.recipe
    image = recipe(Frame("x", np.zeros((20, 20), np.uint8)))
    embed(found.model, image[None])
    found.calibration.confidence(torch.tensor([[0.9, 0.1]]), torch.tensor([1.0]))


def read_weights(path: Path) -> None:
    """Weights that others made, with the fingerprint that they have."""
    about = path.with_name(CONFIG)
    kept = about.read_bytes()
    try:
        about.write_text(json.dumps({**json.loads(kept), "weights": digest(path)}))
        read_saved(path)
    finally:
        about.write_bytes(kept)


def settings() -> Target:
    """Settings of every preset, and of a run over files."""
    found = {name: make() for name, make in PRESETS.items()}
    files = {"source": "scans", "size": 64, "levels": (0.1, 0.9), "labels": "folders"}
    found["files"] = PRESETS["default"]().changed(data=files, train={"minutes": 3.0})
    seeds = {f"{name}.toml": config.to_toml().encode() for name, config in found.items()}
    return Target(seeds, dict.fromkeys(seeds, read_settings))


def read_settings(path: Path) -> None:
    """Settings that are read can be written, and are the same when they are read again."""
    config = Config.read(path)
    again = path.with_name("again.toml")
    again.write_text(config.to_toml(), "utf-8")
    if Config.read(again) != config:
        raise Broken("settings are others when they are read again")
    Config.from_dict(json.loads(json.dumps(config.to_dict())))
