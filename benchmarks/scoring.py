"""Scores that the package's own `evaluate` does not have: poses by kind, rare kinds, the graph."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from graph_alone import graph_alone
from torch import Tensor

from mcevae.images.splits import Posed, Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.infer import Embedding, embed
from mcevae.runs.metrics import matched_accuracy
from mcevae.runs.pose_scores import frames

Figures = dict[str, dict[str, Any]]

DIGITS = (*("mnist", "mnist-mini", "mnist-u", "se2-mnist", "so2-mnist", "affnist-like", "unequal"),)
"""Names of the sets of digits."""

HALF_TURN = (0, 1, 8)
"""Digits that half a turn brings back to themselves: their rotation is not defined."""

NAMING = 5_000
"""Training images by which clusters are named, at most."""

GRAPH = 20_000
"""Images that the graph alone gets, at most: all test images, and training images beside them."""


def extra_scores(model: Model, config: Config, data: Splits, split: str) -> Figures:
    """Scores of a run on a split, beside those of `evaluate`.

    Args:
        model: the trained model.
        config: its settings.
        data: its images.
        split: test or validation.
    """
    scored: Posed = getattr(data, split)
    held = data.validation if split == "test" else data.train.subset(slice(len(data.validation)))
    found = embed(model, scored.images.pixels)
    scores = turned(model, config, found, scored, held)
    named, labels = data.train.subset(slice(NAMING)).images, scored.images.labels
    if named.labels is None or labels is None:
        return scores
    known = embed(model, named.pixels).cluster
    balanced = balanced_accuracy(known, named.labels, found.cluster, labels)
    scores["balanced_accuracy"] = figure(balanced, "share", len(labels))
    return scores | graph_scores(model, config, data.train, scored)


def figure(value: float, unit: str, n: int) -> dict[str, Any]:
    """A score as results files have it."""
    return {"value": value, "unit": unit, "n": n}


def turned(model: Model, config: Config, found: Embedding, scored: Posed, held: Posed) -> Figures:
    """Rotation error in degrees, and the share of images whose error is more than 90 degrees.

    Both are against each cluster's frame. For sets of digits, without the digits `HALF_TURN`.

    Args:
        model: the trained model.
        config: its settings.
        found: what it finds in the scored images.
        scored: images that are scored.
        held: other images, which tell the frame of each cluster.
    """
    labels, truth = scored.images.labels, scored.elements
    if truth is None or held.elements is None or labels is None:
        return {}
    digits = Path(config.data.source).stem in DIGITS
    own = frames(embed(model, held.images.pixels), held.elements, model.group)[found.cluster]
    error = model.group.distance(model.group.compose(found.element, own), truth)["rotation_deg"]
    if digits:
        error = error[~torch.isin(labels, torch.tensor(HALF_TURN))]
    ending, n = "_not_0_1_8" if digits else "", len(error)
    return {
        f"rotation_error_median{ending}": figure(error.median().item(), "deg", n),
        f"upside_down{ending}": figure((error > 90).float().mean().item(), "share", n),
    }


def balanced_accuracy(known: Tensor, names: Tensor, clusters: Tensor, labels: Tensor) -> float:
    """Share of right names in each kind, averaged over kinds, so that rare ones count as much.

    Each cluster gets the label that most of its images have. Several may get the same.

    Args:
        known, names: (n,) clusters and labels of the images that name clusters. A cluster with
            none of them gets no name, and its images count as wrong.
        clusters, labels: (m,) clusters and labels of the images that are scored.
    """
    size = int(max(known.max(), clusters.max())) + 1, int(max(names.max(), labels.max())) + 1
    counts = np.zeros(size, dtype=np.int64)
    np.add.at(counts, (known.numpy(), names.numpy()), 1)
    name = np.where(counts.any(1), counts.argmax(1), -1)
    right = name[clusters.numpy()] == labels.numpy()
    return float(np.mean([right[labels.numpy() == kind].mean() for kind in labels.unique()]))


def graph_scores(model: Model, config: Config, train: Posed, scored: Posed) -> Figures:
    """Scores of the invariant graph without training, on the same images.

    Args:
        model: the trained model, whose group is used.
        config: settings of the run.
        train: training images, the first of which the graph gets too.
        scored: images that are scored.
    """
    n = len(scored)
    some = train.subset(slice(max(0, GRAPH - n))).images
    found = graph_alone(torch.cat((some.pixels, scored.images.pixels)), config, model.group)
    known, clusters = found[:-n], found[-n:]
    assert some.labels is not None and scored.images.labels is not None
    labels = scored.images.labels
    accuracy = matched_accuracy(clusters.numpy(), labels.numpy())
    balanced = balanced_accuracy(known, some.labels, clusters, labels)
    return {
        "graph_accuracy": figure(accuracy, "share", n),
        "graph_balanced_accuracy": figure(balanced, "share", n),
    }
