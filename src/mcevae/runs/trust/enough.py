"""Whether there are as many clusters as the invariant graph shows kinds of images."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from mcevae.runs.scores import effective_number
from mcevae.teaching.communities import stable_communities

SAME = 0.3
"""See `stable_communities`. With 0.15, as where a number of kinds is chosen, similar kinds are too
often taken for one, and then too few clusters look like enough."""


def enough_of(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> tuple[float, float]:
    """Compare the effective number of clusters with that of the stable communities.

    Args:
        edges: (N, N) symmetric weights.
        labels: cluster of each image.

    Returns:
        Clusters for each community, and communities for each cluster; both at most 1.
    """
    own, found = np.bincount(labels), np.bincount(stable_communities(edges, same=SAME))
    ratio = effective_number(own) / effective_number(found)
    return min(1.0, ratio), min(1.0, 1 / ratio)
