"""A model in training, and what the loop asks of it at every step and epoch."""

import time
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
from mcevae.models.registry import build
from mcevae.training.batches import loader
from mcevae.training.batchnorm import over_ranks
from mcevae.training.health import Signs, examine
from mcevae.training.noise import noise_state, set_noise_state
from mcevae.training.position import TERMS, Position, check_finite, stacked
from mcevae.training.ranks import Ranks
from mcevae.training.schedule import epochs_that_fit, foreseen_epochs, learning_rate, planned

CHECK_EVERY = 20
"""Steps between looks at the loss, each of which waits for the device."""
PROBE = CHECK_EVERY
"""Steps that tell how long an epoch takes."""


def accelerator_for(config: PlannedConfig, run: Path) -> Accelerator:
    """Devices and processes of a training.

    Raises:
        UserError: they cannot compute in the precision that is asked for.
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
        "--precision fp16 needs CUDA or MPS, and this is a CPU; give --precision bf16 or no.",
    )
    return accelerator


class Trainer:
    """A model in training: its optimizer, data, teacher and position.

    Attributes:
        anew: whether it goes on from the weights of a finished run and has not begun to.

    Args:
        config: settings of the run.
        data: posed images.
        run: folder of the run.

    Raises:
        UserError: a setting does not fit these images, or this machine.
    """

    def __init__(self, config: Config, data: Splits, run: Path) -> None:
        self.config = settings = planned(config, len(data.train), place()[1])
        set_seed(settings.train.seed)
        self.run, self.data = run, data
        self.position = Position(epochs=settings.train.epochs)
        self.anew = False
        self.accelerator = accelerator_for(settings, run)
        self.ranks = Ranks(self.accelerator)
        self.shape = data.train.images.shape
        self.learned = data.train if data.window is None else data.train.own()
        self.digest = data.digest()  # once: every checkpoint records it
        model = build(settings, self.shape)
        if self.ranks.count > 1:
            over_ranks(model, self.accelerator.device)
        self.ranks.seed(settings.train.seed)  # after the weights, which are alike
        self.support = settings.support.half_widths(model.group)
        self.teacher = model.teacher(settings, self.learned.images.pixels)
        self.size = min(settings.train.batch_size, len(data.train.images) // self.ranks.count)
        require(
            self.size > 0,
            f"{len(data.train)} training images are fewer than {self.ranks.count} processes.",
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
        """Whether Adam is one kernel here."""
        return self.accelerator.device.type in ("cpu", "cuda")

    @property
    def inner(self) -> Model:
        """The bare model."""
        return self.accelerator.unwrap_model(self.model)

    def out_of_time(self) -> bool:
        """Whether the budget in minutes is spent."""
        minutes = self.config.train.minutes
        return minutes is not None and self.position.seconds > 60 * minutes

    def terms(self, batch: Any) -> Terms:
        """Loss of a batch, as `PosedDataset` gives it."""
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
        """Fit the stages of a taught model into the budget in minutes; says what came of it.

        Called once `PROBE` steps have shown what a step takes.
        """
        minutes, position = self.config.train.minutes, self.position
        probe = min(PROBE, len(self.loader))
        at_probe = (position.epoch, position.step) == (0, probe)
        if minutes is None or not self.teacher.staged or not at_probe:
            return ""
        epoch = (position.seconds - position.start_seconds) / probe * len(self.loader)
        position.epochs, said = epochs_that_fit(
            minutes, self.config.train.epochs, epoch, position.start_seconds
        )
        self.teacher.plan(position.epochs)
        return said

    def teach(self) -> str | None:
        """Have the model got ready for a new epoch; says what was done.

        None: it was stopped. What is in memory is of no use then; the last checkpoint, which is
        from the end of the epoch before, is what to go on from.
        """
        started = time.perf_counter()
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
        (seconds,) = self.ranks.most(time.perf_counter() - started)
        self.position.seconds += seconds
        if self.position.epoch == 0:
            self.position.start_seconds = seconds
        return done

    def go_on_anew(self) -> None:
        """Train a finished run longer, which has kept its weights alone.

        An epoch that a budget in minutes cut short begins again, since the order of its steps and
        what the model was taught for it are gone. Noise is other than that of the first epochs.
        """
        position = self.position
        position.step, position.sums = 0, [0.0] * len(TERMS)
        torch.manual_seed(self.config.train.seed + position.epoch)
        self.ranks.seed(self.config.train.seed, position.epoch)
        self.anew = True

    def prepare(self) -> str | None:
        """What one process does for all at the start of an epoch; as for `teach`."""
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
        """Learn from the next window of a source that is larger than memory."""
        self.show(self.position.window + 1)

    def show(self, window: int) -> None:
        """Put a window's images in the place of those before, which loader and teacher hold."""
        if window != self.position.window and self.data.window is not None:
            self.position.window, new = window, self.data.window(window)
            self.learned.images.pixels.copy_(new.images.pixels)
            if self.learned.upright is not None and new.upright is not None:
                self.learned.upright.copy_(new.upright)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean terms over the validation images, in evaluation mode and under fixed noise.

        Raises:
            TrainingError: they are not finite.
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
        """Signs in validation images that training goes wrong; none where they take long."""
        if not self.inner.quick:
            return {}
        pixels, model = self.data.validation.images.pixels, self.inner.eval()
        signs = examine(model, pixels, self.support, clustered=self.teacher.grouped)
        model.train()
        return signs

    def close(self) -> None:
        """End the group of the ranks, with its threads, before this process ends.

        A thread that still gives back a tensor of Python's when that has gone aborts the process.
        """
        self.ranks.group = None  # the last to hold it
        self.accelerator.end_training()
