"""A run over any number of new images: a table, and canonical images, written in parts.

A part is written whole or not at all and says where the next one begins, so that a stopped run goes
on where it was, every image once. Memory holds one part, however many images there are. Several
processes take a shard each (`shards`), which is a table of its own.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from PIL import Image
from pyarrow import ArrowInvalid, parquet
from torch import Tensor

from mcevae.base.config import BUILT_IN, DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Images, to_bytes
from mcevae.images.datasets import load, pixels_of
from mcevae.images.folder import is_split_archive, name_of, nothing, prepared, recipe_for
from mcevae.images.packs import Pack, is_pack, open_pack
from mcevae.images.readers import PICTURES, Fault, files_of, frames_of, write_faults
from mcevae.models.paper import Output
from mcevae.models.registry import Model
from mcevae.predicting.parts import (
    about_part,
    begin_parts,
    is_of,
    known_part,
    parts_folder,
    whole_part,
    write_part,
)
from mcevae.predicting.shards import FILE_BITS, Shard
from mcevae.runs.collections import FILE, Curation
from mcevae.runs.confidence import Calibration, misfit
from mcevae.runs.infer import check_table_path, joined, outputs, table, taken, write_tables

STEM = 200
"""Bytes of an image's name in the name of its picture; file systems take 255."""
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
        ids: of each image; None: counted through the parts.
    """

    pixels: Tensor
    names: list[str] | None
    faults: list[Fault] = field(default_factory=list)
    end: Place
    done: float
    ids: list[int] | None = None

    def about(self) -> dict[str, Any]:
        """What a later life of the command needs to know of it, as JSON values."""
        faults = [(fault.name, fault.reason) for fault in self.faults]
        return {"end": vars(self.end), "done": self.done, "faults": faults}


def parts_of(
    source: str,
    settings: DataConfig,
    shape: tuple[int, int, int],
    part: str,
    begin: Place,
    shard: Shard | None = None,
) -> Iterator[Part]:
    """Parts of a source, or of its share, from a place on.

    Args:
        source: built-in set or path.
        settings: of the run, for how files are read.
        shape: (C, H, W) that its model takes.
        part: of a source that has training and test images: all, train or test.
        begin: of the first part.
        shard: share of the source; None: all of it.

    Raises:
        UserError: the source cannot be read, or holds images of another shape.
    """
    if source in BUILT_IN or is_split_archive(Path(source)) or is_pack(Path(source)):
        yield from parts_of_rows(source, settings, shape, part, begin, shard)
        return
    path, recipe = Path(source), recipe_for(settings, shape)
    files = files_of(path)
    images, names, ids, faults, skip = [], [], [], [], begin.frame
    count = begin.images

    def made(end: Place) -> Part:
        pixels = torch.stack(images) if images else torch.empty(0, *shape).byte()
        numbers = ids if shard else None
        done = end.file / len(files)
        return Part(pixels=pixels, names=names, faults=faults, end=end, done=done, ids=numbers)

    for i, file in islice(enumerate(files), begin.file, None):
        stack = file.suffix.lower() not in PICTURES
        if shard and not stack and not shard.has(i, 0):
            continue
        for j, one in islice(enumerate(frames_of(file, name_of(file, path))), skip, None):
            if shard and stack and not shard.has(i, j):
                continue
            image = prepared(one, recipe, path, settings)
            if isinstance(image, Fault):
                faults.append(image)
            else:
                images.append(image)
                names.append(one.name)
                ids.append((i << FILE_BITS) + j)
            if len(images) == PART:
                count += PART
                yield made(Place(file=i, frame=j + 1, images=count))
                images, names, ids, faults = [], [], [], []
        skip = 0
    if images or faults:
        yield made(Place(file=len(files), images=count + len(images)))


def parts_of_rows(
    source: str,
    settings: DataConfig,
    shape: tuple[int, int, int],
    part: str,
    begin: Place,
    shard: Shard | None,
) -> Iterator[Part]:
    """Parts of a source whose images have the form that a model takes already.

    They are built-in sets and .npz with training and test images, which are in memory, and packs.
    """
    if is_pack(Path(source)):
        pack = open_pack(Path(source))
        check_recipe(pack, settings)
        found, count, taken = pack.shape, pack.count, pack.rows
    else:
        images = pixels_of(load(source), part)
        found, count = tuple(images.shape[1:]), len(images)

        def taken(start: int, stop: int) -> Images:
            return Images(name=source, pixels=images[start:stop])

    if found != shape:
        raise UserError(
            f"{source}: has images of (channels, height, width) {found}, but "
            f"the run was trained on {shape}; give images of that size."
        )
    rows = shard.rows(count) if shard else range(count)
    for start in range(begin.images, len(rows), PART):
        mine = rows[start : start + PART]
        end = start + len(mine)
        one = taken(mine.start, mine.stop)
        yield Part(
            pixels=one.pixels,
            names=None if one.names is None else one.names.tolist(),
            end=Place(images=end),
            done=end / len(rows),
            ids=list(mine),
        )


def check_recipe(pack: Pack, settings: DataConfig) -> None:
    """Refuse a pack whose images were read in another way than those of a run.

    Raises:
        UserError: they were.
    """
    own = recipe_for(settings, pack.shape)
    for name in ("normalise", "levels", "background", "fit"):
        value = getattr(own, name)
        if pack.recipe[name] != value:
            raise UserError(
                f"{pack.folder}: was made with {name} {pack.recipe[name]}, but the run reads "
                f"images with {value}; pack them anew with --like RUN."
            )


def ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts; while one is worked on, the next is read."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, parts, None)
        while (one := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield one


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
        if self.curation is not None:
            if self.curation.clusters != found.responsibilities.shape[1]:
                raise UserError(f"{FILE}: is of another number of clusters; move it away.")
            groups = self.curation.assign(found.cluster.numpy(), found.z.numpy())
            names = [self.curation.groups[i].name for i in groups]
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

    def no_rows(self, source: str) -> pa.Table:
        """The table of a share that holds no image: columns alone."""
        blank = torch.zeros(1, *self.shape, dtype=torch.uint8)
        names = None if source in BUILT_IN or is_split_archive(Path(source)) else [""]
        plain = copy(self)
        plain.pictures = None
        one = Part(pixels=blank, names=names, end=Place(), done=1.0)
        return plain.rows(one, 0).slice(0, 0)

    def known(self, source: str, part: str, shard: Shard | None, states: "States") -> str:
        """By which a table is known: the run, the source and the share of it."""
        return self.identity + fingerprint(source, part, states) + str(shard or "")

    def has_made(self, source: str, part: str, out: Path, shard: Shard | None) -> bool:
        """Whether `out` is the whole table of this share already."""
        try:
            about = parquet.read_schema(out).metadata or {}
        except (OSError, ArrowInvalid):
            return False
        return about.get(b"mcevae") == self.known(source, part, shard, states_of(source)).encode()

    def __call__(
        self, source: str, part: str, out: Path, shard: Shard | None = None
    ) -> Iterator[tuple[float, int, list[Fault]]]:
        """Work through a source; the table is at `out` when the iterator ends.

        Args:
            source: built-in set or path.
            part: all, train or test, of a source that has them.
            out: .parquet or .csv.
            shard: share of the source; None: all of it. A share may be empty.

        Yields:
            The share of the source that is done, images so far, and faults of the last part.
        """
        check_table_path(out)
        states = states_of(source)
        known = self.known(source, part, shard, states)
        folder = begin_parts(out, known)
        begun, paths, faults = Place(), [], []
        while (rows := known_part(path := folder / f"{len(paths):06}.part")) is not None:
            about = about_part(rows)
            begun = Place(**about["end"])
            faults += (found := [Fault(*one) for one in about["faults"]])
            paths.append(path)
            yield about["done"], begun.images, found
        for one in ahead(parts_of(source, self.settings, self.shape, part, begun, shard)):
            if len(one.pixels):
                rows = self.rows(one, begun.images)
                paths.append(folder / f"{len(paths):06}.part")
                write_part(paths[-1], rows, one.about())
            begun = one.end
            faults += one.faults
            if begun.images == 0 and shard is None:  # all there is could not be used
                raise nothing(Path(source), one.faults)
            yield one.done, begun.images, one.faults
        check_unchanged(source, states)
        write_faults(faults, skipped(out))
        tables = map(whole_part, paths) if paths else [self.no_rows(source)]
        write_tables((rows.replace_schema_metadata({"mcevae": known}) for rows in tables), out)
        for path in reversed(paths):  # those that are left can be gone on with at any moment
            path.unlink()
        shutil.rmtree(folder)

    def has_begun(self, source: str, part: str, out: Path, shard: Shard | None = None) -> bool:
        """Whether a stopped prediction of the same has left parts that can be gone on with."""
        return is_of(parts_folder(out), self.known(source, part, shard, states_of(source)))


def skipped(out: Path) -> Path:
    """Where the files are named that are not in a table.

    Beside shards it has a name that readers of folders pass by.
    """
    hidden = "_" if out.name.startswith("part-") else ""
    return out.with_name(f"{hidden}{out.stem}.skipped.csv")


States = dict[Path, tuple[int, int] | None]
"""Size and time of files; None of those that are not there."""


def states_of(source: str) -> States:
    """States of the files of a source; of none for built-in sets."""
    if source in BUILT_IN:
        return {}
    return {path: state_of(path) for path in files_of(Path(source))}


def state_of(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None if it is not there."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # whatever a list names
        return None
    return state.st_size, state.st_mtime_ns


def fingerprint(source: str, part: str, states: States) -> str:
    """By which a source is known: its part, and names, sizes and times of its files."""
    known = hashlib.blake2b(f"{source} {part}".encode(), digest_size=16)
    for path, state in states.items():
        known.update(os.fsencode(path) + f" {state}".encode())
    return known.hexdigest()


def check_unchanged(source: str, states: States) -> None:
    """Refuse to make one table of two states of a source.

    Files that went are faults, and named as such.

    Raises:
        UserError: a file was written to since its state was taken.
    """
    for path, before in states.items():
        if (now := state_of(path)) is not None and now != before:
            raise UserError(
                f"{source}: {path} was changed while it was read; give the command again when "
                "its files are at rest."
            )


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
