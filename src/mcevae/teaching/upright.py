"""The poses of a cluster's images in one frame, and which way up that frame is.

Synchronisation leaves the frame of each cluster open. With a bounded support, the frame is the one
that puts the poses into the middle of it. Over the whole circle it is the one that people would
most often call upright: the longest axis stands, and the heavier end is below.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, wrapped
from mcevae.teaching.graph import Graph
from mcevae.teaching.rings import turned, turned_back, turns
from mcevae.teaching.synchronise import Edges, synchronise


@dataclass(frozen=True, kw_only=True)
class Oriented:
    """Poses of N images: each is R(angle) F^mirrored of its cluster's canonical image.

    Attributes:
        angle: (N,) radians, from -pi to pi; in the smallest turn that gives the same picture.
        mirrored: (N,) bool.
        order: (K,) order of the rotational symmetry of each cluster, 1 for none.
        consistency: (K,) how well the turns of each cluster agree, 0 to 1.
    """

    angle: Float[Tensor, " n"]
    mirrored: Bool[Tensor, " n"]
    order: Int[Tensor, " k"]
    consistency: Float[Tensor, " k"]


def orient(
    rings: Float[Tensor, "n c rings angles"],
    graph: Graph,
    labels: Int[Tensor, " n"],
    half_width: float,
    *,
    seed: int = 0,
) -> Oriented:
    """Find the pose of each image in the frame of its cluster.

    Args:
        rings: images on rings.
        graph: their neighbours.
        labels: their clusters, 0 to K - 1.
        half_width: half-width of the support of rotations, radians.
        seed: seed of the synchronisation.
    """
    n, k = graph.index.shape
    angle, mirrored = torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    clusters = int(labels.max()) + 1
    order = torch.ones(clusters, dtype=torch.long)
    consistency = torch.zeros(clusters)
    rows = torch.arange(n).repeat_interleave(k)
    others = graph.index.flatten()
    scale = graph.distance.median().clamp_min(1e-6)
    weight = torch.exp(-((graph.distance.flatten() / scale) ** 2)) + 1e-6
    place = torch.zeros(n, dtype=torch.long)
    for cluster in range(clusters):
        members = (labels == cluster).nonzero()[:, 0]
        if not len(members):
            continue
        place[members] = torch.arange(len(members))
        inside = (labels[rows] == cluster) & (labels[others] == cluster)
        edges = Edges(
            i=place[rows[inside]].numpy(),
            j=place[others[inside]].numpy(),
            angle=graph.turn.angle[inside].double().numpy(),
            mirrored=graph.turn.mirrored[inside].numpy(),
            weight=weight[inside].double().numpy(),
        )
        frame = synchronise(edges, len(members), seed)
        own = torch.from_numpy(frame.angle).float(), torch.from_numpy(frame.mirrored)
        own = _join(rings[members], *own, frame.part)
        mean = mean_picture(rings[members], *own)
        angle[members], mirrored[members] = settle(mean, *own, frame.order, half_width)
        order[cluster], consistency[cluster] = frame.order, frame.consistency
    return Oriented(angle=angle, mirrored=mirrored, order=order, consistency=consistency)


def mean_picture(
    rings: Float[Tensor, "n c rings angles"],
    angle: Float[Tensor, " n"],
    mirrored: Bool[Tensor, " n"],
) -> Float[Tensor, "c rings angles"]:
    """Mean of images after each is turned back by its pose."""
    return turned_back(rings, angle, mirrored).mean(0)


def moved(
    angle: Tensor, mirrored: Tensor, turn: Tensor | float, flip: Tensor | bool
) -> tuple[Tensor, Tensor]:
    """R(angle) F^mirrored R(turn) F^flip, as an angle and a sign."""
    return wrapped(torch.where(mirrored, angle - turn, angle + turn)), mirrored ^ flip


def _join(
    rings: Tensor, angle: Tensor, mirrored: Tensor, part: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Bring parts of a cluster that no edge connects into the frame of the largest part."""
    parts = torch.from_numpy(part).long()
    sizes = parts.bincount()
    if len(sizes) == 1:
        return angle, mirrored
    means = torch.stack(
        [mean_picture(rings[own], angle[own], mirrored[own]) for own in _each(parts)]
    )
    largest = means[sizes.argmax()].expand_as(means)
    turn = turns(largest, means, math.pi, bool(mirrored.any()))
    return moved(angle, mirrored, turn.angle[parts], turn.mirrored[parts])


def _each(parts: Tensor) -> list[Tensor]:
    return [parts == each for each in range(int(parts.max()) + 1)]


def settle(
    mean: Float[Tensor, "c rings angles"],
    angle: Float[Tensor, " n"],
    mirrored: Bool[Tensor, " n"],
    order: int,
    half_width: float,
) -> tuple[Tensor, Tensor]:
    """Choose the frame of a cluster, and the smallest turns in it.

    Args:
        mean: mean of its images on rings, each turned back by its pose.
        angle, mirrored: poses of the images in the frame of the mean.
        order: order of the rotational symmetry.
        half_width: half-width of the support of rotations, radians.
    """
    if mirrored.float().mean() > 0.5:  # fewer mirror images than others
        angle, mirrored = moved(angle, mirrored, 0.0, True)
        mean = turned(mean[None], mean.new_zeros(1), torch.ones_like(mirrored[:1]))[0]
    if half_width > WHOLE_CIRCLE:
        turn = _standing(mean)
    else:
        straight = torch.where(mirrored, -angle, angle)
        middle = torch.polar(torch.ones_like(angle), order * straight).mean().angle() / order
        turn = -middle.item()
    angle, mirrored = moved(angle, mirrored, turn, False)
    period = 2 * math.pi / order
    return torch.remainder(angle + period / 2, period) - period / 2, mirrored


def _standing(mean: Float[Tensor, "c rings angles"]) -> float:
    """The turn R in picture = R upright picture: the longest axis stands, the heavy end is down."""
    count, angles = mean.shape[-2:]
    radius = ((torch.arange(count) + 0.5) / count)[:, None]
    direction = torch.arange(angles) * (2 * math.pi / angles)
    mass = mean.abs().sum(0) * radius.sqrt()
    axis = torch.atan2(
        (mass * radius**2 * (2 * direction).sin()).sum(),
        (mass * radius**2 * (2 * direction).cos()).sum(),
    ).item()
    turn = math.pi / 2 - axis / 2
    tail = (mass * (radius * (direction + turn).sin()) ** 3).sum()  # y points down
    return -turn if tail <= 0 else -turn - math.pi
