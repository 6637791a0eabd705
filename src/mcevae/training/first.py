"""The answer of preset `quick` within a training: clusters and poses from the invariant graph.

A long training shows it first. It is then a run in the folder `FIRST` of the run, so that all
commands take it. It is made from a few thousand images, unless the start of the training has
compared all of them anyway, and shown of a few thousand: it must cost little beside the training
that goes on. A training that has no time to become better than the graph ends with it.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mcevae.base.files import real_folder, write_text
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.contract import Stopped
from mcevae.runs.checkpoint import REPORT, WHICH, run_file
from mcevae.training.bar import Bar
from mcevae.training.log import LOG
from mcevae.training.phases import GROUPS, titled
from mcevae.training.schedule import LEAST_STEPS
from mcevae.training.trainer import Trainer
from mcevae.training.untrained import filled, save

FIRST = "first-answer"
"""Folder of the first answer, in that of the run."""
LEAST_IMAGES, LEAST_MINUTES = 1000, 2.0
"""With fewer images, or a shorter budget, the training itself ends soon enough."""
COMPARED = 2500
"""Number of training images that are compared for it alone."""
SHOWN, SCORED = 2500, 500
"""Training images, and images of each other split, that its page shows."""

First = Callable[[Path, Splits, int], str]
"""Shows a first answer: takes its folder, the images to show, and of how many images they are;
returns a sentence about it."""


def first_folder(run: Path) -> Path:
    """The folder of the first answer of a run, which may be missing.

    Raises:
        UserError: it is a link or no folder; see `real_folder`.
    """
    return real_folder(run / FIRST)


def has_first(run: Path) -> bool:
    """Return whether a run has a first answer; errors are those of `first_folder`."""
    return first_folder(run).is_dir()


def end_first_answer(run: Path) -> None:
    """Remove the first answer of a run, because there is a better one.

    A link, a pipe or a file in its place stays: `shutil.rmtree` opens a pipe, and waits for ever.
    """
    folder = run / FIRST
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, ignore_errors=True)


def quickly(config: Config) -> Config:
    """The settings of preset `quick` for the same images, poses and number of clusters."""
    start, model = config.start, config.model
    by = "euclidean" if start.grouping == "euclidean" else "tangent"
    quick = PRESETS["quick"]().changed(
        model={"group": model.group, "mirror": model.mirror, "clusters": model.clusters},
        start={"neighbours": start.neighbours, "subset": start.subset, "grouping": by},
        train={"seed": config.train.seed},
    )
    return replace(quick, data=config.data, support=config.support)


def wanted(trainer: Trainer) -> bool:
    """Return whether a training has a first answer, and is long enough for it to be worth it."""
    minutes = trainer.config.train.minutes
    return (
        trainer.teacher.staged
        and trainer.inner.group.polar
        and len(trainer.learned) >= LEAST_IMAGES
        and (minutes is None or minutes >= LEAST_MINUTES)
    )


def give_first_answer(trainer: Trainer, bar: Bar, show: First | None) -> None:
    """Write the first answer of a training that has just made its first targets, and show it.

    Only rank 0 does it. If somebody asks to stop meanwhile, there is none.

    Args:
        trainer: the training.
        bar: shows the progress.
        show: shows the answer. None: nobody wants one.
    """
    if show is None or not trainer.ranks.first or not wanted(trainer):
        return
    folder, data, config = first_folder(trainer.run), trainer.data, quickly(trainer.config)
    learned = own_images(trainer)
    if trainer.teacher.found is None:
        learned = learned.subset(slice(COMPARED))
        config = config.changed(start={"restarts": 1})
    if not write_answer(trainer, bar, config, replace(data, train=learned), folder):
        return
    bar.early = True
    total = sum(len(part) for part in (data.train, data.validation, data.test))
    bar.say(f"{titled(GROUPS, early=True)}: {show(folder, shown_of(data), total)}")


def hurried(trainer: Trainer) -> bool:
    """Whether the budget of minutes ended before a network could be better than the graph."""
    teacher, position, steps = trainer.teacher, trainer.position, len(trainer.loader)
    if not trainer.replaceable or not teacher.staged or trainer.anew:
        return False
    done = position.epoch * steps + position.step
    few = done < min(LEAST_STEPS, trainer.config.train.epochs * steps)
    return trainer.short or (trainer.out_of_time() and (few or not position.best_grouped))


def answer_instead(trainer: Trainer, bar: Bar) -> bool:
    """Let a training that had no time end as a run of preset `quick`, in the same folder.

    Only rank 0 does it.

    Args:
        trainer: the training.
        bar: shows the progress.

    Returns:
        False if somebody asked to stop meanwhile; the run is as it was then.
    """
    if not trainer.ranks.first:
        return True
    minutes, found = trainer.config.train.minutes, trainer.teacher.found
    bar.say(
        f"{minutes:g} min is too short to train a network on these images; groups and poses come "
        "from comparing the images, as with --quick"
    )
    config = quickly(trainer.config)
    if found is not None and trainer.config.start.descriptions == "learned":
        config = config.changed(start={"descriptions": "learned"})  # clusters come from these
    given = replace(trainer.data, train=own_images(trainer))
    return write_answer(trainer, bar, config, given, trainer.run)


def own_images(trainer: Trainer) -> Posed:
    """The training images, with the features that were given for them."""
    features = trainer.data.train.images.features
    return replace(trainer.learned, images=replace(trainer.learned.images, features=features))


def write_answer(trainer: Trainer, bar: Bar, config: Config, data: Splits, folder: Path) -> bool:
    """Write a run of preset `quick` on images of a training; return False if it was stopped.

    Args:
        trainer: the training, whose first clusters and poses are taken if there are any.
        bar: shows the progress.
        config: settings of the run.
        data: its images.
        folder: of the run.
    """
    try:
        filler, _ = filled(config, data, trainer.teacher.stop, bar, trainer.teacher.found)
    except Stopped:
        return False
    weights = (run_file(folder, which) for which in WHICH)
    for path in (folder / LOG, folder / REPORT, *weights):  # of a network
        path.unlink(missing_ok=True)  # first: a killed run then begins again
    write_text(folder / "settings.toml", config.to_toml())
    save(folder, config, data, filler, trainer.digest)
    return True


def shown_of(data: Splits) -> Splits:
    """The images of a run that the page of its first answer shows."""

    def some(part: Any, most: int) -> Any:
        count = min(len(part), most)
        return part.subset(torch.linspace(0, len(part) - 1, count).round().long().unique())

    return replace(
        data,
        train=some(data.train, SHOWN),
        validation=some(data.validation, SCORED),
        test=some(data.test, SCORED),
        window=None,
    )
