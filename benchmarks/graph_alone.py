"""What an invariant graph finds without any training: the floor that a trained run must pass."""

from jaxtyping import Int64, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.default.beginning import begin_with_graph
from mcevae.training.schedule import planned


def graph_alone(
    images: UInt8[Tensor, "n c h w"], settings: Config, group: MatrixGroup
) -> Int64[Tensor, " n"]:
    """Sort images into clusters by the invariant graph of pixels alone, no network being trained.

    `scoring` calls it beside each trained run, so that both are scored on the same test images.

    Args:
        images: training images, then test images.
        settings: settings of the run: number of clusters, support, seed.
        group: of the poses.

    Returns:
        Cluster of each image, from 0.
    """
    plan = planned(settings.changed(start={"descriptions": "pixels"}), len(images))
    found = begin_with_graph(plan, images, group, plan.support.half_widths(group), iter).grouping
    assert found is not None  # a graph has clusters
    return found.labels
