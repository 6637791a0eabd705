"""Clusterings of the plain pixels, without a model. Any model should be better than these.

Each is fitted to the training images, without labels, and gives the clusters of other images.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline, make_pipeline
from torch import Tensor

from mcevae.base.errors import UserError

Predict = Callable[[UInt8[Tensor, "n C H W"]], Int[np.ndarray, " n"]]
COMPONENTS = 50
"""Principal components, at most."""
MAP_SIZE = 4
"""Coordinates of the UMAP layout that the mixture is fitted to."""


def pipeline(name: str, clusters: int, seed: int, images: int) -> Pipeline:
    """k-means on pixels, k-means on principal components, or a mixture on a UMAP layout.

    Args:
        name: k-means, pca or umap.
        clusters: how many to find.
        seed: of the methods.
        images: how many there are.
    """
    grouping = KMeans(clusters, n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    if name == "k-means":
        return make_pipeline(grouping)
    components = PCA(min(COMPONENTS, images), random_state=seed)
    if name == "pca":
        return make_pipeline(components, grouping)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP
    layout = UMAP(
        n_components=MAP_SIZE, n_neighbors=min(15, images - 1), min_dist=0.0, random_state=seed
    )
    return make_pipeline(
        components, layout, GaussianMixture(clusters, n_init=3, reg_covar=1e-4, random_state=seed)
    )


def fit_floor(name: str, pixels: UInt8[Tensor, "N C H W"], clusters: int, seed: int) -> Predict:
    """Fit a floor to images.

    Args:
        name: "k-means", "pca" or "umap".
        pixels: training images.
        clusters: K.
        seed: of the random start.

    Returns:
        A function from images to their clusters.

    Raises:
        UserError: there are fewer images than clusters.
    """
    if len(pixels) < clusters:
        raise UserError(
            f"{len(pixels)} training images are too few for {clusters} clusters; give more images."
        )

    def rows(images: Tensor) -> Float[np.ndarray, "n pixels"]:
        return images.flatten(1).numpy().astype(np.float32) / 255

    threads = torch.get_num_threads()
    with warnings.catch_warnings():  # UMAP's, of its own dependencies and its use of one thread
        warnings.simplefilter("ignore")
        try:
            fitted = pipeline(name, clusters, seed, len(pixels)).fit(rows(pixels))
        finally:
            torch.set_num_threads(threads)  # numba sets OpenMP's number, which torch shares

    def predict(images: Tensor) -> Int[np.ndarray, " n"]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(fitted.predict(rows(images)))

    return predict
