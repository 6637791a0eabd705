"""Make the tables of a prediction, in this process or on the workers of a Ray cluster.

A `Predictor` makes each table. A table is complete or does not exist. So every image is in exactly
one table, even if a process dies and is started again.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from pyarrow import parquet

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import UserError
from mcevae.base.names import in_utf8
from mcevae.images.features import Features
from mcevae.images.readers.frames import Fault
from mcevae.images.sources.particles import STAR
from mcevae.images.sources.registry import open_particles, open_source
from mcevae.predicting.grouped import for_source, is_own
from mcevae.predicting.novelty import Novelty
from mcevae.predicting.parts import parts_folder
from mcevae.predicting.predictor import Described, Predictor, skipped
from mcevae.predicting.shards import Shard, listed_by
from mcevae.runs.collections import Collections
from mcevae.runs.infer import check_table_path
from mcevae.runs.parents import parents_of
from mcevae.runs.run import TrainedRun


@dataclass(frozen=True, kw_only=True)
class Order:
    """The arguments of `mcevae predict`: what to predict, and where to write it."""

    run: Path
    source: str
    out: Path
    canonical: Path | None = None
    part: str = "all"
    overwrite: bool = False
    checkpoint: str = "best"
    features: str | None = None
    invert: bool = False
    """Whether the contrast of the images is the reverse of the training's."""
    cutting: CuttingConfig = field(default_factory=CuttingConfig)
    """Which parts of the source's files are the images."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A finished table.

    Attributes:
        table: path of the table.
        rows: number of rows.
        checkpoint: which checkpoint made it, and of which epoch, in words.
        faults: files that could not be used, and why.
        notes: remarks on files that were read.
        reckoned: how many files were read, in one sentence; "" if all were, or it is a shard.
        before: whether an earlier command made the table.
        unlike: sentences on images that are unlike those of the training.
        strange: whether nearly all images are unlike those of the training.
    """

    table: Path
    rows: int
    checkpoint: str
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reckoned: str = ""
    before: bool = False
    unlike: list[str] = field(default_factory=list)
    strange: bool = False

    @property
    def skipped(self) -> Path:
        """Path of the list of files that could not be used."""
        return skipped(self.table)

    def in_words(self) -> str:
        """Describe the table in one line."""
        before = " (made earlier)" if self.before else ""
        return f"{self.rows} rows in {self.table}{before}, by the {self.checkpoint}"


class Maker:
    """Makes the tables of an order with a run that is open."""

    def __init__(self, order: Order, run: TrainedRun) -> None:
        """Open the source and prepare the prediction.

        Raises:
            UserError: the source cannot be read, the run has no calibration, its groups.json is
                damaged, or features do not fit.
        """
        self.order, self.run, self.checkpoint = order, run, run.in_words
        data = run.settings.data
        data = replace(
            data, invert=data.invert != order.invert, features=None, **order.cutting.cutting()
        )
        opening = open_particles if order.out.suffix == STAR else open_source
        self.source = opening(order.source, data)
        if run.settings.data.cuts and not data.cuts:
            self.source.reading.of(order.source).note(
                "is read in whole images, but the run was trained on crops, which --boxes and "
                "--objects cut"
            )
        self.predictor = Predictor(
            run.model,
            data,
            run.shape,
            run.calibration,
            identity=run.identity + ("inverted" if order.invert else ""),
            checkpoint=run.in_words,
            collections=for_source(Collections.kept(run.folder), order.source, run.settings.data),
            pictures=order.canonical,
            features=self.features(run),
            parents=parents_of(run.folder) if is_own(order.source, run.settings.data) else (),
        )

    def features(self, run: TrainedRun) -> Described | None:
        """Open the features of the order, and check what can be checked before any work.

        Raises:
            UserError: they do not fit the run or the source.
        """
        order = self.order
        if order.features is None:
            return None
        features, evidence = Features.read(order.features), run.evidence
        features.check_columns(evidence.columns)
        total = self.source.total(order.part)
        if total is not None:
            features.check_count(total, order.source)
        return Described(features=features, evidence=evidence)

    def make(self, shard: Shard | None, tell: Callable[[float, int], None] | None = None) -> Made:
        """Make a table. Continue it if it was begun; do nothing if it is finished.

        Args:
            shard: the shard to make; None: the whole source.
            tell: called with the share that is done (0 to 1) and the number of images so far.

        Raises:
            UserError: another table is already there, or the table cannot be made.
        """
        order, out = self.order, shard.table(self.order.out) if shard else self.order.out
        asked = self.source, order.part, out, shard
        if shard and order.features is not None and not self.source.counted:
            raise UserError(
                f"{order.features}: rows of features cannot be found for shards of files; leave "
                "out --shard and --ray, and give a path of a table as --out."
            )
        notes = []
        if shard and self.predictor.parents and not self.source.counted:
            self.predictor.parents = ()
            notes = ["Shards of files have no columns of the runs before; leave out --shard."]
        if shard:
            shard.check(order.out, overwrite=order.overwrite)
        if out.exists() and not order.overwrite:
            if shard and self.predictor.has_made(*asked, tell):
                shutil.rmtree(parts_folder(out), ignore_errors=True)
                with in_utf8(out) as known:
                    rows = parquet.read_metadata(known).num_rows
                return Made(table=out, rows=rows, checkpoint=self.checkpoint, before=True)
            if not self.predictor.has_begun(*asked):
                raise exists(out)
        faults, images = listed_by(shard, self.source.passed), 0
        novelty = Novelty.of(self.run)
        for done, images, found in self.predictor(*asked, novelty):
            faults += found
            if tell:
                tell(done, images)
        return Made(
            table=out,
            rows=images,
            checkpoint=self.checkpoint,
            faults=faults,
            notes=[*self.source.notes, *notes],
            reckoned="" if shard else self.source.in_words(faults),
            unlike=novelty.in_words(),
            strange=novelty.nearly_all,
        )


def exists(out: Path) -> UserError:
    """The error for a table that already exists."""
    return UserError(f"{out}: already exists; choose another --out, or add --overwrite.")


def make_here(
    order: Order,
    shard: Shard | None = None,
    tell: Callable[[float, int], None] | None = None,
    run: TrainedRun | None = None,
) -> Made:
    """Make a table in this process.

    Args:
        order: what to predict.
        shard: as for `Maker.make`.
        tell: as for `Maker.make`.
        run: the run of the order, if it is already open.

    Raises:
        UserError: as for `Maker.make`, or the run is missing or cannot be read.
    """
    if shard is None:  # before any work is done
        check_table_path(order.out, particles=True)
        if order.out.exists() and not (order.overwrite or parts_folder(order.out).exists()):
            raise exists(order.out)
    return Maker(order, run or opened(order)).make(shard, tell)


def opened(order: Order, device: str | None = None) -> TrainedRun:
    """Open the run of an order, with the checkpoint that it asks for.

    Args:
        order: what to predict.
        device: device for the model; None: a GPU if there is one.

    Raises:
        UserError: the run is missing or cannot be read.
    """
    return TrainedRun.open(order.run, order.checkpoint, device)


def make_on_ray(order: Order, shards: int) -> Iterator[Made]:
    """Make all shards on a Ray cluster, or on this machine if there is no cluster.

    Ray Data gives the shards to workers. Each worker has the model in memory. If a worker dies,
    another one takes over its shard and continues after the last finished part.

    Args:
        order: what to predict. All machines must see its paths.
        shards: number of shards. A few for each worker balance fast and slow workers.

    Yields:
        Each table when it is finished.

    Raises:
        UserError: as for `Maker.make`, or Ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("ray is not installed; pip install 'mcevae[ray]'.") from None
    Shard(0, shards).check(order.out, overwrite=order.overwrite)
    Maker(order, opened(order, "cpu"))  # shows errors of the run before Ray is started
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    workers = min(shards, max(1, int(ray.cluster_resources().get(unit(), 1))))
    # Items in memory: to read items, Ray would wait for a core, but workers hold all of them.
    numbers = ray.data.from_items([{"id": i} for i in range(shards)], override_num_blocks=shards)
    made = numbers.map_batches(
        RayMaker,
        fn_constructor_args=(order, shards),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_gpus=1 if unit() == "GPU" else 0,
    )
    try:
        for row in made.iter_rows():
            yield row["made"]
    except RayError as error:
        told = re.search(r"UserError: (.+)", str(error))
        if told is None:
            raise
        raise UserError(told[1]) from error


def unit() -> str:
    """The resource that Ray counts workers by."""
    return "GPU" if torch.cuda.is_available() else "CPU"


class RayMaker:
    """A Ray worker, used by `make_on_ray`."""

    def __init__(self, order: Order, shards: int) -> None:
        torch.set_num_threads(1)  # every core has its own worker
        self.maker, self.shards = Maker(order, opened(order)), shards

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the shards with these numbers."""
        return {"made": [self.maker.make(Shard(int(i), self.shards)) for i in batch["id"]]}
