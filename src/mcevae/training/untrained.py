"""Runs of models that are not trained, such as preset `quick`: their teacher fills them at once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mcevae.base.config import TrainConfig
from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.contract import Stopped, Teacher
from mcevae.models.registry import build
from mcevae.runs import checkpoint
from mcevae.training.bar import Waiting
from mcevae.training.given import end_given, given_in
from mcevae.training.position import Position
from mcevae.training.schedule import planned
from mcevae.training.signals import stop_signals

READ = "seed"
"""The only setting of training that such models read."""


def refuse_training(config: Config) -> None:
    """Refuse settings of training, which would be ignored.

    Raises:
        UserError: a setting was changed.
    """
    usual = TrainConfig()
    for one in dataclasses.fields(TrainConfig):
        if one.name != READ and getattr(config.train, one.name) != getattr(usual, one.name):
            flag = one.name.replace("_", "-")
            raise UserError(
                f"--{flag}: preset {config.preset} trains no network; leave --{flag} out, or train "
                "with --preset default."
            )


def fill(
    config: Config,
    data: Splits,
    run: Path,
    *,
    resume: bool = False,
    console: Console,
    signals: list[int],
) -> bool:
    """Let the teacher of a model fill it, and write settings and checkpoints into the run folder.

    Args:
        config: settings; they are written to settings.toml.
        data: the images; only the training images are used.
        run: folder of the run.
        resume: go on if the run was stopped: begin again if it has no checkpoint, and else leave it
            to be scored.
        console: where progress is shown.
        signals: gets the number of the signal that stopped the work.

    Returns:
        True if the run is complete, False if it was stopped.

    Raises:
        UserError: there are settings of training, nothing is left to do, the images have changed,
            or files cannot be written.
    """
    refuse_training(config)
    last = checkpoint.run_file(run, checkpoint.WHICH[-1])
    if resume and last.exists():
        if (run / checkpoint.REPORT).exists():
            raise UserError(
                f"{run}: is complete, because preset {config.preset} trains no network; to train "
                "one, start `mcevae fit` with another --out and --preset default."
            )
        checkpoint.check_data(run, data, checkpoint.load(last)[1])
        end_given(run)
        return True
    write_text(run / "settings.toml", config.to_toml())
    with stop_signals() as stop, Waiting(console, "1/2 comparing images") as waiting:
        try:
            images = len(data.train)
            known = given_in(run, images).known(images)
            teacher, message = filled(config, data, stop, waiting, known)
        except Stopped:
            signals += stop
            return False
    console.print(f"2/2 groups and poses: {message}", highlight=False)
    save(run, config, data, teacher)
    end_given(run)
    return True


def filled(
    config: Config,
    data: Splits,
    stop: Sequence[int],
    waiting: Waiting,
    known: Any = None,
) -> tuple[Teacher, str]:
    """Make the model of a run and its teacher, who fills it; return the teacher and a message.

    Args:
        config: settings of the run.
        data: the images.
        stop: gets an entry when somebody asks to stop.
        waiting: shows the progress.
        known: clusters and poses of the training images, if they were found before.

    Raises:
        Stopped: somebody asked to stop.
        UserError: there are too few images.
    """
    settings = planned(config, len(data.train))
    images = data.train.images
    teacher = build(settings, images.shape).teacher(settings, images.pixels)
    teacher.stop, teacher.features, teacher.known = stop, images.features, known
    teacher.hints = images.hints
    teacher.told = waiting.told
    return teacher, teacher.before(0, 1)


def save(run: Path, config: Config, data: Splits, teacher: Teacher, digest: str = "") -> None:
    """Write both checkpoints of a run, which are the same.

    Args:
        run: folder of the run.
        config: settings of the run.
        data: its images.
        teacher: has the model.
        digest: fingerprint of the images; "": it is computed.
    """
    tensors = {f"model.{k}": v for k, v in teacher.model.state_dict().items()}
    about = {
        "config": config.to_dict(),
        "shape": list(data.train.images.shape),
        "data": digest or data.digest(),
        "position": dataclasses.asdict(Position(epochs=0)),
    }
    for which in checkpoint.WHICH:
        checkpoint.save(checkpoint.run_file(run, which), tensors, about)
