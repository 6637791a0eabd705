"""Predict any number of new images: write a table and canonical images, part by part.

A part is written completely or not at all, with a fingerprint of the images that it was made from.
A prediction that was stopped reads the images again, keeps every part whose images are the same,
and makes the others. Only one part is in memory, for any number of images. Several processes can
each write one shard (`shards`), a separate table.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import torch
from pyarrow import ArrowInvalid, parquet
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import digest
from mcevae.base.names import in_utf8, path_of
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.images.features import Features
from mcevae.images.measures import measured
from mcevae.images.readers.frames import Fault, write_faults
from mcevae.images.recipe import recipe_for
from mcevae.images.sources.contract import START, Part, Source, no_image
from mcevae.images.sources.snapshot import Snapshot
from mcevae.models.contract import Model, Output
from mcevae.predicting.grouped import grouped, levelled, with_columns
from mcevae.predicting.novelty import Novelty
from mcevae.predicting.particle_tables import particle_table
from mcevae.predicting.parts import (
    Contents,
    begin_parts,
    content,
    content_of,
    is_of,
    known_part,
    parts_folder,
    whole_part,
    write_part,
)
from mcevae.predicting.pictures import ending, file_name, save
from mcevae.predicting.shards import Shard, listed_by
from mcevae.runs.collections import FILE, Collections
from mcevae.runs.confidence import Calibration, embed_with_misfits
from mcevae.runs.coordinates import Originals
from mcevae.runs.evidence import Evidence
from mcevae.runs.frames import Frames
from mcevae.runs.infer import check_table_path, table, write_tables
from mcevae.runs.parents import Parent

FORM = "shifts in pixels of files "
"""Begins the identity of tables, so that none is continued whose columns meant something else."""


def ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """Yield the same parts, but read the next one while the caller works on this one."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield part


@dataclass(frozen=True, kw_only=True)
class Described:
    """Features of the images of a source, and what they say about clusters."""

    features: Features
    evidence: Evidence

    def of(self, part: Part, first: int, source: str) -> Tensor:
        """What the features of a part's images say. `first` numbers its first image.

        Raises:
            UserError: there are too few rows.
        """
        return self.evidence(self.features.rows(part.places_from(first), source))


class Predictor:
    """Runs a model on the parts of a source and writes a table."""

    def __init__(
        self,
        model: Model,
        settings: DataConfig,
        shape: tuple[int, int, int],
        calibration: Calibration,
        *,
        identity: str,
        checkpoint: str = "",
        collections: Collections | None = None,
        pictures: Path | None = None,
        features: Described | None = None,
        parents: Sequence[Parent] = (),
    ) -> None:
        """Prepare a prediction.

        Args:
            model: model in evaluation mode.
            settings: data settings of the run: how files are read.
            shape: (C, H, W) of the images that the model takes.
            calibration: calibration of the run.
            identity: fingerprint of the run. Parts that another run wrote are not continued.
            checkpoint: which checkpoint the model is, in words. Parquet tables keep it.
            collections: groups that people made of the clusters. None: the table has no group.
            pictures: folder for canonical and upright images. None: do not write them.
            features: features of the images. None: clusters come from the images alone.
            parents: runs before this one; tables say in which of their groups images were.
        """
        self.parents = parents
        self.model, self.settings, self.shape = model, settings, shape
        self.calibration, self.collections, self.pictures = calibration, collections, pictures
        self.checkpoint, self.features = checkpoint, features
        self.called = partial(file_name, kind=ending(recipe_for(settings, shape)))
        self.identity = FORM + identity + (collections.to_json() if collections else "")
        if features is not None:
            self.identity += digest(path_of(features.features.name))
        self.frames = Frames(
            group=model.group,
            background=model.background,
            collections=collections,
            symmetry=calibration.symmetry,
        )

    def rows(self, part: Part, first: int, source: str = "") -> pa.Table:
        """Make the table of a part and write its pictures.

        Args:
            part: the images.
            first: number of the first image.
            source: what errors call the source.

        Raises:
            UserError: groups.json is from a run with another number of clusters.
        """
        names = part.names or [""] * len(part.pixels)
        ids = part.ids or range(first, first + len(part.pixels))
        called = map(self.called, ids, names)

        def draw(x: Tensor, out: Output) -> None:
            if self.collections and self.collections.clusters != out.responsibilities.shape[1]:
                raise UserError(f"{FILE}: was made for another number of clusters; move it away.")
            if self.pictures:
                self.draw(x, out, list(islice(called, len(x))), self.pictures)

        told = self.features.of(part, first, source) if self.features else None
        found, misfits = embed_with_misfits(self.model, part.pixels, draw, told)
        found = self.frames.shown(found)
        originals = Originals(shape=self.shape, fit=self.settings.fit, sizes=part.sizes)
        rows = table(found, self.model.group, originals, first)
        order, consistency = self.frames.sureness(found.cluster)
        rows = rows.add_column(2, "consistency", pa.array(consistency, pa.float32()))
        rows = rows.add_column(2, "symmetry", pa.array(order, pa.int32()))
        extra = {
            **measured(part.pixels, self.settings.background_level),
            "confidence": self.calibration.confidence(found.responsibilities, misfits).numpy(),
            "outlier": self.calibration.outlier(found.responsibilities, misfits),
        }
        for name, values in extra.items():
            rows = rows.add_column(2, name, pa.array(values, pa.float32()))
        if self.collections is not None:
            of = self.collections.assign(found.cluster.numpy(), found.z.numpy(), part.names)
            columns = grouped(self.collections, of, part.names)
            for place, (name, values) in enumerate(columns.items(), 2):
                rows = rows.add_column(place, name, values)
        if part.ids is not None:
            rows = rows.set_column(0, "id", pa.array(part.ids, pa.int64()))
        if part.names is not None:
            rows = rows.add_column(1, "file", pa.array(part.names))
        return with_columns(rows, {**levelled(self.parents, part, first), **part.columns})

    def draw(self, x: Tensor, out: Output, names: list[str], folder: Path) -> None:
        """Write canonical and upright images, see `pictures.encoded`.

        Args:
            x: images, (B, C, H, W) from 0 to 1.
            out: what the model says of them.
            names: file name for each image.
            folder: gets the folders canonical and upright.
        """
        back = self.model.group.inverse(self.frames.pose(out))
        upright = warp(x, back, background=self.settings.background_level)
        canonical = self.frames.canonical(out)
        for kind, images in (("canonical", canonical), ("upright", upright)):
            for image, name in zip(to_bytes(images).cpu(), names, strict=True):
                save(image, folder / kind / name)

    def no_rows(self, source: Source) -> pa.Table:
        """Make the table of a shard without images. It has columns but no rows."""
        blank = torch.zeros(1, *self.shape, dtype=torch.uint8)
        names = [""] if source.named else None
        plain = copy(self)
        plain.pictures = plain.features = None
        part = Part(pixels=blank, names=names, end=START, done=1.0)
        return with_columns(plain.rows(part, 0).slice(0, 0), source.columns([]))

    def known(self, snapshot: Snapshot, part: str, shard: Shard | None) -> str:
        """Identity of a table: made from the run, the source and the shard."""
        return self.identity + snapshot.fingerprint(part) + str(shard or "")

    def has_made(
        self,
        source: Source,
        part: str,
        out: Path,
        shard: Shard | None,
        tell: Callable[[float, int], None] | None = None,
    ) -> bool:
        """Whether `out` is already the finished table of this shard. This reads its images.

        Args:
            source: of the images.
            part: all, train or test.
            out: path of the table.
            shard: share of the source; None: all of it.
            tell: as for `Maker.make`, while images are read.
        """
        try:
            with in_utf8(out) as known:
                about = parquet.read_schema(known).metadata or {}
        except (OSError, ArrowInvalid):
            return False
        if about.get(b"mcevae") != self.known(source.snapshot(), part, shard).encode():
            return False
        made_from = about.get(b"mcevae.content")  # older tables do not say
        if made_from is None:
            return True
        found = Contents()
        for batch in self.batches(source, part, shard):
            found.add(batch)
            if tell:
                tell(batch.done, batch.end.images)
        return made_from.decode() == found.digest

    def batches(self, source: Source, part: str, shard: Shard | None) -> Iterator[Part]:
        """The images of a source as the model takes them. Arguments are those of `has_made`."""
        recipe = recipe_for(self.settings, self.shape)
        return ahead(source.parts(recipe, part=part, share=shard))

    def __call__(
        self,
        source: Source,
        part: str,
        out: Path,
        shard: Shard | None = None,
        novelty: Novelty | None = None,
    ) -> Iterator[tuple[float, int, list[Fault]]]:
        """Predict all images of a source. The table is at `out` when the iterator ends.

        Args:
            source: source of the images.
            part: all, train or test, if the source has training and test images.
            out: table to write, .parquet or .csv; of particles also .star or .cs.
            shard: the shard to predict; it may be empty. None: the whole source.
            novelty: counts images that are unlike those of the training. None: nobody asks.

        Yields:
            After each part: the share of the source that is done (0 to 1), the number of images so
            far, and the files of this part that could not be used.

        Raises:
            UserError: no image can be used, the source changed meanwhile, or a file cannot be
                written.
        """
        check_table_path(out, particles=True)
        particles = particle_table(
            source, out, self.model.group, self.shape[1:], self.settings.fit, self.collections
        )
        before = source.snapshot()
        known = self.known(before, part, shard)
        folder = begin_parts(out, known)
        end, paths, faults, contents = START, [], listed_by(shard, source.passed), Contents()
        for batch in self.batches(source, part, shard):
            if len(batch.pixels):
                paths.append(folder / f"{len(paths):06}.part")
                if content_of(known_part(paths[-1])) != content(batch):
                    rows = self.rows(batch, end.images, source.name)
                    write_part(paths[-1], rows, content(batch))
            contents.add(batch)
            end = batch.end
            faults += batch.faults
            if end.images == 0 and shard is None:  # no image of the source can be used
                raise no_image(source.name, batch.faults)
            yield batch.done, end.images, batch.faults
        before.check_unchanged()
        if self.features and source.total(part) is None:
            self.features.features.check_count(end.entries, source.name)
        write_faults(faults, skipped(out))
        tables = map(whole_part, paths) if paths else [self.no_rows(source)]
        tables = novelty.counted(tables) if novelty else tables
        about = {
            "mcevae": known,
            "mcevae.content": contents.digest,
            "mcevae.checkpoint": self.checkpoint,
        }
        if particles is not None:
            particles.write(tables, end.images, out)
        else:
            write_tables((rows.replace_schema_metadata(about) for rows in tables), out)
        for path in paths:  # before the mark, so that a stop leaves what can be gone on with
            path.unlink()
        shutil.rmtree(folder)

    def has_begun(self, source: Source, part: str, out: Path, shard: Shard | None = None) -> bool:
        """Whether an earlier prediction of the same table was stopped and can be continued.

        Arguments are those of `has_made`.
        """
        return is_of(parts_folder(out), self.known(source.snapshot(), part, shard))


def skipped(out: Path) -> Path:
    """Path of the list of files that are missing from a table.

    Beside shards its name begins with _, so that programs that read the folder ignore it.
    """
    hidden = "_" if out.name.startswith("part-") else ""
    return out.with_name(f"{hidden}{out.stem}.skipped.csv")
