"""A model in training, and what `train` asks of it at every step and epoch."""

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mcevae.base.errors import TrainingError, UserError
from mcevae.base.processes import place
from mcevae.images.arrays import require, to_float
from mcevae.images.datasets import Posed, Splits
from mcevae.models.config import Config
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.objective import HypothesisObjective
from mcevae.models.default.targets import TAUGHT, SelfTraining, Stopped, Targets
from mcevae.models.objective import Objective, Terms
from mcevae.models.paper import PaperModel
from mcevae.models.peers.contract import Baseline
from mcevae.models.peers.contract import objective as peer_objective
from mcevae.models.registry import Model, build
from mcevae.runs import checkpoint
from mcevae.training.batchnorm import over_ranks
from mcevae.training.health import Signs, examine
from mcevae.training.log import TERMS, Position
from mcevae.training.noise import noise_name, noise_state, set_noise_state
from mcevae.training.ranks import Ranks
from mcevae.training.schedule import one_cycle, planned

CHECK_EVERY = 20
"""Steps between looks at the loss, each of which waits for the device."""
PROBE = CHECK_EVERY
"""Steps that tell how long an epoch takes."""
OVERHEAD = 2.0
"""Seconds of all the work of `selftraining` over those of its start."""
LEAST_EPOCHS = 3
"""For poses, for clusters, and for both."""


class PosedDataset(Dataset):
    """Whole batches of uint8 images at once, with their upright versions where they exist."""

    def __init__(self, posed: Posed, targets: Targets | None = None) -> None:
        self.columns = {"pixels": posed.images.pixels}
        if posed.upright is not None:
            self.columns["upright"] = posed.upright
        if targets is not None:
            self.columns |= {name: getattr(targets, name) for name in TAUGHT}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.columns["pixels"])

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Images (B, C, H, W) uint8, upright ones where they are known, targets where taught."""
        rows = torch.tensor(indices)
        return {name: column[rows] for name, column in self.columns.items()}


def as_is(batch: Any) -> Any:
    """Collate nothing: `PosedDataset` yields whole batches."""
    return batch


class Trainer:
    """A model in training: its optimizer, data, and position, and how they are saved."""

    def __init__(self, config: Config, data: Splits, run: Path) -> None:
        config = planned(config, len(data.train), place()[1])
        set_seed(config.train.seed)
        AcceleratorState._reset_state()  # or another precision than the last run's is refused
        self.config, self.run = config, run
        self.position = Position(epochs=int(config.train.epochs))
        self.accelerator = Accelerator(
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
        device = self.accelerator.device
        require(
            config.train.precision != "fp16" or device.type != "cpu",
            "--precision fp16 needs CUDA or MPS, and this is a CPU; give --precision bf16 or no.",
        )
        self.ranks = Ranks(self.accelerator)
        self.shape = data.train.images.shape
        self.data = data
        self.learned = data.train if data.window is None else data.train.own()
        self.digest = data.digest()  # once: every checkpoint records it
        model = build(config, self.shape)
        if self.ranks.count > 1:
            over_ranks(model, device)
        self.ranks.seed(config.train.seed)  # after the weights, which are alike
        self.support = support = config.support.half_widths(model.group)
        self.teacher: SelfTraining | None = None
        self.objective: Callable[..., Terms]
        if isinstance(model, DefaultModel):
            self.teacher = SelfTraining(config, self.learned.images.pixels, model.group)
            self.objective = HypothesisObjective(config, support)
        elif isinstance(model, PaperModel):
            self.objective = Objective(config.objective, model.group, support)
        else:
            self.objective = peer_objective
        self.size = min(int(config.train.batch_size), len(data.train.images) // self.ranks.count)
        require(
            self.size > 0,
            f"{len(data.train)} training images are fewer than {self.ranks.count} processes.",
        )
        # Loaders draw seeds from a generator of their own, or they would take from the noise's.
        targets = self.teacher.targets if self.teacher else None
        loaders = [
            DataLoader(
                PosedDataset(posed, taught),
                self.size,
                shuffle=train,
                drop_last=train,
                collate_fn=as_is,
                generator=torch.Generator(),
            )
            for posed, taught, train in (
                (self.learned, targets, True),
                (data.validation, None, False),
            )
        ]
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=config.train.lr,
            weight_decay=config.train.weight_decay,
            fused=self.fused,
        )
        self.model, self.optimizer, self.loader, self.validation = self.accelerator.prepare(
            model, optimizer, *loaders
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
            return self.objective(through, self.inner, to_float(batch["pixels"]), batch)

    def plan(self) -> str:
        """Fit the stages of a taught model into the budget in minutes; says what came of it.

        Half of them would be worth little: without its end a run has no clusters, or rough ones.
        Called once `PROBE` steps have shown what a step takes.
        """
        minutes, position = self.config.train.minutes, self.position
        probe = min(PROBE, len(self.loader))
        if minutes is None or self.teacher is None or (position.epoch, position.step) != (0, probe):
            return ""
        epoch = (position.seconds - position.start_seconds) / probe * len(self.loader)
        left = 60 * minutes - OVERHEAD * position.start_seconds
        position.epochs = min(max(LEAST_EPOCHS, int(left / epoch)), int(self.config.train.epochs))
        self.teacher.plan(position.epochs)
        if position.epochs * epoch <= left:
            return f"{position.epochs} epochs fit into {minutes:g} minutes"
        return (
            f"{minutes:g} minutes do not hold {position.epochs} epochs of {epoch:.0f} s; "
            "give more, or fewer images (--limit, --subset)"
        )

    def teach(self) -> str | None:
        """Bring taught targets, or a peer, up to date for a new epoch; says what was done.

        None: it was stopped. What is in memory is of no use then; the last checkpoint, which is
        from the end of the epoch before, is what to go on from.
        """
        started = time.perf_counter()
        done = self.ranks.said(self.prepare_targets() if self.ranks.first else "")
        if done is None:
            return None
        self.show(self.ranks.said(self.position.window))
        if done and self.ranks.count > 1:
            self.inner.load_state_dict(self.ranks.copy(self.inner.state_dict()))
            if self.teacher:
                for name, value in self.ranks.copy(vars(self.teacher.targets)).items():
                    vars(self.teacher.targets)[name].copy_(value)
        if self.teacher and self.teacher.grouped:
            self.position.warmup = self.teacher.warmup
        (seconds,) = self.ranks.most(time.perf_counter() - started)
        self.position.seconds += seconds
        if self.position.epoch == 0:
            self.position.start_seconds = seconds
        return done

    def prepare_targets(self) -> str | None:
        """What one process does for all at the start of an epoch; as for `teach`."""
        position, move_on = self.position, self.move_on if self.data.window else None
        if self.teacher and isinstance(self.inner, DefaultModel):
            try:
                return self.teacher.before(position.epoch, self.inner, move_on)
            except Stopped:
                return None
        if move_on and position.epoch > 0:
            move_on()
        if isinstance(self.inner, Baseline):
            pixels = self.learned.images.pixels
            return self.inner.before(position.epoch, self.expected_epochs(), pixels)
        return ""

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

    def expected_epochs(self) -> int:
        """Epochs of the whole run, as far as the time of those that are done tells."""
        minutes, position = self.config.train.minutes, self.position
        if minutes is None or position.epoch == 0:
            return position.epochs
        fitting = int(60 * minutes * position.epoch / position.seconds)
        return min(position.epochs, max(position.epoch + 1, fitting))

    def set_rate(self) -> None:
        """Learning rate for the next step, a function of the share of the run that is done.

        With a warm-up there are two cycles, so that the poses are settled when it ends.
        """
        settings, position = self.config.train, self.position
        done = position.epoch + position.step / len(self.loader)
        first = self.teacher.warmup if self.teacher else position.epochs
        second = max(position.epochs - first, 1)
        share = done / first if done < first else (done - first) / second
        rate = settings.lr * (one_cycle(share) if settings.schedule == "one-cycle" else 1)
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def save(self) -> None:
        """Write last.safetensors: everything that `restore` needs to go on exactly."""
        optimizer, groups = checkpoint.flat(self.optimizer.state_dict())
        tensors = {f"model.{k}": v for k, v in self.inner.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer.items()}
        for rank, noise in enumerate(self.ranks.all(noise_state())):
            tensors |= {f"{noise_name(rank)}.{k}": v for k, v in noise.items()}
        if self.teacher:
            tensors |= {f"targets.{k}": v for k, v in vars(self.teacher.targets).items()}
        scaler = self.accelerator.scaler
        state = self.state() | {
            "ranks": self.ranks.count,
            "together": self.ranks.count * self.size,
            "optimizer": groups,
            "scaler": scaler.state_dict() if scaler is not None else None,
        }
        if self.accelerator.is_main_process:
            checkpoint.save(checkpoint.run_file(self.run, "last"), tensors, state)

    def save_best(self) -> None:
        """Write best.safetensors: the model alone."""
        tensors = {f"model.{k}": v for k, v in self.inner.state_dict().items()}
        if self.accelerator.is_main_process:
            checkpoint.save(checkpoint.run_file(self.run, "best"), tensors, self.state())

    def state(self) -> dict[str, Any]:
        """Settings and position as JSON values."""
        return {
            "config": self.config.to_dict(),
            "shape": list(self.shape),
            "data": self.digest,
            "position": dataclasses.asdict(self.position),
        }

    def restore(self) -> None:
        """Go back to what `save` wrote.

        Raises:
            UserError: there is no such file, or it does not fit the settings.
        """
        path = checkpoint.run_file(self.run, "last")
        tensors, state = checkpoint.load(path)
        checkpoint.check_data(self.run, self.data, state)
        try:
            self.inner.load_state_dict(checkpoint.part(tensors, "model"))
            self.optimizer.load_state_dict(
                checkpoint.nested(checkpoint.part(tensors, "optimizer"), state["optimizer"])
            )
            self.lay_out()
            self.position = Position(**{**state["position"], "window": 0})
            self.show(state["position"].get("window", 0))
            goal, before = self.config.train, state["config"]["train"]
            if (goal.epochs, goal.minutes) != (before["epochs"], before.get("minutes")):
                self.position.epochs = int(goal.epochs)  # a plan for another goal is void
            if self.teacher:
                self.teacher.plan(self.position.epochs, self.position.warmup)
            self.take_place(tensors, state.get("ranks", 1), state.get("together"))
            for name, value in checkpoint.part(tensors, "targets").items():
                vars(self.teacher.targets)[name].copy_(value)  # pyright: ignore[reportOptionalMemberAccess]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"{path}: does not fit this run's settings ({error}).") from error
        if self.accelerator.scaler is not None and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def lay_out(self) -> None:
        """Make an optimizer's loaded state fit this machine's fused kernel.

        It walks weights and moments side by side through memory, so that a moment that was read
        from a file must lie as its weight does, channels last say.
        """
        for group in self.optimizer.param_groups:
            group["fused"] = self.fused
        for weight, entry in self.optimizer.state.items():
            for name, value in entry.items():
                if value.shape == weight.shape:
                    entry[name] = torch.empty_like(weight).copy_(value)

    def take_place(self, tensors: dict[str, Tensor], ranks: int, together: int | None) -> None:
        """Go on in the epoch and in the noise where other ranks, or as many, were.

        The order of an epoch's images is the same for any number of ranks, so that another one goes
        on at the same image, down to a whole step; only its noise is new.

        Args:
            tensors: of the checkpoint.
            ranks: that wrote it.
            together: images of all their batches; None: as many as of these.
        """
        position, now = self.position, self.ranks.count * self.size
        if together not in (None, now):
            means, position.step = position.means(), position.step * together // now
            position.sums = [means[name] * position.step for name in TERMS]
        as_many = ranks == self.ranks.count
        set_noise_state(checkpoint.part(tensors, noise_name(self.ranks.index * as_many)))
        if not as_many:
            self.ranks.seed(self.config.train.seed, position.epoch, position.step)

    def close(self) -> None:
        """End the group of the ranks, with its threads, before this process ends.

        A thread that still gives back a tensor of Python's when that has gone aborts the process.
        """
        self.ranks.group = None  # the last to hold it
        self.accelerator.end_training()

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
        if isinstance(self.inner, Baseline) and not self.inner.quick:
            return {}
        pixels, model = self.data.validation.images.pixels, self.inner.eval()
        clustered = self.teacher is None or self.teacher.grouped
        signs = examine(model, pixels, self.support, clustered=clustered)
        model.train()
        return signs


def check_finite(means: dict[str, float], position: Position, run: Path) -> None:
    """Stop a training that went astray, saying what to try.

    Raises:
        TrainingError: the loss is NaN or infinite.
    """
    if math.isfinite(means["loss"]):
        return
    parts = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
    raise TrainingError(
        f"the loss is not finite at epoch {position.epoch + 1}, step {position.step} ({parts}); "
        f"{checkpoint.run_file(run, 'last')} is from before. Train anew with a smaller --lr (a "
        "third), --precision no or a smaller --alpha, and check the images for odd values."
    )


def stacked(terms: Terms) -> Tensor:
    """The terms as one tensor without gradients, in the order of `TERMS`."""
    return torch.stack([getattr(terms, name).detach() for name in TERMS])
