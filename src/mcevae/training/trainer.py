"""A model in training, and what the loop asks of it at every step and epoch."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, set_seed

from mcevae.base.processes import place
from mcevae.images.arrays import require, to_float
from mcevae.images.splits import Splits
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Stopped, Terms
from mcevae.models.limit import while_training
from mcevae.models.registry import MOST_WEIGHTS, build
from mcevae.training.batches import loader
from mcevae.training.batchnorm import over_ranks
from mcevae.training.clock import Clock
from mcevae.training.health import Signs, examine
from mcevae.training.noise import noise_state, set_noise_state
from mcevae.training.phases import Figures, measure
from mcevae.training.position import TERMS, Position, check_finite, stacked
from mcevae.training.ranks import Ranks
from mcevae.training.schedule import (
    SLACK,
    epochs_left,
    foreseen_epochs,
    in_minutes,
    learning_rate,
    least_epochs,
    planned,
    seconds_for,
)

CHECK_EVERY = 20
"""Check the loss after this many steps; each check waits for the device."""
PROBE = CHECK_EVERY
"""Number of steps from which we estimate how long an epoch takes."""
TOLD = 0.25
"""A new plan is told if the number of epochs changes by more than this share."""
UNTAUGHT = 0.5
"""Time for a batch of validation, as a share of the time for a step."""


def accelerator_for(config: PlannedConfig, run: Path) -> Accelerator:
    """Set up the devices and processes for training.

    Raises:
        UserError: this device cannot compute with the chosen precision.
    """
    AcceleratorState._reset_state()  # or another precision than the last run's is refused
    accelerator = Accelerator(
        # Unasked, processes without CUDA would not know of each other.
        cpu=place()[1] > 1 and not torch.cuda.is_available(),
        mixed_precision=config.train.precision,
        log_with="tensorboard",
        project_dir=run,
        # Validation images are weighed, not made up to whole rounds by showing some twice.
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, data_seed=config.train.seed, even_batches=False
        ),
    )
    require(
        config.train.precision != "fp16" or accelerator.device.type != "cpu",
        "--precision fp16 needs CUDA or MPS, but this is a CPU; use --precision bf16 or no.",
    )
    return accelerator


class Trainer:
    """A model in training: its optimizer, data, teacher and position.

    Attributes:
        anew: True while it is about to continue a finished run, from the weights only.
        began: seconds of the run when the steps of this epoch began; None: only a part of the epoch
            is seen.
        replaceable: whether the graph may be the answer if there is no time for a network.
        short: whether the budget of minutes is known to be too short for a network.

    Args:
        config: settings of the run.
        data: the images.
        run: folder of the run.
        most: largest number of weights.
        limited: whether memory is limited as `models.limit` says, for a run of a stranger.
        clock: measures the training; None: a new one.

    Raises:
        UserError: a setting does not fit these images, or this machine.
    """

    def __init__(
        self,
        config: Config,
        data: Splits,
        run: Path,
        *,
        most: int = MOST_WEIGHTS,
        limited: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.config = settings = planned(config, len(data.train), place()[1])
        set_seed(settings.train.seed)
        self.run, self.data, self.limited = run, data, limited
        self.position = Position(epochs=settings.train.epochs)
        self.anew = self.short = self.replaceable = False
        self.began: float | None = None
        self.told = settings.train.epochs  # the number of epochs that people know of
        self.accelerator = accelerator_for(settings, run)
        self.ranks = Ranks(self.accelerator)
        self.shape, images = data.train.images.shape, data.train.images
        self.learned = data.train if data.window is None else data.train.own()
        self.digest = data.digest()  # once: every checkpoint records it
        model = build(settings, self.shape, most)
        if self.ranks.count > 1:
            over_ranks(model, self.accelerator.device)
        self.ranks.seed(settings.train.seed)  # after the weights, which are alike
        self.support = settings.support.half_widths(model.group)
        self.teacher = model.teacher(settings, self.learned.images.pixels)
        self.teacher.features, self.teacher.hints = images.features, images.hints
        self.size = min(settings.train.batch_size, len(data.train.images) // self.ranks.count)
        require(
            self.size > 0,
            f"{len(data.train)} training images are too few for {self.ranks.count} processes; "
            "start fewer processes.",
        )
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings.train.lr,
            weight_decay=settings.train.weight_decay,
            fused=self.fused,
        )
        self.model, self.optimizer, self.loader, self.validation = self.accelerator.prepare(
            model,
            optimizer,
            loader(self.learned, self.size, self.teacher),
            loader(data.validation, self.size),
        )
        if self.ranks.count > 1:  # its buffers are batch norm's, which are alike on all ranks
            self.model.broadcast_buffers = False

    @property
    def fused(self) -> bool:
        """Whether this device has a fused kernel for Adam."""
        return self.accelerator.device.type in ("cpu", "cuda")

    @property
    def inner(self) -> Model:
        """The bare model."""
        return self.accelerator.unwrap_model(self.model)

    def limit(self) -> AbstractContextManager[object]:
        """The limit on memory, where there is one."""
        return while_training(self.shape) if self.limited else nullcontext()

    def tick(self) -> float:
        """Note how long the training has taken, on all ranks alike; return the seconds."""
        (self.position.seconds,) = self.ranks.most(self.clock.seconds)
        return self.position.seconds

    def out_of_time(self) -> bool:
        """Whether what is left of the budget in minutes is needed for validation and saving."""
        minutes, position = self.config.train.minutes, self.position
        return minutes is not None and position.seconds + position.closing_seconds > 60 * minutes

    def terms(self, batch: Any) -> Terms:
        """Compute the terms of the loss for a batch of `PosedDataset`."""
        # The wrapper waits for all ranks at each call, which may validate on fewer batches.
        through = self.model if self.model.training else self.inner
        with self.accelerator.autocast():  # the targets are computed as the predictions are
            return self.inner.terms(through, to_float(batch["pixels"]), batch)

    def set_rate(self) -> None:
        """Set the learning rate for the next step."""
        rate = learning_rate(
            self.config.train, self.position, len(self.loader), self.teacher.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def plan(self) -> str:
        """Fit the stages of training into the budget of minutes; return a message, or "".

        It acts only after `PROBE` steps, when the time of a step is known.
        """
        minutes, position = self.config.train.minutes, self.position
        probe = min(PROBE, len(self.loader))
        at_probe = (position.epoch, position.step) == (0, probe)
        if minutes is None or not self.teacher.staged or not at_probe or self.began is None:
            return ""
        step = (position.seconds - self.began) / probe
        position.closing_seconds = step * len(self.validation) * UNTAUGHT
        epoch = step * len(self.loader) + position.closing_seconds
        known = position.start_seconds, self.began - position.start_seconds
        least = least_epochs(self.config.train, len(self.loader))
        fitting = int((60 * minutes - seconds_for(0, epoch, *known)) / epoch)
        position.epochs = min(self.config.train.epochs, max(least, fitting))
        self.teacher.plan(position.epochs)
        self.told = position.epochs
        if fitting >= least:
            return f"{position.epochs} epochs fit into {minutes:g} minutes"
        self.short = self.replaceable
        needed = in_minutes(seconds_for(least, epoch, *known))
        return (
            f"{least} epochs, the fewest of use, take longer than {minutes:g} min; begin again "
            f"with --minutes {needed}, or with fewer images (--limit, --subset)"
        )

    def replan(self) -> str:
        """Fit the stages into the budget again when an epoch has ended; return a message, or "".

        Only now is it known what validation and saving take. Small changes are left alone, and
        only large ones are told.
        """
        minutes, position = self.config.train.minutes, self.position
        if minutes is None or not self.teacher.staged or not position.epoch_seconds:
            return ""
        warm = position.epoch > self.teacher.warmup  # else clusters are still to be found
        epochs = epochs_left(position, minutes, self.config.train.epochs, warm=warm)
        if abs(epochs - position.epochs) <= SLACK * position.epochs:
            return ""
        position.epochs = epochs
        self.teacher.plan(epochs, self.teacher.warmup if warm else 0)
        self.catch_up()
        if abs(epochs - self.told) <= TOLD * self.told:
            return ""
        self.told = epochs
        return f"{epochs} epochs fit into {minutes:g} minutes, by the time that they have taken"

    def catch_up(self) -> None:
        """Let a stage that would have begun already, by the plan, begin next."""
        position, teacher = self.position, self.teacher
        due = position.epoch + (position.step > 0)
        if not position.warmup and teacher.warmup < due:
            teacher.plan(position.epochs, due)

    def teach(self) -> str | None:
        """Prepare the model for a new epoch; return a message about what was done, or "".

        None means that somebody asked to stop. What is in memory is then useless; continue from
        the last checkpoint, which was saved at the end of the epoch before.
        """
        started = self.tick()
        done = self.ranks.said(self.prepare() if self.ranks.first else "")
        if done is None:
            return None
        self.show(self.ranks.said(self.position.window))
        self.anew = False
        if done and self.ranks.count > 1:
            self.inner.load_state_dict(self.ranks.copy(self.inner.state_dict()))
            self.teacher.restore(self.ranks.copy(self.teacher.state()))
        if self.teacher.grouped:
            self.position.warmup = self.teacher.warmup
        seconds = self.tick() - started
        if self.position.epoch == 0:
            self.position.start_seconds = seconds
        return done

    def go_on_anew(self) -> None:
        """Get ready to train a finished run longer; it has kept only its weights.

        If the budget of minutes ended within an epoch, this epoch begins again, because the order
        of its steps and its targets are lost. The noise differs from that of the first epochs.
        """
        position = self.position
        position.step, position.sums = 0, [0.0] * len(TERMS)
        torch.manual_seed(self.config.train.seed + position.epoch)
        self.ranks.seed(self.config.train.seed, position.epoch)
        self.anew = True

    def prepare(self) -> str | None:
        """Do the work of `teach` that rank 0 does for all ranks; return what `teach` returns."""
        position, move_on = self.position, self.move_on if self.data.window else None
        epochs = foreseen_epochs(self.config.train, position)
        try:
            if not self.anew:
                return self.teacher.before(position.epoch, epochs, move_on)
            self.teacher.renew(grouped=position.warmup > 0)
            done = self.teacher.before(position.epoch, epochs, move_on)
        except Stopped:
            return None
        return f"from the weights of a finished run, with a new optimizer. {done}".strip()

    def move_on(self) -> None:
        """Load the next window of a source that is larger than memory."""
        self.show(self.position.window + 1)

    def show(self, window: int) -> None:
        """Replace the images in memory, which loader and teacher share, by those of a window."""
        if window != self.position.window and self.data.window is not None:
            self.position.window, new = window, self.data.window(window)
            self.learned.images.pixels.copy_(new.images.pixels)
            if self.learned.upright is not None and new.upright is not None:
                self.learned.upright.copy_(new.upright)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Compute the mean terms over the validation images, always with the same noise.

        Raises:
            TrainingError: the loss is not finite.
        """
        self.model.eval()
        before = noise_state()
        torch.manual_seed(self.config.train.seed)
        self.ranks.seed(self.config.train.seed)
        sums = torch.zeros(len(TERMS) + 1, device=self.accelerator.device)
        for batch in self.validation:
            one = sums.new_ones(1)
            sums += torch.cat([stacked(self.terms(batch)), one]) * len(batch["pixels"])
        set_noise_state(before)
        self.model.train()
        totals = self.accelerator.reduce(sums, "sum")
        means = dict(zip(TERMS, (totals[:-1] / totals[-1]).tolist(), strict=True))
        check_finite(means, self.position, self.run)
        return means

    def examine(self) -> Signs:
        """Look for signs of trouble in validation images.

        There are none if the model infers slowly, or has no clusters yet: what it finds in a
        warm-up is rough, and says nothing about the support or the learning rate.
        """
        if not (self.inner.quick and self.teacher.grouped):
            return {}
        pixels, model = self.data.validation.images.pixels, self.inner.eval()
        signs = examine(model, pixels, self.support)
        model.train()
        return signs

    def measure(self) -> Figures | None:
        """Measure how far training has come; None if the model infers slowly."""
        if not self.inner.quick:
            return None
        model = self.inner.eval()
        figures = measure(model, self.data.validation.images.pixels, self.support)
        model.train()
        return figures

    def close(self) -> None:
        """End the process group and its threads before this process ends.

        If a thread releases a Python tensor after Python has ended, the process aborts.
        """
        self.ranks.group = None  # the last to hold it
        self.accelerator.end_training()
