"""Where a training stands, and the mean terms of its epoch."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mcevae.base.errors import TrainingError
from mcevae.models.contract import Terms
from mcevae.runs.checkpoint import run_file

TERMS = tuple(f.name for f in dataclasses.fields(Terms))


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

    def turn_to_next_epoch(self) -> None:
        """Stand at the beginning of the next epoch."""
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0] * len(TERMS)


def stacked(terms: Terms) -> Tensor:
    """The terms as one tensor without gradients, in the order of `TERMS`."""
    return torch.stack([getattr(terms, name).detach() for name in TERMS])


def check_finite(means: dict[str, float], position: Position, run: Path) -> None:
    """Stop a training that went astray, saying what to try.

    Args:
        means: of the terms.
        position: where training stands.
        run: folder of the run.

    Raises:
        TrainingError: the loss is NaN or infinite.
    """
    if math.isfinite(means["loss"]):
        return
    parts = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    raise TrainingError(
        f"the loss is not finite at epoch {position.epoch + 1}, step {position.step} ({parts}); "
        f"{run_file(run, 'last')} is from before. Train anew with a smaller --lr (a "
        "third), --precision no or a smaller --alpha, and check the images for odd values."
    )
