"""A run over any number of new images: a table, and canonical images, written in parts.

A part is written whole or not at all and says where the next one begins, so that a stopped run goes
on where it was, every image once. Memory holds one part, however many images there are. Several
processes take a shard each (`shards`), which is a table of its own.
"""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from itertools import islice
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from pyarrow import ArrowInvalid, parquet
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.images.readers.frames import Fault, write_faults
from mcevae.images.recipe import recipe_for
from mcevae.images.sources.contract import START, Part, Position, Source
from mcevae.images.sources.frames import no_image
from mcevae.images.sources.snapshot import Snapshot
from mcevae.models.contract import Model, Output
from mcevae.predicting.parts import (
    about_part,
    begin_parts,
    is_of,
    known_part,
    parts_folder,
    whole_part,
    write_part,
)
from mcevae.predicting.shards import Shard
from mcevae.runs.collections import FILE, Collections
from mcevae.runs.confidence import Calibration, misfit
from mcevae.runs.infer import check_table_path, joined, outputs, table, taken, write_tables

STEM = 200
"""Bytes of an image's name in the name of its picture; file systems take 255."""


def ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts; while one is worked on, the next is read."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield part


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
        collections: Collections | None = None,
        pictures: Path | None = None,
    ) -> None:
        """Set up.

        Args:
            model: in evaluation mode.
            settings: of its run, for how files are read.
            shape: (C, H, W) that it takes.
            calibration: of its run.
            identity: of the run; parts of another run are not gone on with.
            collections: groups that people made of the clusters; None: no column for them.
            pictures: folder for canonical and upright images; None: they are not written.
        """
        self.model, self.settings, self.shape = model, settings, shape
        self.calibration, self.collections, self.pictures = calibration, collections, pictures
        self.identity = identity + (collections.to_json() if collections else "")

    def rows(self, part: Part, first: int) -> pa.Table:
        """The table of a part whose first image has the number `first`; writes its pictures."""
        kept, misfits = [], []
        names = part.names or [""] * len(part.pixels)
        ids = part.ids or range(first, first + len(part.pixels))
        called = map(file_name, ids, names)
        for x, out in outputs(self.model, part.pixels):
            kept.append(taken(out))
            misfits.append(misfit(x, out.reconstruction).cpu())
            if self.pictures:
                self.draw(x, out, list(islice(called, len(x))), self.pictures)
        found = joined(kept)
        rows = table(found, self.model.group, self.shape, first)
        extra = {
            "confidence": self.calibration.confidence(found.responsibilities).numpy(),
            "outlier": self.calibration.outlier(torch.cat(misfits)),
        }
        for name, values in extra.items():
            rows = rows.add_column(2, name, pa.array(values, pa.float32()))
        if self.collections is not None:
            if self.collections.clusters != found.responsibilities.shape[1]:
                raise UserError(f"{FILE}: is of another number of clusters; move it away.")
            groups = self.collections.assign(found.cluster.numpy(), found.z.numpy())
            names = [self.collections.entries[i].name for i in groups]
            rows = rows.add_column(2, "group", pa.array(names, pa.string()))
        if part.ids is not None:
            rows = rows.set_column(0, "id", pa.array(part.ids, pa.int64()))
        if part.names is not None:
            rows = rows.add_column(1, "file", pa.array(part.names))
        return rows

    def draw(self, x: Tensor, out: Output, names: list[str], folder: Path) -> None:
        """Write canonical and upright images under these names."""
        back = self.model.group.inverse(out.element)
        upright = warp(x, back, background=self.settings.background_level)
        for kind, images in (("canonical", out.canonical), ("upright", upright)):
            for image, name in zip(to_bytes(images).cpu(), names, strict=True):
                save(image, folder / kind / name)

    def no_rows(self, source: Source) -> pa.Table:
        """The table of a share that holds no image: columns alone."""
        blank = torch.zeros(1, *self.shape, dtype=torch.uint8)
        names = [""] if source.named else None
        plain = copy(self)
        plain.pictures = None
        part = Part(pixels=blank, names=names, end=START, done=1.0)
        return plain.rows(part, 0).slice(0, 0)

    def known(self, snapshot: Snapshot, part: str, shard: Shard | None) -> str:
        """By which a table is known: the run, the source and the share of it."""
        return self.identity + snapshot.fingerprint(part) + str(shard or "")

    def has_made(self, source: Source, part: str, out: Path, shard: Shard | None) -> bool:
        """Whether `out` is the whole table of this share already."""
        try:
            about = parquet.read_schema(out).metadata or {}
        except (OSError, ArrowInvalid):
            return False
        return about.get(b"mcevae") == self.known(source.snapshot(), part, shard).encode()

    def __call__(
        self, source: Source, part: str, out: Path, shard: Shard | None = None
    ) -> Iterator[tuple[float, int, list[Fault]]]:
        """Work through a source; the table is at `out` when the iterator ends.

        Args:
            source: of the images.
            part: all, train or test, of a source that has them.
            out: .parquet or .csv.
            shard: share of the source; None: all of it. A share may be empty.

        Yields:
            The share of the source that is done, images so far, and faults of the last part.
        """
        check_table_path(out)
        before = source.snapshot()
        known = self.known(before, part, shard)
        folder = begin_parts(out, known)
        begun, paths, faults = START, [], []
        while (rows := known_part(path := folder / f"{len(paths):06}.part")) is not None:
            about = about_part(rows)
            begun = Position(**about["end"])
            known_faults = [Fault(*fault) for fault in about["faults"]]
            faults += known_faults
            paths.append(path)
            yield about["done"], begun.images, known_faults
        recipe = recipe_for(self.settings, self.shape)
        for batch in ahead(source.parts(recipe, part=part, begin=begun, share=shard)):
            if len(batch.pixels):
                rows = self.rows(batch, begun.images)
                paths.append(folder / f"{len(paths):06}.part")
                write_part(paths[-1], rows, batch.about())
            begun = batch.end
            faults += batch.faults
            if begun.images == 0 and shard is None:  # no image of the source can be used
                raise no_image(source.name, batch.faults)
            yield batch.done, begun.images, batch.faults
        before.check_unchanged()
        write_faults(faults, skipped(out))
        tables = map(whole_part, paths) if paths else [self.no_rows(source)]
        write_tables((rows.replace_schema_metadata({"mcevae": known}) for rows in tables), out)
        for path in reversed(paths):  # those that are left can be gone on with at any moment
            path.unlink()
        shutil.rmtree(folder)

    def has_begun(self, source: Source, part: str, out: Path, shard: Shard | None = None) -> bool:
        """Whether a stopped prediction of the same has left parts that can be gone on with."""
        return is_of(parts_folder(out), self.known(source.snapshot(), part, shard))


def skipped(out: Path) -> Path:
    """Where the files are named that are not in a table.

    Beside shards it has a name that readers of folders pass by.
    """
    hidden = "_" if out.name.startswith("part-") else ""
    return out.with_name(f"{hidden}{out.stem}.skipped.csv")


def file_name(number: int, name: str) -> str:
    """What the picture of an image is called: its number in the table, and its file's stem."""
    stem = Path(name.replace("#", "-")).name.encode()[:STEM].decode(errors="ignore")
    return f"{number:07}{'-' if stem else ''}{stem}.png"


def save(image: Tensor, path: Path) -> None:
    """Write a (C, H, W) uint8 image as PNG; one that a stop cuts short is written again."""
    pixels = image.permute(1, 2, 0).numpy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
