"""Save everything that training needs to continue (`save`), and load it again (`restore`).

    best.safetensors    the weights of the best epoch
    last.safetensors    during training: everything, so that it can continue exactly;
                        after training: the weights only

A finished run does not need its optimizer, noise and targets, which take most of the space. If it
is trained longer, new ones are made.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.runs import checkpoint
from mcevae.training.noise import noise_name, noise_state, set_noise_state
from mcevae.training.position import TERMS, Position
from mcevae.training.trainer import Trainer


def save(trainer: Trainer) -> None:
    """Write last.safetensors, with everything that `restore` needs to continue exactly."""
    optimizer, groups = checkpoint.flat(trainer.optimizer.state_dict())
    tensors = weights(trainer)
    tensors |= {f"optimizer.{k}": v for k, v in optimizer.items()}
    for rank, noise in enumerate(trainer.ranks.all(noise_state())):
        tensors |= {f"{noise_name(rank)}.{k}": v for k, v in noise.items()}
    tensors |= {f"targets.{k}": v for k, v in trainer.teacher.state().items()}
    scaler = trainer.accelerator.scaler
    state = about(trainer) | {
        "ranks": trainer.ranks.count,
        "together": trainer.ranks.count * trainer.size,
        "optimizer": groups,
        "scaler": scaler.state_dict() if scaler is not None else None,
    }
    if trainer.accelerator.is_main_process:
        checkpoint.save(checkpoint.run_file(trainer.run, "last"), tensors, state)


def save_weights(trainer: Trainer, which: str) -> None:
    """Write only the model: `which` is "best", or "last" when training has finished."""
    if trainer.accelerator.is_main_process:
        path = checkpoint.run_file(trainer.run, which)
        checkpoint.save(path, weights(trainer), about(trainer))


def weights(trainer: Trainer) -> dict[str, Tensor]:
    """Return weights and buffers of the model, with their names in checkpoints."""
    return {f"model.{k}": v for k, v in trainer.inner.state_dict().items()}


def about(trainer: Trainer) -> dict[str, Any]:
    """Return settings and position as JSON values."""
    return {
        "config": trainer.config.to_dict(),
        "shape": list(trainer.shape),
        "data": trainer.digest,
        "position": dataclasses.asdict(trainer.position),
    }


def restore(trainer: Trainer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Load what `save` wrote, or the weights that a finished run has kept.

    Args:
        trainer: the training that continues.
        tensors: tensors of last.safetensors.
        state: its state.

    Raises:
        UserError: they do not fit the settings.
    """
    path = checkpoint.run_file(trainer.run, "last")
    checkpoint.check_data(trainer.run, trainer.data, state)
    try:
        trainer.inner.load_state_dict(checkpoint.part(tensors, "model"))
        trainer.position = position_in(state["position"], staged=trainer.teacher.staged)
        trainer.show(state["position"].get("window", 0))
        goal, before = trainer.config.train, state["config"]["train"]
        if (goal.epochs, goal.minutes) != (before["epochs"], before.get("minutes")):
            trainer.position.epochs = goal.epochs  # the old plan no longer holds
        trainer.clock.before = trainer.position.seconds
        trainer.teacher.plan(trainer.position.epochs, trainer.position.warmup)
        trainer.catch_up()
        if "optimizer" in state:
            take_up(trainer, tensors, state)
        else:
            trainer.go_on_anew()
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: does not fit this run's settings ({error}).") from error


def position_in(kept: dict[str, Any], *, staged: bool) -> Position:
    """Read a position, before any window is loaded.

    Args:
        kept: what the checkpoint has. Old ones do not say whether the best epoch had clusters.
        staged: whether there are no clusters before the end of a warm-up.
    """
    had = not staged or 0 < kept.get("warmup", 0) <= kept["best_epoch"]
    return Position(**{"best_grouped": had, **kept, "window": 0})


def take_up(trainer: Trainer, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Load optimizer, place in the epoch, noise and targets of a training that was stopped."""
    moments = checkpoint.nested(checkpoint.part(tensors, "optimizer"), state["optimizer"])
    trainer.optimizer.load_state_dict(moments)
    lay_out(trainer)
    take_place(trainer, tensors, state.get("ranks", 1), state.get("together"))
    trainer.teacher.restore(checkpoint.part(tensors, "targets"))
    if trainer.accelerator.scaler is not None and state["scaler"]:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])


def lay_out(trainer: Trainer) -> None:
    """Bring the optimizer's loaded state into the memory layout that the fused kernel needs.

    The kernel reads weights and moments in the order of memory. So a moment from a file must have
    the same layout as its weight, for example channels last.
    """
    for group in trainer.optimizer.param_groups:
        group["fused"] = trainer.fused
    for weight, entry in trainer.optimizer.state.items():
        for name, value in entry.items():
            if value.shape == weight.shape:
                entry[name] = torch.empty_like(weight).copy_(value)


def take_place(
    trainer: Trainer, tensors: dict[str, Tensor], ranks: int, together: int | None
) -> None:
    """Continue the epoch and the noise of a checkpoint, also with another number of ranks.

    The order of an epoch's images is the same for any number of ranks. So another number of ranks
    continues at the same image, rounded down to a whole step; only the noise is new.

    Args:
        trainer: the training that continues.
        tensors: tensors of the checkpoint.
        ranks: number of ranks that wrote the checkpoint.
        together: images in a step of all those ranks; None: the same number as now.
    """
    position, now = trainer.position, trainer.ranks.count * trainer.size
    if together not in (None, now):
        means, position.step = position.means(), position.step * together // now
        position.sums = [means[name] * position.step for name in TERMS]
    as_many = ranks == trainer.ranks.count
    set_noise_state(checkpoint.part(tensors, noise_name(trainer.ranks.index * as_many)))
    if not as_many:
        trainer.ranks.seed(trainer.config.train.seed, position.epoch, position.step)
