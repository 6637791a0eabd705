"""Presets `default`, `quick` and `paper`: their settings, and which settings their models read.

Peers have their presets in their own files. This module imports no tensors.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from mcevae.models.registry import ModelSpec
from mcevae.models.start_config import StartConfig

if TYPE_CHECKING:
    from mcevae.models.default.model import DefaultModel
    from mcevae.models.neighbours.model import NeighbourModel
    from mcevae.models.paper import PaperModel


def build_default(*described: Any) -> "DefaultModel":
    """Build the default model; the arguments are those of `assembly.default`."""
    from mcevae.models import assembly

    return assembly.default(*described)


def build_quick(*described: Any) -> "NeighbourModel":
    """Build the model of preset `quick`; the arguments are those of `assembly.quick`."""
    from mcevae.models import assembly

    return assembly.quick(*described)


def build_paper(*described: Any) -> "PaperModel":
    """Build the paper's model; the arguments are those of `assembly.paper`."""
    from mcevae.models import assembly

    return assembly.paper(*described)


PAPER_TRAINING = {
    "epochs": 60,
    "batch_size": 100,
    "lr": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
    "precision": "no",
}
"""Training as in section 4 of the paper. Peers are trained equally long, in the same precision."""
PAPER_SIZES = {"variation": 3}

DEFAULT = ModelSpec(
    build=build_default,
    reads=frozenset(
        {"model.mirror", "model.rotations", "model.variation", "model.encode", "model.hidden"}
        | {"objective.alpha", "objective.beta", "objective.likelihood"}
        | {f"start.{setting.name}" for setting in dataclasses.fields(StartConfig)}
    ),
    finds_clusters=True,
    few_steps_hurt=True,
    extends=True,
)
"""The model that we recommend: it compares pairs of cluster and pose, and teaches itself."""

QUICK = ModelSpec(
    build=build_quick,
    reads=frozenset(
        {"model.mirror", "model.variation"}
        | {"start.grouping", "start.neighbours", "start.restarts", "start.subset"}
        | {"start.descriptions"}
    ),
    preset={"model": {"variation": 8}},
    finds_clusters=True,
    trained=False,
    extends=True,
)
"""The invariant graph alone: no network. New images are placed by their nearest neighbours."""

PAPER = ModelSpec(
    build=build_paper,
    reads=frozenset(
        {"model.variation", "model.latent", "model.prior_weights", "model.posterior_weights"}
        | {
            "model.networks",
            "model.filters",
            "model.hidden",
            "model.pose_hidden",
            "model.decoder_hidden",
        }
        | {"objective.mode", "objective.alpha", "objective.beta", "objective.draws"}
        | {"objective.invariance_noise", "objective.likelihood"}
    ),
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
"""The model as published: 60 epochs, batches of 100, Adam with rate 1e-3, alpha 1."""
