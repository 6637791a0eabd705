"""How long to train on so many images, in what batches, and how fast on the way."""

import math
from pathlib import Path
from typing import Any

from mcevae.base.config import PlannedTrain
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.registry import spec_of
from mcevae.training.position import Position

STEPS = 750
"""Steps that settings with `auto` make at least (`benchmarks/own_images.py`: 120 against 750)."""

FEW = 500
"""Steps below which people are told."""

EPOCHS = PlannedTrain.epochs
"""Passes over many images."""

BATCH = PlannedTrain.batch_size
"""Images of a step, of many."""

BATCHES = 20
"""Batches that an epoch of fewer images is made of, unless they get as small as the next."""

SMALLEST_BATCH = 50
"""Images of a step, at least; batch norm and gradients get noisy below."""

OVERHEAD = 2.0
"""Seconds of all the work of a teacher over those of its start."""

LEAST_EPOCHS = 3
"""For poses, for clusters, and for both."""


def planned(config: Config, images: int, ranks: int = 1) -> PlannedConfig:
    """The settings with numbers in place of `auto`: few images are shown more often.

    Args:
        config: settings as they are asked for.
        images: that are learned from.
        ranks: processes that share every step.
    """
    batch, epochs = config.train.batch_size, config.train.epochs
    if batch == "auto":
        batch = min(BATCH, max(SMALLEST_BATCH, images // BATCHES))
    if epochs == "auto":
        epochs = max(EPOCHS, math.ceil(STEPS / steps_per_epoch(batch, images, ranks)))
    train: dict[str, Any] = vars(config.train) | {"batch_size": batch, "epochs": epochs}
    settings: dict[str, Any] = vars(config) | {"train": PlannedTrain(**train)}
    return PlannedConfig(**settings)


def as_recorded(config: Config, run: Path) -> Config:
    """The settings with what a run has chosen already in place of `auto`.

    Args:
        config: settings as they are asked for.
        run: folder of a run that has begun.

    Raises:
        UserError: its settings cannot be read.
    """
    asked = config.train
    left = [name for name in ("epochs", "batch_size") if getattr(asked, name) == "auto"]
    if not left:
        return config
    recorded = Config.read(run / "settings.toml").train
    return config.changed(train={name: getattr(recorded, name) for name in left})


def steps_per_epoch(batch: int, images: int, ranks: int = 1) -> int:
    """Whole batches of so many images, of which there is one at least."""
    return max(1, images // (batch * ranks))


def advice(config: Config, images: int) -> str | None:
    """What to give instead where settings make too few steps of so many images, else None."""
    train = planned(config, images).train
    steps = train.epochs * steps_per_epoch(train.batch_size, images)
    spec = spec_of(config.model.kind)
    if not spec.few_steps_hurt or train.minutes is not None or steps >= FEW:
        return None
    return (
        f"{images} images make {steps} steps in {train.epochs} epochs of batches of "
        f"{train.batch_size}, which is few; clusters are likely to be better with --epochs auto "
        "--batch-size auto."
    )


def learning_rate(train: PlannedTrain, position: Position, steps: int, warmup: int) -> float:
    """Learning rate for the next step, a function of the share of the run that is done.

    With a warm-up there are two cycles, so that the poses are settled when it ends.

    Args:
        train: settings of the run.
        position: where training stands.
        steps: of an epoch.
        warmup: epochs of the warm-up; 0: there is none.
    """
    if train.schedule != "one-cycle":
        return train.lr
    done = position.epoch + position.step / steps
    first = warmup or position.epochs
    second = max(position.epochs - first, 1)
    return train.lr * one_cycle(done / first if done < first else (done - first) / second)


def one_cycle(done: float) -> float:
    """Share of the highest learning rate: cosine up over the first fifth, then cosine to zero."""
    rising = 0.2
    if done < rising:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rising)) / 2
    return (1 + math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))) / 2


def foreseen_epochs(train: PlannedTrain, position: Position) -> int:
    """Epochs of the whole run, as far as the time of those that are done tells."""
    if train.minutes is None or position.epoch == 0:
        return position.epochs
    fitting = int(60 * train.minutes * position.epoch / position.seconds)
    return min(position.epochs, max(position.epoch + 1, fitting))


def epochs_that_fit(
    minutes: float, most: int, epoch_seconds: float, start_seconds: float
) -> tuple[int, str]:
    """How many epochs of a taught model fit into a budget, and what to say of it.

    Half of its stages would be worth little: without its end a run has no clusters, or rough ones.

    Args:
        minutes: the budget.
        most: epochs that are asked for.
        epoch_seconds: that an epoch takes.
        start_seconds: that the first targets took.
    """
    left = 60 * minutes - OVERHEAD * start_seconds
    epochs = min(max(LEAST_EPOCHS, int(left / epoch_seconds)), most)
    if epochs * epoch_seconds <= left:
        return epochs, f"{epochs} epochs fit into {minutes:g} minutes"
    return epochs, (
        f"{minutes:g} minutes do not hold {epochs} epochs of {epoch_seconds:.0f} s; "
        "give more, or fewer images (--limit, --subset)"
    )
