"""Whether there are as many clusters as the invariant graph shows kinds of images."""

import math

import numpy as np
from jaxtyping import Int

from mcevae.runs.scores import effective_number
from mcevae.runs.trust.links import edges_of
from mcevae.teaching.communities import stable_communities
from mcevae.teaching.graph import Graph

SAME = 0.3
"""See `stable_communities`. With 0.15, as where a number of kinds is chosen, similar kinds are too
often taken for one, and then too few clusters look like enough."""


LEAST = 4
"""Neighbours that communities are found with, at least."""


def enough_of(graph: Graph, labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Compare the effective number of clusters with that of the stable communities.

    Only the nearest neighbours count, sqrt(n) / 4 of them: where there are few images of each
    kind, more would reach into other kinds and make them one.

    Args:
        graph: the images and their neighbours.
        labels: cluster of each image.

    Returns:
        Clusters for each community, and communities for each cluster; both at most 1.
    """
    near = edges_of(graph, max(LEAST, round(math.sqrt(len(labels)) / 4)))
    own, found = np.bincount(labels), np.bincount(stable_communities(near, same=SAME))
    ratio = effective_number(own) / effective_number(found)
    return min(1.0, ratio), min(1.0, 1 / ratio)
