"""Where a training stands, and what is written of every epoch."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import write_text
from mcevae.models.objective import Terms
from mcevae.training.health import Signs, begun

TERMS = tuple(f.name for f in dataclasses.fields(Terms))
LOG = "metrics.jsonl"


@dataclass(kw_only=True)
class Position:
    """Where training stands; with the tensors, all that a resumed run needs."""

    epochs: int  # of the whole run: the settings', or fewer if a time budget holds no more
    warmup: int = 0  # epochs of the warm-up of a taught model, once it is over
    start_seconds: float = 0.0  # that a taught model's first targets took
    epoch: int = 0
    step: int = 0  # within the epoch
    sums: list[float] = field(default_factory=lambda: [0.0] * len(TERMS))  # over those steps
    seconds: float = 0.0  # of training, validation aside
    best: float = math.inf  # lowest negative ELBO on validation images so far
    best_epoch: int = -1
    window: int = 0  # of a source that is larger than memory

    def means(self) -> dict[str, float]:
        """Mean of each term over the epoch's steps so far."""
        return {name: s / max(self.step, 1) for name, s in zip(TERMS, self.sums, strict=True)}


class Log:
    """metrics.jsonl, TensorBoard, and one line an epoch on the screen."""

    def __init__(self, run: Path, accelerator: Accelerator, console: Console, epoch: int) -> None:
        self.path = run / LOG
        self.accelerator = accelerator
        self.console = console
        self.rows = [row for row in read_log(run) if row["epoch"] < epoch]
        accelerator.init_trackers("tensorboard")

    def epoch(
        self, position: Position, train: dict[str, float], valid: dict[str, float], signs: Signs
    ) -> None:
        """Record an epoch that has ended, and say what has begun to go wrong."""
        common = {"epoch": position.epoch, "seconds": round(position.seconds, 3)}
        for split, terms in (("train", train), ("validation", valid)):
            self.rows.append({**common, "split": split, **terms})
            named = {f"{split}/{name}": value for name, value in terms.items()}
            self.accelerator.log(named, step=position.epoch)
        self.rows[-1]["signs"] = signs
        if self.accelerator.is_main_process:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
            self.console.print(
                f"epoch {position.epoch + 1:3d}  loss {train['loss']:8.2f}  validation: "
                f"-ELBO {valid['negative_elbo']:8.2f}  reconstruction "
                f"{valid['reconstruction']:8.2f}  {position.seconds:6.0f} s",
                highlight=False,
                soft_wrap=True,
            )
            for sentence in begun(self.rows):
                self.console.print(f"epoch {position.epoch + 1:3d}  {sentence}", highlight=False)


def read_log(run: Path) -> list[dict[str, Any]]:
    """Rows of a run's metrics.jsonl, one per epoch and split; empty before the first epoch."""
    path = run / LOG
    if not path.exists():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        for row in rows:  # that these are there is counted on
            if row["split"] not in ("train", "validation") or not row["epoch"] >= 0:
                raise ValueError(f"split {row['split']}, epoch {row['epoch']}")
            for name in ("epoch", "seconds", *TERMS):
                if type(row[name]) not in (int, float) or abs(row[name]) > 1e300:
                    raise ValueError(f"{name} of epoch {row['epoch']} is {row[name]!r:.20}")
        return rows
    except DAMAGE as error:
        raise UserError(f"{path}: is not a readable log ({error}); bring back a copy.") from error
