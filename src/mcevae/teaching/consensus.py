"""Clusters that several labellings of the same images have in common.

Each restart of a grouping makes mistakes of its own: one takes 6 and 9 for one kind and sevens with
a bar for another, the next does not. Images that all labellings put together make a block. Blocks
are joined by how often they are together, with average linkage, until K are left (evidence
accumulation: Fred, Jain, "Combining multiple clusterings using evidence accumulation", 2005). Small
blocks mostly lie between clusters: they do not take part, and go where they are together most
often. Those that no labelling puts together with a large one are kinds of few images, and take
part.
"""

import numpy as np
from jaxtyping import Float, Int

FEWEST = 3
"""Labellings that can outvote one."""
BLOCK = 0.1
"""Images of a block that takes part, at least, as a share of the mean size of a cluster."""
LEAST = 2
"""And at least this many."""
MOST = 2_000
"""Blocks that take part, at most: with more, the labellings have too little in common."""


def consensus(
    labellings: list[Int[np.ndarray, " n"]], clusters: int
) -> Int[np.ndarray, " n"] | None:
    """Sort images into K clusters by how often labellings put them together.

    Args:
        labellings: clusters of the images, each with numbers of its own.
        clusters: K.

    Returns:
        (N,) 0 to K - 1. None: there are too few labellings, fewer than K blocks, or very many.
    """
    if len(labellings) < FEWEST:
        return None
    table = np.stack(labellings, 1)
    blocks, of, sizes = np.unique(table, axis=0, return_inverse=True, return_counts=True)
    large = sizes >= max(LEAST, BLOCK * len(table) / clusters)
    if large.sum() <= MOST:
        large |= ~shared(blocks, blocks[large]).any(1)
    if not clusters <= large.sum() <= MOST:
        return None
    together = shared(blocks, blocks[large])
    cluster = joined(together[large], sizes[large], clusters)
    member = np.eye(clusters)[cluster] * sizes[large, None]
    return (together @ (member / member.sum(0))).argmax(1)[of.ravel()]


def shared(
    blocks: Int[np.ndarray, "a r"], others: Int[np.ndarray, "b r"]
) -> Float[np.ndarray, "a b"]:
    """Share of the r labellings in which a block is in the same cluster as each other one."""
    found = np.zeros((len(blocks), len(others)))
    for one, other in zip(blocks.T, others.T, strict=True):
        found += one[:, None] == other
    return found / blocks.shape[1]


def joined(
    together: Float[np.ndarray, "b b"], sizes: Int[np.ndarray, " b"], clusters: int
) -> Int[np.ndarray, " b"]:
    """Join the two blocks that are together most often, until K are left: (b,) from 0 to K - 1.

    Args:
        together: share of the labellings in which two blocks are together.
        sizes: images of each block.
        clusters: K, at most b.
    """
    cluster, alike, weight = np.arange(len(sizes)), together.copy(), sizes.astype(float)
    np.fill_diagonal(alike, -1)
    for _ in range(len(sizes) - clusters):
        a, b = np.unravel_index(alike.argmax(), alike.shape)
        alike[a] = (weight[a] * alike[a] + weight[b] * alike[b]) / (weight[a] + weight[b])
        alike[:, a] = alike[a]
        alike[a, a] = alike[b] = alike[:, b] = -1
        weight[a] += weight[b]
        cluster[cluster == b] = a
    return np.unique(cluster, return_inverse=True)[1]
