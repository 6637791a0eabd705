"""Whether there are as many clusters as the invariant graph shows kinds of images."""

import numpy as np
from jaxtyping import Int

from mcevae.runs.scores import effective_number
from mcevae.teaching.communities import nearest_edges, stable_communities
from mcevae.teaching.graph import Graph

SAME = 0.3
"""See `stable_communities`. With 0.15, as where a number of kinds is chosen, similar kinds are too
often taken for one, and then too few clusters look like enough."""


def enough_of(graph: Graph, labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Compare the effective number of clusters with that of the stable communities.

    Args:
        graph: the images and their neighbours.
        labels: cluster of each image.

    Returns:
        Clusters for each community, and communities for each cluster; both at most 1.
    """
    kinds = stable_communities(nearest_edges(graph), same=SAME)
    own, found = np.bincount(labels), np.bincount(kinds)
    ratio = effective_number(own) / effective_number(found)
    return min(1.0, ratio), min(1.0, 1 / ratio)
