"""What an invariant graph finds without any training: the floor that a trained run must pass."""

from jaxtyping import Int64, UInt8
from torch import Tensor

from mcevae.models.config import Config


def graph_alone(images: UInt8[Tensor, "n c h w"], settings: Config) -> Int64[Tensor, " n"] | None:
    """Sort images into clusters by the invariant graph alone, no network being trained.

    `scoring` calls it beside each trained run, so that both are scored on the same test images.

    Args:
        images: training images, then test images.
        settings: settings of the run: number of clusters, group and support, seed.

    Returns:
        Cluster of each image, from 0. None: there is no such graph in the package yet.
    """
    return None
