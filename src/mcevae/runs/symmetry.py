"""Which turns of a cluster's canonical image give the same picture, and how sure its frame is.

Both come from the synchronisation of the cluster's images (`teaching.synchronise`), after training:
then they are about the clusters that the model has learned, however these were found.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mcevae.geometry.groups import SO2, MatrixGroup, mirrored
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.infer import embed
from mcevae.runs.units import clusters_of
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of
from mcevae.teaching.synchronise import ORDERS
from mcevae.teaching.upright import orient

SAMPLE = 6000
"""Number of training images that are looked at, at most."""
EACH = 300
"""Number of images of a cluster that are compared with each other, at most."""
LEAST = 8
"""A cluster with fewer images tells nothing."""
NEIGHBOURS = 15


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """Symmetry and consistency of the frames of K clusters.

    Attributes:
        order: (K,) n, if a turn by a whole turn divided by n gives the same picture; 1: none does.
        consistency: (K,) how well the turns between the images of the cluster agree with one frame,
            0 to 1: the mean agreement of edges with the leading eigenvector of the synchronisation.
            None: the cluster has too few images.
    """

    order: tuple[int, ...]
    consistency: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.order) != len(self.consistency):
            raise ValueError(f"{len(self.order)} orders, {len(self.consistency)} consistencies")
        if not all(1 <= n <= ORDERS for n in self.order):
            raise ValueError(f"an order of symmetry is not from 1 to {ORDERS}")
        if not all(one is None or 0 <= one <= 1 for one in self.consistency):
            raise ValueError("a consistency is not from 0 to 1")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Symmetry":
        """Read it from JSON values: the inverse of `asdict`.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are something else.
        """
        return cls(
            order=tuple(int(n) for n in values["order"]),
            consistency=tuple(None if c is None else float(c) for c in values["consistency"]),
        )

    def columns(
        self, cluster: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Order and consistency of each image's cluster; a consistency that is unknown is 0."""
        known = [0.0 if one is None else one for one in self.consistency]
        return np.array(self.order, np.int32)[cluster], np.array(known, np.float32)[cluster]

    def in_words(self, units: Sequence[str]) -> tuple[str, str]:
        """Orders and consistencies of the clusters of some units, as they are shown."""
        own = clusters_of(units)
        known = (self.consistency[k] for k in own)
        return (
            ", ".join(str(self.order[k]) for k in own),
            ", ".join("-" if one is None else f"{one:.2f}" for one in known),
        )

    def reduced(
        self,
        element: Float[Tensor, "n 3 3"],
        cluster: Int[Tensor, " n"],
        group: MatrixGroup,
    ) -> Float[Tensor, "n 3 3"]:
        """Give poses modulo the symmetry: with the smallest of the turns that draw the same.

        With order n the pose M becomes M R(2 pi j / n), whose rotation is from -pi / n to pi / n.

        Args:
            element: poses.
            cluster: of each image.
            group: of the poses.
        """
        order = torch.tensor(self.order, device=cluster.device)[cluster]
        which = order > 1
        if not which.any():
            return element
        own = element[which]
        period = 2 * math.pi / order[which].to(own.dtype)
        rotation = group.to_parameters(own)[:, 0]
        turn = -period * torch.floor(rotation / period + 0.5)
        turn = torch.where(mirrored(own), -turn, turn)  # F R(a) = R(-a) F
        turned = group.compose(own, SO2().exp(turn[:, None]))
        reduced = element.clone()
        reduced[which] = torch.where((turn == 0)[:, None, None], own, turned)
        return reduced


def measure(model: Model, config: Config, pixels: Tensor) -> Symmetry | None:
    """Find the symmetry of each cluster, and how consistent its frame is, from its images.

    Turns are looked for as far as two images of the support can be turned from each other.

    Args:
        model: model in evaluation mode.
        config: settings of the run.
        pixels: (N, C, H, W) uint8 training images, in random order.

    Returns:
        What was found. None: the group is given by generators, or the model searches for each
        image, which would take too long.
    """
    group: MatrixGroup = model.group
    if not (group.polar and model.quick):
        return None
    pixels = pixels[:SAMPLE]
    found = embed(model, pixels)
    label = found.cluster
    half_width = config.support.half_widths(group)[0]
    order, consistency = [], []
    for cluster in range(found.responsibilities.shape[1]):
        own = (label == cluster).nonzero()[:EACH, 0]
        if len(own) < LEAST:
            order.append(1)
            consistency.append(None)
            continue
        rings = describe_pixels(pixels[own], group, config.data.background_level).rings
        graph = invariant_graph(
            rings,
            min(NEIGHBOURS, len(own) - 1),
            reach=reach_of(half_width),
            mirror=group.mirrors,
        )
        nothing = torch.zeros(len(own), dtype=torch.long)
        oriented = orient(rings, graph, nothing, half_width, seed=config.train.seed)
        order.append(int(oriented.order[0]))
        consistency.append(round(float(oriented.consistency[0]), 4))
    return Symmetry(order=tuple(order), consistency=tuple(consistency))
