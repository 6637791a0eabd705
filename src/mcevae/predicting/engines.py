"""Who makes the tables of a prediction: this process, or the workers of a Ray cluster.

Each table is a `Predictor`'s, whole or not there, so that whoever dies and is started again, every
image is in one of them once.
"""

import logging
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.images.readers.frames import Fault
from mcevae.images.sources.registry import open_source
from mcevae.predicting.parts import parts_folder
from mcevae.predicting.predictor import Predictor, skipped
from mcevae.predicting.shards import Shard
from mcevae.runs.collections import Collections
from mcevae.runs.infer import check_table_path
from mcevae.runs.run import TrainedRun


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for, as `mcevae predict` takes it: a table, or a folder of shards."""

    run: Path
    source: str
    out: Path
    canonical: Path | None = None
    part: str = "all"
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Made:
    """A table that is there.

    Attributes:
        table: where.
        rows: of it.
        faults: what could not be used.
        before: whether an earlier command had made it.
    """

    table: Path
    rows: int
    faults: list[Fault] = field(default_factory=list)
    before: bool = False

    @property
    def skipped(self) -> Path:
        """Where its faults are named."""
        return skipped(self.table)

    def in_words(self) -> str:
        """What came of it, for people."""
        return f"{self.rows} rows in {self.table}{', as before' if self.before else ''}"


class Maker:
    """Makes the tables of an order with an opened run."""

    def __init__(self, order: Order, run: TrainedRun) -> None:
        """Get ready.

        Raises:
            UserError: the run has no calibration, or its groups are damaged.
        """
        self.order = order
        self.source = open_source(order.source, run.settings.data)
        self.predictor = Predictor(
            run.model,
            run.settings.data,
            run.shape,
            run.calibration,
            identity=run.identity,
            collections=Collections.kept(run.folder),
            pictures=order.canonical,
        )

    def make(self, shard: Shard | None, tell: Callable[[float, int], None] | None = None) -> Made:
        """Make a table, or go on with it, or find that it is made.

        Args:
            shard: share of the source; None: all of it.
            tell: called with the share that is done and images so far.

        Raises:
            UserError: the table is there and of something else, or it cannot be made.
        """
        order, out = self.order, shard.table(self.order.out) if shard else self.order.out
        asked = self.source, order.part, out, shard
        if shard:
            shard.check(order.out, overwrite=order.overwrite)
        if out.exists() and not order.overwrite:
            if shard and self.predictor.has_made(*asked):
                shutil.rmtree(parts_folder(out), ignore_errors=True)
                return Made(table=out, rows=parquet.read_metadata(out).num_rows, before=True)
            if not self.predictor.has_begun(*asked):
                raise exists(out)
        faults, images = [], 0
        for done, images, found in self.predictor(*asked):
            faults += found
            if tell:
                tell(done, images)
        return Made(table=out, rows=images, faults=faults)


def exists(out: Path) -> UserError:
    """What to say of a table that is there already."""
    return UserError(f"{out}: already exists; choose another --out, or add --overwrite.")


def make_here(
    order: Order,
    shard: Shard | None = None,
    tell: Callable[[float, int], None] | None = None,
    run: TrainedRun | None = None,
) -> Made:
    """Make a table in this process.

    Args:
        order: what is asked for.
        shard: as for `Maker.make`.
        tell: as for `Maker.make`.
        run: of the order, where it is opened already.

    Raises:
        UserError: as `Maker.make`, or the run is missing or unreadable.
    """
    if shard is None:  # before any work is done
        check_table_path(order.out)
        if order.out.exists() and not (order.overwrite or parts_folder(order.out).exists()):
            raise exists(order.out)
    return Maker(order, run or TrainedRun.open(order.run)).make(shard, tell)


def make_on_ray(order: Order, shards: int) -> Iterator[Made]:
    """Make all shards on a Ray cluster, or on this machine if there is none.

    Ray Data hands the shards to workers, each with the model in its memory, and hands those of a
    worker that dies to another, which goes on after the last whole part.

    Args:
        order: whose paths all machines see.
        shards: how many; a few for each worker even out their speeds.

    Yields:
        Each table as it is made.

    Raises:
        UserError: as `Maker.make`, or Ray is not installed.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.data  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError("ray is not installed; pip install 'mcevae[ray]'.") from None
    Shard(0, shards).check(order.out, overwrite=order.overwrite)
    Maker(
        order, TrainedRun.open(order.run, device="cpu")
    )  # what is wrong with the run is said before Ray is started
    if not ray.is_initialized():
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    workers = min(shards, max(1, int(ray.cluster_resources().get(unit(), 1))))
    # Items that are in memory already: reading them would wait for a core, which workers hold.
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
    """What Ray counts workers by."""
    return "GPU" if torch.cuda.is_available() else "CPU"


class RayMaker:
    """A worker of `make_on_ray`."""

    def __init__(self, order: Order, shards: int) -> None:
        torch.set_num_threads(1)  # there is a worker for every core
        self.maker, self.shards = Maker(order, TrainedRun.open(order.run)), shards

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the shards of these numbers."""
        return {"made": [self.maker.make(Shard(int(i), self.shards)) for i in batch["id"]]}
