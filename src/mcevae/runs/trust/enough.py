"""Whether there are as many clusters as the invariant graph shows kinds of images."""

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int

from mcevae.runs.scores import effective_number
from mcevae.teaching.communities import stable_communities


def enough_of(edges: sp.csr_matrix, labels: Int[np.ndarray, " n"]) -> float:
    """The effective number of clusters, as a share of that of the stable communities; at most 1.

    Args:
        edges: (N, N) symmetric weights.
        labels: cluster of each image.
    """
    own, found = np.bincount(labels), np.bincount(stable_communities(edges))
    return min(1.0, effective_number(own) / effective_number(found))
