"""How canonical images of the default model are sorted into clusters."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import Hints, to_bytes
from mcevae.models.config import MOST_CLUSTERS, PlannedConfig
from mcevae.models.default.beginning import about, warned
from mcevae.models.default.describing import described
from mcevae.teaching.cluster import Grouping, start_clusters
from mcevae.teaching.described import sorted_by_all
from mcevae.teaching.rings import Track

SLIGHT = math.radians(12)
"""Canonical images may still be turned this far from each other."""
AGAIN = 2
"""With learned descriptions, clusters are found again at this redraw: frames have settled by then,
so that canonical images of things that look alike hardly differ in pose."""
TURNED = math.radians(45)
"""Features are learned from canonical images that are turned by at most this, within the support.
Of 26 capitals, first clusters are 0.95 to 0.98 right with 45 degrees and 0.88 with 12, with which
features tell styles of one letter apart. With 90 degrees they mix up digits."""


def group_canonical(
    config: PlannedConfig,
    canonical: Float[Tensor, "n c h w"],
    group: MatrixGroup,
    clusters: int | None,
    track: Track,
    features: Float[Tensor, "n f"] | None = None,
    hints: Hints | None = None,
) -> tuple[Grouping, str]:
    """Sort canonical images into clusters; return them and a message about them.

    Args:
        config: settings of the run.
        canonical: images from 0 to 1, moved back by their poses.
        group: of the poses.
        clusters: K; None to choose it.
        track: wraps lists of parts of the work.
        features: numbers that describe each image as well.
        hints: what a person said of some images.
    """
    start = config.start
    rings = described(config, to_bytes(canonical), group, track).rings

    how: dict[str, Any] = {
        "restarts": start.restarts,
        "seed": config.train.seed,
        "most": MOST_CLUSTERS,
        "hints": hints,
        "track": track,
    }
    if start.grouping == "kmeans":
        found, told = warned(lambda: start_clusters(rings.flatten(1), None, clusters, **how))
        return found, about(found, "kmeans") + told
    how |= {
        "neighbours": start.neighbours,
        "reach": SLIGHT if group.polar else 0.0,
        "mirror": group.mirrors,
        "by": start.grouping,
    }
    (graph, found), told = warned(lambda: sorted_by_all(rings, features, clusters, **how))
    return found, about(found, graph.by, features=features is not None) + told


def numbered_as(found: Grouping, known: Int[Tensor, " n"]) -> Grouping:
    """Give clusters the numbers of the known clusters with which they share most images.

    Args:
        found: the clusters.
        known: others of the same images, from 0; -1 where there is none.
    """
    both = torch.zeros(found.clusters, found.clusters)
    some = (known >= 0) & (known < found.clusters)
    both.index_put_((found.labels[some], known[some]), torch.tensor(1.0), accumulate=True)
    number = torch.from_numpy(linear_sum_assignment(both.numpy(), maximize=True)[1])
    pairs = [tuple(sorted(number[list(pair)].tolist())) for pair in found.duplicates]
    return replace(found, labels=number[found.labels], duplicates=pairs)
