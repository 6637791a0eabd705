"""Presets `default` and `paper`: what their models read, and settings. Imports no tensors.

Peers have theirs in their own files.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from mcevae.models.config import StartConfig
from mcevae.models.registry import ModelSpec

if TYPE_CHECKING:
    from mcevae.models.default.model import DefaultModel
    from mcevae.models.paper import PaperModel


def build_default(*described: Any) -> "DefaultModel":
    """The default model; arguments of `assembly.default`."""
    from mcevae.models import assembly

    return assembly.default(*described)


def build_paper(*described: Any) -> "PaperModel":
    """The paper's model; arguments of `assembly.paper`."""
    from mcevae.models import assembly

    return assembly.paper(*described)


PAPER_TRAINING = {
    "epochs": 60,
    "batch_size": 100,
    "lr": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
}
"""Section 4 of the paper. Peers are trained for as long."""
PAPER_SIZES = {"variation": 3}

DEFAULT = ModelSpec(
    build=build_default,
    reads=frozenset(
        {"model.rotations", "model.variation", "model.encode", "model.hidden"}
        | {"objective.alpha", "objective.beta", "objective.likelihood"}
        | {f"start.{setting.name}" for setting in dataclasses.fields(StartConfig)}
    ),
    finds_clusters=True,
    few_steps_hurt=True,
)
"""What we recommend: clusters and poses as explicit hypotheses, taught by self-training."""

PAPER = ModelSpec(
    build=build_paper,
    reads=frozenset(
        {"model.variation", "model.latent", "model.prior_weights", "model.posterior_weights"}
        | {"model.channels", "model.hidden", "model.pose_hidden", "model.decoder_hidden"}
        | {"objective.mode", "objective.alpha", "objective.beta", "objective.draws"}
        | {"objective.invariance_noise", "objective.likelihood"}
    ),
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
"""The paper as written: 60 epochs of batches of 100, Adam 1e-3, alpha 1."""
