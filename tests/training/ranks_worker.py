"""What one rank of a training does, without noise, so that it can be compared with others.

    torchrun --standalone --nproc-per-node N tests/training/ranks_worker.py FOLDER BATCH_SIZE

For every preset: gradients of the first step, means over an epoch and over the validation images,
and the weights after it, to FOLDER/PRESET-RANK-of-N.safetensors. Without torchrun N is 1.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import patch

import torch
from rich.console import Console
from torch import Tensor
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import spec_of
from mcevae.runs import checkpoint
from mcevae.runs.data import prepare_for
from mcevae.training.bar import Bar
from mcevae.training.loop import take_steps
from mcevae.training.ranks import told_of_losses
from mcevae.training.trainer import Trainer

TRAINED = sorted(name for name, make in PRESETS.items() if spec_of(make().model.kind).trained)
SIZES = {"hidden": 16, "decoder_hidden": 16, "pose_hidden": 8, "filters": (4, 4, 4, 4)}
SMALLER = {"filters": ("paper", "dti", "iic", "aet", "scan")}


def small(preset: str, batch_size: int) -> Config:
    """A preset on 200 images, two steps' worth, with small networks where it has a choice."""
    config = PRESETS[preset]()
    train = {"batch_size": batch_size, "epochs": 4, "minutes": None, "precision": "no"}
    sizes = {"clusters": 3, "hidden": 16}
    sizes |= {k: v for k, v in SIZES.items() if preset in SMALLER.get(k, ("paper",))}
    sizes = {k: v for k, v in sizes.items() if spec_of(config.model.kind).knows(f"model.{k}")}
    start = {"templates": 4, "subset": 200, "neighbours": 5} if preset == "default" else {}
    draws = {"draws": 2} if preset == "paper" else {}
    data = {"source": "mnist-mini", "limit": 200}
    return config.changed(data=data, model=sizes, train=train, start=start, objective=draws)


@cache
def few() -> Splits:
    """200 images to train on, and 201 to validate on, which do not come out even."""
    data = prepare_for(small("paper", 2))
    return replace(data, validation=data.validation.subset(slice(201)))


def steady(preset: str, name: str) -> bool:
    """Whether rounding hardly changes the gradient of a weight.

    In preset paper the gradient of a pose jumps where a pixel crosses another: a change of the
    weights by 1e-6 changes it by a tenth. It reaches the encoder and the pose's extractor.
    """
    return preset != "paper" or not name.startswith(("encoder", "extract_pose"))


@contextmanager
def still() -> Iterator[None]:
    """Draw nothing: noise is zero, motions are half the support, dropout lets all through."""

    def mean(q: Normal, shape: tuple[int, ...] = ()) -> Tensor:
        return q.loc.expand(shape + q.loc.shape)

    def motion(group: MatrixGroup, n: int, support: tuple[float, ...], **_: object) -> Tensor:
        return group.from_parameters(torch.tensor(support).expand(n, -1) / 2)

    with (
        patch.object(torch, "randn", lambda *shape, **_: torch.zeros(*shape)),
        patch.object(torch, "randn_like", torch.zeros_like),
        patch.object(torch, "rand_like", torch.ones_like),
        patch.object(torch.nn.functional, "dropout", lambda x, *_, **__: x),
        patch.object(Normal, "rsample", mean),
        patch.object(Normal, "sample", mean),
        patch.object(MatrixGroup, "sample", motion),
    ):
        yield


def work(preset: str, data: Splits, folder: Path, batch_size: int) -> None:
    """The first step's gradients, then an epoch."""
    trainer = Trainer(small(preset, batch_size), data, folder)
    with still():
        trainer.teach()
        state = trainer.teacher.state()
        if "cluster" in state:
            trainer.teacher.restore({**state, "cluster": torch.arange(len(data.train)) % 3})
        trainer.set_rate()
        trainer.accelerator.backward(trainer.terms(next(iter(trainer.loader))).loss)
        found = {
            f"gradient.{name}": p.grad.clone()
            for name, p in trainer.inner.named_parameters()
            if p.grad is not None
        }
        trainer.optimizer.zero_grad()
        with Bar(Console(quiet=True), trainer.position, len(trainer.loader)) as bar:
            take_steps(trainer, [], bar)
        found["train"] = torch.tensor(list(trainer.position.means().values()))
        found["validation"] = torch.tensor(list(trainer.validate().values()))
    found |= {f"weights.{k}": v for k, v in trainer.inner.state_dict().items()}
    name = f"{preset}-{trainer.ranks.index}-of-{trainer.ranks.count}.safetensors"
    checkpoint.save(folder / name, found, {})


@told_of_losses()
def main() -> None:
    """All presets, one after another."""
    folder, batch_size = sys.argv[1:3]
    for preset in sys.argv[3:] or TRAINED:
        work(preset, few(), Path(folder), int(batch_size))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
