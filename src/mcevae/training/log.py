"""Write the results of every epoch to files and to the screen."""

import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import read_text, real_folder, write_text
from mcevae.training.health import Signs, begun
from mcevae.training.phases import Figures
from mcevae.training.position import TERMS, Position

LOG = "metrics.jsonl"


class Log:
    """Writes metrics.jsonl and TensorBoard files, and shows warnings on the screen."""

    def __init__(self, run: Path, accelerator: Accelerator, console: Console, epoch: int) -> None:
        self.path = run / LOG
        self.accelerator = accelerator
        self.console = console
        real_folder(run / "tensorboard")
        self.rows = [row for row in read_log(run) if row["epoch"] < epoch]
        accelerator.init_trackers("tensorboard")

    def epoch(
        self,
        position: Position,
        train: dict[str, float],
        valid: dict[str, float],
        signs: Signs,
        figures: Figures | None = None,
    ) -> None:
        """Record an epoch that has ended, and show new warnings above the progress.

        Args:
            position: how far training has got.
            train: mean of each term over the training images.
            valid: mean of each term over the validation images.
            signs: signs of trouble, from `health.examine`.
            figures: how far training has come, see `phases`.
        """
        common = {"epoch": position.epoch, "seconds": round(position.seconds, 3)}
        for split, terms in (("train", train), ("validation", valid)):
            self.rows.append({**common, "split": split, **terms})
            named = {f"{split}/{name}": value for name, value in terms.items()}
            self.accelerator.log(named, step=position.epoch)
        self.rows[-1] |= {"signs": signs, "figures": figures.to_dict() if figures else {}}
        if self.accelerator.is_main_process:
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))
            for sentence in begun(self.rows, position.epochs):
                self.console.print(f"epoch {position.epoch + 1:3d}  {sentence}", highlight=False)


def check_number(values: dict[str, Any], name: str) -> None:
    """Refuse a value that is no number, or a huge one.

    Raises:
        ValueError: it is one of these.
    """
    if type(values[name]) not in (int, float) or abs(values[name]) > 1e300:
        raise ValueError(f"{name} is {values[name]!r:.20}")


def read_log(run: Path) -> list[dict[str, Any]]:
    """Read a run's metrics.jsonl: one row for each epoch and split, none before the first epoch.

    Raises:
        UserError: the file is damaged.
    """
    path = run / LOG
    try:
        rows = [json.loads(line) for line in read_text(path).splitlines()]
        for row in rows:  # other code needs these entries
            if row["split"] not in ("train", "validation") or not row["epoch"] >= 0:
                raise ValueError(f"split {row['split']}, epoch {row['epoch']}")
            for name in ("epoch", "seconds", *TERMS):
                check_number(row, name)
            for name in row.get("signs", {}):
                check_number(row["signs"], name)
        return rows
    except FileNotFoundError:
        return []
    except DAMAGE as error:
        raise UserError(f"{path}: the log is damaged ({error}); restore it from a copy.") from error
