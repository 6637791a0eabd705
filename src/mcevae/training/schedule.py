"""How long to train on so many images, in what batches, and how fast on the way."""

import math

from mcevae.models.config import Config

STEPS = 750
"""Steps that settings with `auto` make at least (`benchmarks/own_images.py`: 120 against 750)."""

FEW = 500
"""Steps below which people are told."""

EPOCHS = 24
"""Passes over many images."""

BATCH = 200
"""Images of a step, of many."""

BATCHES = 20
"""Batches that an epoch of fewer images is made of, unless they get as small as the next."""

SMALLEST_BATCH = 50
"""Images of a step, at least; batch norm and gradients get noisy below."""


def planned(config: Config, images: int, ranks: int = 1) -> Config:
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
    return config.changed(train={"batch_size": batch, "epochs": epochs})


def steps_per_epoch(batch: int, images: int, ranks: int = 1) -> int:
    """Whole batches of so many images, of which there is one at least."""
    return max(1, images // (batch * ranks))


def advice(config: Config, images: int) -> str | None:
    """What to give instead where settings make too few steps of so many images, else None."""
    train = planned(config, images).train
    epochs, batch = int(train.epochs), int(train.batch_size)
    steps = epochs * steps_per_epoch(batch, images)
    if config.model.kind != "hypotheses" or train.minutes is not None or steps >= FEW:
        return None
    return (
        f"{images} images make {steps} steps in {epochs} epochs of batches of {batch}, which is "
        "few; clusters are likely to be better with --epochs auto --batch-size auto."
    )


def one_cycle(done: float) -> float:
    """Share of the highest learning rate: cosine up over the first fifth, then cosine to zero."""
    rising = 0.2
    if done < rising:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * done / rising)) / 2
    return (1 + math.cos(math.pi * min(1.0, (done - rising) / (1 - rising)))) / 2
