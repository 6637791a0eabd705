"""Choose the number of epochs, the batch size, and the learning rate of each step."""

import math
from pathlib import Path
from typing import Any

from mcevae.base.config import PlannedTrain
from mcevae.base.machine import fastest_precision
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.registry import spec_of
from mcevae.training.position import Position

STEPS = 750
"""Smallest number of steps with `auto` (`benchmarks/own_images.py` compares 120 and 750)."""

FEW = 500
"""We warn people if a training has fewer steps than this."""

EPOCHS = PlannedTrain.epochs
"""Number of epochs if there are many images."""

BATCH = PlannedTrain.batch_size
"""Batch size if there are many images."""

BATCHES = 20
"""Batches in an epoch if there are fewer images. Batches do not get below `SMALLEST_BATCH`."""

SMALLEST_BATCH = 50
"""Smallest batch size with `auto`; with fewer images batch norm and gradients get noisy."""

CHOSEN = ("epochs", "batch_size", "precision")
"""Settings that a run chooses when it begins, if they are `auto`."""

OVERHEAD = 2.0
"""A teacher needs this many times as long in all as for its first targets."""

SLACK = 0.03
"""A plan is changed if the number of epochs changes by more than this share."""

LEAST_EPOCHS = 3
"""One epoch for poses, one for clusters, and one for both."""

LEAST_STEPS = 150
"""With fewer steps than this a network sorts no better than the graph that it learns from: on 7,000
digits, where the graph has 0.86, it has 0.83 after 105 steps, 0.86 after 140, 0.89 after 210."""


def planned(config: Config, images: int, ranks: int = 1) -> PlannedConfig:
    """Replace `auto` in the settings: fewer images get more epochs, and the precision is the
    fastest one of this machine.

    Args:
        config: settings that the user asked for.
        images: number of training images.
        ranks: number of processes that share every step.
    """
    asked = config.train
    batch, epochs, precision = asked.batch_size, asked.epochs, asked.precision
    if batch == "auto":
        batch = min(BATCH, max(SMALLEST_BATCH, images // BATCHES))
    if epochs == "auto":
        epochs = max(EPOCHS, math.ceil(STEPS / steps_per_epoch(batch, images, ranks)))
    if precision == "auto":
        precision = fastest_precision()
    chosen = {"batch_size": batch, "epochs": epochs, "precision": precision}
    train: dict[str, Any] = vars(asked) | chosen
    settings: dict[str, Any] = vars(config) | {"train": PlannedTrain(**train)}
    return PlannedConfig(**settings)


def as_recorded(config: Config, run: Path) -> Config:
    """Replace `auto` in the settings by what the run chose when it began.

    Args:
        config: settings that the user asked for.
        run: folder of a run that has begun.

    Raises:
        UserError: the settings of the run cannot be read.
    """
    asked = config.train
    left = [name for name in CHOSEN if getattr(asked, name) == "auto"]
    if not left:
        return config
    recorded = Config.read(run / "settings.toml").train
    return config.changed(train={name: getattr(recorded, name) for name in left})


def steps_per_epoch(batch: int, images: int, ranks: int = 1) -> int:
    """Return how many whole batches the images make; at least 1."""
    return max(1, images // (batch * ranks))


def advice(config: Config, images: int) -> str | None:
    """Return advice if the settings make too few steps with this number of images, else None."""
    train = planned(config, images).train
    steps = train.epochs * steps_per_epoch(train.batch_size, images)
    spec = spec_of(config.model.kind)
    if not spec.few_steps_hurt or train.minutes is not None or steps >= FEW:
        return None
    return (
        f"{images} images make {steps} steps in {train.epochs} epochs of batches of "
        f"{train.batch_size}. That is few. Clusters will probably be better with --epochs auto "
        "--batch-size auto."
    )


def learning_rate(train: PlannedTrain, position: Position, steps: int, warmup: int) -> float:
    """Return the learning rate for the next step; it depends on how much of the run is done.

    With a warm-up there are two cycles, so that the poses have settled when the warm-up ends.

    Args:
        train: settings of the run.
        position: how far training has got.
        steps: number of steps in an epoch.
        warmup: number of epochs of the warm-up; 0: no warm-up.
    """
    if train.schedule != "one-cycle":
        return train.lr
    done = position.epoch + position.step / steps
    first = warmup or position.epochs
    second = max(position.epochs - first, 1)
    return train.lr * one_cycle(done / first if done < first else (done - first) / second)


def one_cycle(done: float) -> float:
    """Return the share of the highest rate: a cosine up in the first fifth, then down to zero."""
    rising = 0.2
    if done < rising:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rising)) / 2
    return (1 + math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))) / 2


def foreseen_epochs(train: PlannedTrain, position: Position) -> int:
    """Estimate the number of epochs of the whole run from the time that past epochs took."""
    if train.minutes is None or position.epoch == 0:
        return position.epochs
    fitting = int(60 * train.minutes * position.epoch / position.seconds)
    return min(position.epochs, max(position.epoch + 1, fitting))


def epochs_left(position: Position, minutes: float, most: int, *, warm: bool) -> int:
    """How many epochs of the whole run fit into a budget, when an epoch has just ended.

    Args:
        position: how far training has got, and what an epoch takes.
        minutes: the budget.
        most: number of epochs that the user asked for.
        warm: whether the warm-up is over, so that a teacher's longest work is done.
    """
    later = 0.0 if warm else (OVERHEAD - 1) * position.start_seconds
    left = max(0.0, 60 * minutes - position.seconds - later)
    least = position.epoch + (not warm)
    return min(most, max(least, LEAST_EPOCHS, position.epoch + int(left / position.epoch_seconds)))


def least_epochs(train: PlannedTrain, steps: int) -> int:
    """The fewest epochs after which a network is better than the graph that it learns from.

    Args:
        train: settings of the run. Nobody is refused who asks for fewer epochs.
        steps: number of steps in an epoch.
    """
    return min(train.epochs, max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / steps)))


def seconds_for(
    epochs: int, epoch_seconds: float, start_seconds: float, shown_seconds: float = 0.0
) -> float:
    """How long so many epochs take, in seconds, with all stages of a training.

    Args:
        epochs: their number.
        epoch_seconds: seconds that an epoch takes.
        start_seconds: seconds that the first targets took.
        shown_seconds: seconds that the first answer took, after them.
    """
    return OVERHEAD * start_seconds + shown_seconds + epochs * epoch_seconds


def in_minutes(seconds: float) -> str:
    """Seconds as minutes to give with --minutes: rounded up, to a half if they are few."""
    halves = max(1, math.ceil(seconds / 30))
    return f"{halves / 2:g}" if halves < 10 else str(math.ceil(seconds / 60))
