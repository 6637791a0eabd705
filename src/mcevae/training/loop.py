"""The training loop, read top to bottom.

One process:            mcevae fit mnist --out runs/a
One machine, N devices: accelerate launch --num-processes N -m mcevae fit mnist --out runs/a
Many machines:          torchrun --nnodes M --nproc-per-node N -m mcevae fit mnist --out runs/a

Each process (rank) holds the model and takes its share of every step's images. They decide together
at each step whether to stop; rank 0 alone makes new targets, writes and speaks.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mcevae.base.files import write_text
from mcevae.images.datasets import Splits
from mcevae.models.config import Config
from mcevae.runs import checkpoint
from mcevae.training.log import LOG, TERMS, Log, read_log
from mcevae.training.ranks import told_of_losses
from mcevae.training.trainer import CHECK_EVERY, Trainer, check_finite, stacked


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that is filled by the first Ctrl-C or TERM; the second one acts as usual.

    Training looks at it between steps, so that what it saves is never half a step.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: signals are somebody else's
        pass
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_epoch(trainer: Trainer, stop: list[int], bar: Progress, task: Any) -> bool:
    """The rest of an epoch. Returns whether its end was reached.

    Raises:
        TrainingError: the loss is not finite.
    """
    position, accelerator, settings = trainer.position, trainer.accelerator, trainer.config.train
    trainer.loader.set_epoch(position.epoch)
    trainer.model.train()
    sums = torch.tensor(position.sums, device=accelerator.device)
    saved = started = time.perf_counter()
    before = position.seconds
    for batch in accelerator.skip_first_batches(trainer.loader, position.step):
        trainer.set_rate()
        terms = trainer.terms(batch)
        accelerator.backward(terms.loss)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        sums += stacked(terms)
        position.step += 1
        now = time.perf_counter()
        due = now - saved > 60 * settings.checkpoint_minutes
        position.seconds, stopped, due = trainer.ranks.most(before + now - started, bool(stop), due)
        bar.advance(task)
        timed_out = trainer.out_of_time()
        if stopped or timed_out or due or position.step % CHECK_EVERY == 0:
            look(trainer, sums, bar, task)
        if planned := trainer.plan():  # after the look, which waits for the device
            bar.console.print(f"epoch {position.epoch + 1:3d}  {planned}", highlight=False)
            bar.update(task, total=position.epochs * len(trainer.loader))
        if stopped or timed_out:
            return False
        if due:
            trainer.save()
            saved = time.perf_counter()
    look(trainer, sums, bar, task)
    return True


def look(trainer: Trainer, sums: Tensor, bar: Progress, task: Any) -> None:
    """Bring the ranks' running sums to the host, show them, and stop if they are not finite."""
    position = trainer.position
    together: Any = trainer.accelerator.reduce(sums, "mean")
    position.sums = together.tolist()
    means = position.means()
    check_finite(means, position, trainer.run)
    kls = "/".join(f"{means[name]:.1f}" for name in ("kl_cluster", "kl_variation", "kl_pose"))
    bar.update(
        task,
        description=f"epoch {position.epoch + 1}  loss {means['loss']:.1f}  reconstruction "
        f"{means['reconstruction']:.1f}  KL {kls}  invariance {means['invariance']:.1f}",
    )


def has_begun(run: Path) -> bool:
    """Whether a run came further than its settings, before which a kill leaves nothing to lose."""
    files = (*(checkpoint.run_file(run, which) for which in ("last", "best")), run / LOG)
    return any(file.exists() for file in files)


def closed(trainer: Trainer) -> bool:
    """Whether no steps are left that were taken but not validated and logged, as a stop leaves."""
    position = trainer.position
    return trainer.ranks.said(
        position.step == 0 or any(row["epoch"] == position.epoch for row in read_log(trainer.run))
    )


@told_of_losses()
def fit(
    config: Config, data: Splits, run: Path, *, resume: bool = False, console: Console | None = None
) -> bool:
    """Train a model; the run folder gets settings, logs and checkpoints.

    With several processes all of them call this, and see the same folder.

    Args:
        config: settings; recorded as settings.toml.
        data: posed images; validation chooses best.safetensors, test is not touched.
        run: folder of the run.
        resume: go on from last.safetensors, or from the start where there is none yet; the losses
            are those of an unbroken run if there are as many processes.
        console: where progress is shown.

    Returns:
        Whether training ended; False if it was stopped and can be resumed.

    Raises:
        TrainingError: the loss is not finite, or another process is gone.
        UserError: files cannot be written, or there is nothing to resume.
    """
    trainer = Trainer(config, data, run)
    resume = resume and has_begun(run)
    ranks = trainer.ranks
    console = console if console and ranks.first else Console(quiet=True)
    if resume:
        trainer.restore()
    if ranks.first:
        write_text(run / "settings.toml", trainer.config.to_toml())
    if not resume:
        trainer.save()  # `resume` goes on from it
    position = trainer.position
    log = Log(run, trainer.accelerator, console, position.epoch)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    steps = len(trainer.loader)
    done = position.epochs * steps
    bar = Progress(*columns, console=console, disable=not ranks.first)
    with stop_signals() as stop, bar:
        if trainer.teacher:
            trainer.teacher.stop = stop
        task = bar.add_task(
            "starting", total=done, completed=position.epoch * steps + position.step
        )
        while position.epoch < position.epochs and not (trainer.out_of_time() and closed(trainer)):
            done_before = trainer.teach() if position.step == 0 else ""
            if done_before is None:
                break
            if done_before:
                console.print(f"epoch {position.epoch + 1:3d}  {done_before}", highlight=False)
            ended = train_epoch(trainer, stop, bar, task)
            stopped = ranks.any(stop)
            if stopped or not ended:
                trainer.save()
            if stopped:
                break
            train, valid = position.means(), trainer.validate()
            log.epoch(position, train, valid, trainer.examine())
            if valid["negative_elbo"] < position.best:
                position.best, position.best_epoch = valid["negative_elbo"], position.epoch
                trainer.save_best()
            if not ended:  # time is up
                trainer.save()  # again, since it knows of the best checkpoint now
                break
            position.epoch, position.step = position.epoch + 1, 0
            position.sums = [0.0] * len(TERMS)
            trainer.save()
        stopped = ranks.any(stop)
    trainer.close()
    return not stopped
