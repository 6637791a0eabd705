"""The training loop, read top to bottom.

One process:            mcevae fit mnist --out runs/a
One machine, N devices: accelerate launch --num-processes N -m mcevae fit mnist --out runs/a
Many machines:          torchrun --nnodes M --nproc-per-node N -m mcevae fit mnist --out runs/a

Each process (rank) has its own copy of the model and takes its share of every step's images. At
each step, all ranks decide together whether to stop. Only rank 0 makes new targets, writes files
and prints.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from mcevae.base.files import is_stale, write_text
from mcevae.base.lock import locked
from mcevae.base.processes import place
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.registry import MOST_WEIGHTS, spec_of
from mcevae.runs import checkpoint
from mcevae.runs.checkpoint import run_file
from mcevae.training.bar import Bar
from mcevae.training.clock import Clock
from mcevae.training.first import First, answer_instead, give_first_answer, has_first, hurried
from mcevae.training.given import begin_with_given, end_given
from mcevae.training.log import LOG, Log, read_log
from mcevae.training.position import Position, check_finite, stacked
from mcevae.training.ranks import told_of_losses
from mcevae.training.schedule import as_recorded
from mcevae.training.signals import stop_signals
from mcevae.training.state import restore, save, save_weights
from mcevae.training.trainer import CHECK_EVERY, Trainer
from mcevae.training.untrained import fill

BEGUN = 2**26
"""Most weights of a stranger's run that has only its settings, so that nothing else limits them."""
LOCK = ".lock"
"""File in a run's folder that the process that trains it holds a lock of."""


@told_of_losses()
def fit(
    config: Config,
    data: Splits,
    run: Path,
    *,
    resume: bool = False,
    console: Console | None = None,
    limited: bool = False,
    signals: list[int] | None = None,
    clock: Clock | None = None,
    first: First | None = None,
    replaceable: bool = False,
) -> bool:
    """Train a model, and write settings, logs and checkpoints into the run folder.

    With several processes, each of them calls this function, with the same folder.

    Args:
        config: settings; they are written to settings.toml.
        data: the images. Validation images choose best.safetensors, among the epochs that have
            clusters; test images are not used.
        run: folder of the run.
        resume: continue from last.safetensors, or begin if there is no such file yet. With the same
            number of processes, the losses are the same as without the break. Settings that are
            "auto" keep what the run chose. A finished run has kept only its weights; it continues
            from the last ones with a new optimizer.
        console: where progress is shown. None: nothing is shown.
        limited: whether memory is limited as `models.limit` says, for a run of a stranger.
        signals: gets the number of the signal that stopped the training.
        clock: measures the training; None: it begins now.
        first: shows the first answer of a long training, see `first`. None: nobody wants one.
        replaceable: if the minutes are too few for a network, end as a run of preset `quick`, whose
            settings are then those of the run. Else what there is of the network is kept.

    Returns:
        True if training has ended, False if it was stopped and can be resumed.

    Raises:
        TrainingError: the loss is not finite, or another process has ended.
        UserError: files cannot be written, there is nothing to resume, the limit is not enough, or
            another process trains into the folder.
    """
    told = [] if signals is None else signals
    shown = console or Console(quiet=True)
    with training_alone(run):
        if not spec_of(config.model.kind).trained:  # one process is enough
            return place()[0] > 0 or fill(
                config, data, run, resume=resume, console=shown, signals=told
            )
        clock = clock or Clock()
        return train(config, data, run, resume, shown, limited, told, clock, first, replaceable)


def training_alone(run: Path) -> AbstractContextManager[None]:
    """While it is held, no other process trains into this folder. Only rank 0 holds it.

    Raises:
        UserError: another process does.
    """
    refusal = f"{run}: another process is training there; wait for it, or choose another --out."
    return locked(run / LOCK, refusal) if place()[0] == 0 else nullcontext()


def is_free(folder: Path) -> bool:
    """Whether a run can begin in a folder: it holds nothing but what killed processes leave."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(p.name == LOCK or is_left(p) for p in folder.iterdir())


def is_left(path: Path) -> bool:
    """Whether only a killed process can have left this: a temporary file, or a folder of such."""
    if path.is_symlink() or not path.is_dir():
        return is_stale(path)
    return any(path.iterdir()) and is_free(path)


def train(
    config: Config,
    data: Splits,
    run: Path,
    resume: bool,
    console: Console,
    limited: bool,
    signals: list[int],
    clock: Clock,
    first: First | None,
    replaceable: bool,
) -> bool:
    """Do what `fit` promises; the arguments are the same."""
    resume = resume and has_begun(run)
    kept = checkpoint.load(run_file(run, "last")) if resume else None
    trainer = Trainer(
        as_recorded(config, run) if resume else config,
        data,
        run,
        most=checkpoint.room_for(kept[0]) if kept else BEGUN if limited else MOST_WEIGHTS,
        limited=limited,
        clock=clock,
    )
    taken = begin_with_given(run, trainer.teacher)
    trainer.replaceable = replaceable and not taken and trainer.inner.group.polar
    ranks = trainer.ranks
    console = console if ranks.first else Console(quiet=True)
    if kept:
        restore(trainer, *kept)
        del kept
    if ranks.first:
        write_text(run / "settings.toml", trainer.config.to_toml())
    if not resume:
        save(trainer)  # `resume` goes on from it
    log = Log(run, trainer.accelerator, console, trainer.position.epoch)
    with stop_signals() as stop, Bar(console, trainer.position, len(trainer.loader)) as bar:
        trainer.teacher.stop, trainer.teacher.told = stop, bar.told
        bar.early = trainer.teacher.grouped or has_first(run)
        while goes_on(trainer) and train_epoch(trainer, log, stop, bar, first):
            pass
        stopped, too_late = ranks.any(stop), hurried(trainer)
        if too_late and not stopped:
            stopped = not ranks.said(answer_instead(trainer, bar))
    signals += stop
    if not stopped and not trainer.anew:  # else nothing was done
        if not too_late:
            finish(trainer, console)
        end_given(run)
    trainer.close()
    return not stopped


def finish(trainer: Trainer, console: Console) -> None:
    """Save the weights of a training that has ended, and say how long it took."""
    trainer.tick()
    save_weights(trainer, "last")
    console.print(f"Trained {in_words(trainer.position)}.", highlight=False)


def in_words(position: Position) -> str:
    """How far a training has got, and how long it took."""
    epochs, seconds = position.epoch, position.seconds
    took = f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.1f} minutes"
    part = f" and {position.step} steps" if position.step else ""
    return f"{epochs} epochs{part} in {took}, with validation and saving"


def has_begun(run: Path) -> bool:
    """Return whether a run has a checkpoint or a log, so that there is something to continue."""
    files = (*(run_file(run, which) for which in ("last", "best")), run / LOG)
    return any(file.exists() for file in files)


def goes_on(trainer: Trainer) -> bool:
    """Return whether there is time for another epoch, or there are steps not logged yet."""
    position = trainer.position
    return position.epoch < position.epochs and not (trainer.out_of_time() and closed(trainer))


def closed(trainer: Trainer) -> bool:
    """Return whether all steps so far are validated and logged. After a stop they may not be."""
    position = trainer.position
    return trainer.ranks.said(
        position.step == 0 or any(row["epoch"] == position.epoch for row in read_log(trainer.run))
    )


def train_epoch(
    trainer: Trainer, log: Log, stop: list[int], bar: Bar, first: First | None = None
) -> bool:
    """Train for an epoch, or for the rest of it. Return whether the epoch was completed.

    Args:
        trainer: the model in training.
        log: records the epoch.
        stop: gets an entry when somebody asks to stop.
        bar: shows the progress.
        first: shows the first answer.

    Raises:
        TrainingError: the loss is not finite.
    """
    position, whole = trainer.position, trainer.position.step == 0
    if whole:
        with trainer.limit():
            done = trainer.teach()
        if done is None:  # stopped
            return False
        if done:
            bar.taught(done, trainer.teacher)
        if position.epoch == 0:
            give_first_answer(trainer, bar, first)
    bar.learn(trainer.teacher)
    trainer.began = trainer.tick() if whole else None
    ended = take_steps(trainer, stop, bar)
    stopped = trainer.ranks.any(stop)
    if trainer.short:  # if it is stopped before it has an answer, it begins again
        return False
    if stopped or not ended:
        save(trainer)
    if stopped:
        return False
    closing, train = trainer.tick(), position.means()
    valid = bar.timed(trainer.validate, trainer.data)
    signs, figures = trainer.examine(), trainer.measure()
    trainer.tick()
    log.epoch(position, train, valid, signs, figures)
    bar.learned(trainer.teacher, figures, valid["negative_elbo"])
    taught = trainer.teacher.grouped and position.epoch >= trainer.teacher.warmup
    if position.note(valid[trainer.teacher.judge], grouped=taught):
        save_weights(trainer, "best")
    if ended:
        position.turn_to_next_epoch()
    save(trainer)  # again if time is up: now the best epoch is known
    trainer.tick()
    position.lap(trainer.began, closing)
    if ended and (planned := trainer.replan()):
        bar.say(planned)
    return ended


def take_steps(trainer: Trainer, stop: list[int], bar: Bar) -> bool:
    """Take the remaining steps of an epoch. Return whether its end was reached.

    Raises:
        TrainingError: the loss is not finite.
    """
    position, accelerator, settings = trainer.position, trainer.accelerator, trainer.config.train
    trainer.loader.set_epoch(position.epoch)
    trainer.model.train()
    sums = torch.tensor(position.sums, device=accelerator.device)
    saved, first = trainer.clock.seconds, True
    for batch in accelerator.skip_first_batches(trainer.loader, position.step):
        trainer.set_rate()
        with trainer.limit() if first else nullcontext():
            terms = trainer.terms(batch)
            accelerator.backward(terms.loss)
        first = False
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        sums += stacked(terms)
        position.step += 1
        now = trainer.clock.seconds
        due = now - saved > 60 * settings.checkpoint_minutes
        position.seconds, stopped, due = trainer.ranks.most(now, bool(stop), due)
        timed_out = trainer.out_of_time()
        if stopped or timed_out or due or position.step % CHECK_EVERY == 0:
            look(trainer, sums, bar)
        if planned := trainer.plan():  # after the look, which waits for the device
            bar.say(planned)
        if stopped or timed_out or trainer.short:
            return False
        if due:
            save(trainer)
            saved = trainer.clock.seconds
    look(trainer, sums, bar)
    return True


def look(trainer: Trainer, sums: Tensor, bar: Bar) -> None:
    """Collect the sums of all ranks, show the progress, and stop if the loss is not finite.

    Raises:
        TrainingError: the loss is not finite.
    """
    position = trainer.position
    together: Any = trainer.accelerator.reduce(sums, "mean")
    position.sums = together.tolist()
    check_finite(position.means(), position, trainer.run)
    bar.update()
