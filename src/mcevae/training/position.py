"""How far training has got, and the mean terms of the loss in this epoch."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mcevae.base.errors import TrainingError
from mcevae.models.contract import Terms
from mcevae.runs.checkpoint import run_file

NEWEST = 0.3
"""Weight of the latest epoch in the seconds that an epoch takes."""
TERMS = tuple(f.name for f in dataclasses.fields(Terms))


@dataclass(kw_only=True)
class Position:
    """How far training has got. With the tensors, this is all that a resumed run needs."""

    epochs: int  # of the whole run: as in the settings, or fewer if the time is too short
    warmup: int = 0  # epochs that the warm-up took; 0 until it is over
    start_seconds: float = 0.0  # time that the first targets took
    epoch: int = 0
    step: int = 0  # steps done in this epoch
    sums: list[float] = field(default_factory=lambda: [0.0] * len(TERMS))  # over those steps
    seconds: float = 0.0  # of the whole training so far
    epoch_seconds: float = 0.0  # of an epoch with validation and saving; 0: not known yet
    closing_seconds: float = 0.0  # what validation and saving take of it
    best: float = math.inf  # of the best epoch so far, on validation images: see `Teacher.judge`
    best_epoch: int = -1
    best_grouped: bool = False  # whether there were clusters in the best epoch
    window: int = 0  # number of the window, if the source is larger than memory

    def means(self) -> dict[str, float]:
        """Return the mean of each term over the steps of this epoch so far."""
        return {name: s / max(self.step, 1) for name, s in zip(TERMS, self.sums, strict=True)}

    def note(self, score: float, *, grouped: bool) -> bool:
        """Make this epoch the best one if it is better than all before; return whether it is.

        An epoch with clusters is better than any without: a network that has no clusters yet, and
        draws almost nothing, can have the lowest negative ELBO of the run.

        Args:
            score: of this epoch, on validation images; the lowest is the best.
            grouped: whether there are clusters in this epoch, and the warm-up is over.
        """
        if (not grouped, score) >= (not self.best_grouped, self.best):
            return False
        self.best, self.best_epoch, self.best_grouped = score, self.epoch, grouped
        return True

    def lap(self, began: float | None, closing: float) -> None:
        """Note how long an epoch took that ends now. Epochs that were long ago count less.

        Args:
            began: seconds when its first step began; None: an earlier process began it.
            closing: seconds when its last step was done.
        """
        self.closing_seconds = self.seconds - closing
        if began is not None:
            took, known = self.seconds - began, self.epoch_seconds
            self.epoch_seconds = known + NEWEST * (took - known) if known else took

    def turn_to_next_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0] * len(TERMS)


def stacked(terms: Terms) -> Tensor:
    """Return the terms as one tensor without gradients, in the order of `TERMS`."""
    return torch.stack([getattr(terms, name).detach() for name in TERMS])


def check_finite(means: dict[str, float], position: Position, run: Path) -> None:
    """Stop training if the loss is not finite, and say what to try.

    Args:
        means: mean of each term.
        position: how far training has got.
        run: folder of the run.

    Raises:
        TrainingError: the loss is NaN or infinite.
    """
    if math.isfinite(means["loss"]):
        return
    parts = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    raise TrainingError(
        f"the loss is not finite at epoch {position.epoch + 1}, step {position.step} ({parts}); "
        f"{run_file(run, 'last')} was saved before. Train again with a third of the --lr, "
        "--precision no or a smaller --alpha, and check the images for odd values."
    )
