"""A run over any number of new images: a table, and canonical images, written in parts.

A part is written whole or not at all and says where the next one begins, so that a stopped run goes
on where it was, every image once. Memory holds one part, however many images there are.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image
from pyarrow import parquet
from torch import Tensor

from mcevae.build import Model
from mcevae.confidence import Calibration, misfit
from mcevae.config import BUILT_IN, DataConfig
from mcevae.curation import FILE, Curation
from mcevae.data import load, pixels_of
from mcevae.errors import UserError
from mcevae.files import atomic
from mcevae.folder import is_split_archive, name_of, nothing, prepared, recipe_for
from mcevae.images import to_bytes
from mcevae.infer import check_table_path, joined, outputs, table, taken, write_tables
from mcevae.readers import Fault, files_of, frames_of
from mcevae.warp import warp

PART = 2000
"""Images of a part."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a source a part begins: a file, a frame of it, and images before it."""

    file: int = 0
    frame: int = 0
    images: int = 0


@dataclass(kw_only=True)
class Part:
    """Images that are worked on together.

    Attributes:
        pixels: (N, C, H, W) uint8.
        names: of each image; None for built-in sets.
        faults: what could not be used among them.
        end: where the next part begins.
        done: share of the source that is done with it.
    """

    pixels: Tensor
    names: list[str] | None
    faults: list[Fault] = field(default_factory=list)
    end: Place
    done: float


def parts_of(
    source: str, settings: DataConfig, shape: tuple[int, int, int], part: str, begin: Place
) -> Iterator[Part]:
    """Parts of a source from a place on.

    Args:
        source: built-in set or path.
        settings: of the run, for how files are read.
        shape: (C, H, W) that its model takes.
        part: of a source that has training and test images: all, train or test.
        begin: of the first part.

    Raises:
        UserError: the source cannot be read, or holds images of another shape.
    """
    if source in BUILT_IN or is_split_archive(Path(source)):
        yield from parts_of_arrays(source, shape, part, begin)
        return
    path, recipe = Path(source), recipe_for(settings, shape)
    files = files_of(path)
    images, names, faults, skip = [], [], [], begin.frame
    count = begin.images
    for i, file in islice(enumerate(files), begin.file, None):
        for j, one in islice(enumerate(frames_of(file, name_of(file, path))), skip, None):
            image = prepared(one, recipe, path, settings)
            if isinstance(image, Fault):
                faults.append(image)
            else:
                images.append(image)
                names.append(one.name)
            if len(images) == PART:
                count += PART
                end = Place(file=i, frame=j + 1, images=count)
                share = (i + 1) / len(files)
                yield Part(
                    pixels=torch.stack(images), names=names, faults=faults, end=end, done=share
                )
                images, names, faults = [], [], []
        skip = 0
    if images or faults:
        channels, height, width = shape
        pixels = torch.stack(images) if images else torch.empty(0, channels, height, width).byte()
        end = Place(file=len(files), images=count + len(images))
        yield Part(pixels=pixels, names=names, faults=faults, end=end, done=1.0)


def parts_of_arrays(
    source: str, shape: tuple[int, int, int], part: str, begin: Place
) -> Iterator[Part]:
    """Parts of a built-in set, or of a .npz with training and test images, which is in memory."""
    pixels = pixels_of(load(source), part)
    if tuple(pixels.shape[1:]) != shape:
        raise UserError(
            f"{source}: has images of (channels, height, width) {tuple(pixels.shape[1:])}, but "
            f"the run was trained on {shape}; give images of that size."
        )
    for start in range(begin.images, len(pixels), PART):
        end = min(start + PART, len(pixels))
        yield Part(
            pixels=pixels[start:end], names=None, end=Place(images=end), done=end / len(pixels)
        )


class Predictor:
    """A model over parts of a source, into a table."""

    def __init__(
        self,
        model: Model,
        settings: DataConfig,
        shape: tuple[int, int, int],
        calibration: Calibration,
        *,
        identity: str,
        curation: Curation | None = None,
        pictures: Path | None = None,
    ) -> None:
        """Set up.

        Args:
            model: in evaluation mode.
            settings: of its run, for how files are read.
            shape: (C, H, W) that it takes.
            calibration: of its run.
            identity: of the run; parts of another run are not gone on with.
            curation: groups that people made of the clusters; None: no column for them.
            pictures: folder for canonical and upright images; None: they are not written.
        """
        self.model, self.settings, self.shape = model, settings, shape
        self.calibration, self.curation, self.pictures = calibration, curation, pictures
        self.identity = identity + (curation.to_json() if curation else "")

    def rows(self, part: Part, first: int) -> pa.Table:
        """The table of a part whose first image has the number `first`; writes its pictures."""
        kept, misfits = [], []
        for start, (x, out) in zip(
            range(0, len(part.pixels), 500), outputs(self.model, part.pixels), strict=True
        ):
            kept.append(taken(out))
            misfits.append(misfit(x, out.reconstruction).cpu())
            if self.pictures:
                names = part.names[start:] if part.names else [""] * len(x)
                back = self.model.group.inverse(out.element)
                upright = warp(x, back, background=self.settings.background_level)
                for kind, images in (("canonical", out.canonical), ("upright", upright)):
                    for i, image in enumerate(to_bytes(images).cpu()):
                        number = first + start + i
                        save(image, self.pictures / kind / file_name(number, names[i]))
        found = joined(kept)
        rows = table(found, self.model.group, self.shape, first)
        extra = {
            "confidence": self.calibration.confidence(found.responsibilities).numpy(),
            "outlier": self.calibration.outlier(torch.cat(misfits)),
        }
        for name, values in extra.items():
            rows = rows.add_column(2, name, pa.array(values, pa.float32()))
        if self.curation is not None:
            if self.curation.clusters != found.responsibilities.shape[1]:
                raise UserError(f"{FILE}: is of another number of clusters; move it away.")
            groups = self.curation.assign(found.cluster.numpy(), found.z.numpy())
            names = [self.curation.groups[i].name for i in groups]
            rows = rows.add_column(2, "group", pa.array(names, pa.string()))
        if part.names is not None:
            rows = rows.add_column(1, "file", pa.array(part.names))
        return rows

    def __call__(
        self, source: str, part: str, out: Path
    ) -> Iterator[tuple[float, int, list[Fault]]]:
        """Work through a source; the table is at `out` when the iterator ends.

        Args:
            source: built-in set or path.
            part: all, train or test, of a source that has them.
            out: .parquet or .csv.

        Yields:
            The share of the source that is done, images so far, and faults of the last part.
        """
        check_table_path(out)
        folder = out.with_name(f".{out.name}.parts")
        begin_parts(folder, self.identity + fingerprint(source, part))
        place, found = Place(), 0
        while (path := folder / f"{found:06}.parquet").exists():
            about = json.loads(parquet.read_schema(path).metadata[b"mcevae"])
            place, found = Place(**about["end"]), found + 1
            yield about["done"], place.images, [Fault(*one) for one in about["faults"]]
        for one in parts_of(source, self.settings, self.shape, part, place):
            if len(one.pixels):
                rows = self.rows(one, place.images)
                write_part(folder / f"{found:06}.parquet", rows, one)
                found += 1
            place = one.end
            if place.images == 0:  # all there is could not be used
                raise nothing(Path(source), one.faults)
            yield one.done, place.images, one.faults
        paths = sorted(folder.glob("*.parquet"))
        write_tables((parquet.read_table(path).replace_schema_metadata() for path in paths), out)
        shutil.rmtree(folder)


def begin_parts(folder: Path, identity: str) -> None:
    """Make the folder of the parts; parts that are there and were of something else are dropped."""
    mark = folder / "identity"
    if not (mark.exists() and mark.read_text("utf-8") == identity):
        shutil.rmtree(folder, ignore_errors=True)
        with atomic(mark) as temporary:
            temporary.write_text(identity, "utf-8")


def fingerprint(source: str, part: str) -> str:
    """By which a source is known: its part, and names, sizes and times of its files."""
    known = hashlib.blake2b(f"{source} {part}".encode(), digest_size=16)
    if source not in BUILT_IN:
        for path in files_of(Path(source)):
            state = path.stat() if path.exists() else None
            known.update(f"{path} {state and (state.st_size, state.st_mtime_ns)}".encode())
    return known.hexdigest()


def write_part(path: Path, rows: pa.Table, part: Part) -> None:
    """Write a part with what is known of it, atomically."""
    about: dict[str, Any] = {
        "end": vars(part.end),
        "done": part.done,
        "faults": [(fault.name, fault.reason) for fault in part.faults],
    }
    with atomic(path) as temporary:
        parquet.write_table(rows.replace_schema_metadata({"mcevae": json.dumps(about)}), temporary)


def file_name(number: int, name: str) -> str:
    """What the picture of an image is called: its number in the table, and its file's stem."""
    stem = Path(name.replace("#", "-")).name
    return f"{number:07}{'-' if stem else ''}{stem}.png"


def save(image: Tensor, path: Path) -> None:
    """Write a (C, H, W) uint8 image as PNG; one that a stop cuts short is written again."""
    pixels = image.permute(1, 2, 0).numpy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
