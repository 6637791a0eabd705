"""Whether backgrounds were sorted, and not what images show."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from mcevae.images.background import border
from mcevae.teaching.communities import leaving

FOLDS, TREES = 3, 60
SEED = 0
CHANCE = 0.05
"""A border that predicts clusters no better than this (kappa) says nothing."""


def by_background(
    images: Float[Tensor, "n c h w"],
    labels: Int[np.ndarray, " n"],
    edges: sp.csr_matrix,
    plain: Callable[[], sp.csr_matrix | None],
) -> float:
    """How far clusters are of backgrounds, from 0 to 1.

    The border of images may predict their clusters because backgrounds were sorted, but also
    because some kinds touch the border. In the second case clusters still hold together when all
    backgrounds are made alike. In the first, more edges then lead from one cluster to another.

    Args:
        images: from 0 to 1.
        labels: cluster of each image.
        edges: (N, N) graph of the images as they are.
        plain: gives the graph of the images on a plain background, or None if they cannot be put
            on one; it is only asked if needed.

    Returns:
        How many more edges lead out of a cluster, as a share of those that would by chance.
    """
    if by_border(images, labels) < CHANCE or (even := plain()) is None:
        return 0.0
    shares = np.bincount(labels) / len(labels)
    chance = max(1e-9, 1 - np.square(shares).sum())
    return float(np.clip((leaving(even, labels) - leaving(edges, labels)) / chance, 0, 1))


def by_border(images: Float[Tensor, "n c h w"], labels: Int[np.ndarray, " n"]) -> float:
    """How well the border of images alone predicts their clusters: Cohen's kappa, 0 to 1.

    The border's mean, spread and median of each channel go to a random forest, by cross-validation.
    """
    edge = images[:, :, border(*images.shape[2:])]
    numbers = torch.cat([edge.mean(2), edge.std(2), edge.median(2).values], 1).numpy()
    kept = np.bincount(labels)[labels] >= FOLDS
    numbers, labels = numbers[kept], labels[kept]
    if len(np.unique(labels)) < 2 or np.ptp(numbers, axis=0).max() < 1e-6:
        return 0.0
    forest = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=SEED, n_jobs=1)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    guess = cross_val_predict(forest, numbers, labels, cv=folds)
    return max(0.0, float(cohen_kappa_score(guess, labels)))
