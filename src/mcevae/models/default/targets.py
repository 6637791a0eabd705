"""Targets: the cluster and pose that the default model is taught for each training image."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup, mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Hints, to_float

TAUGHT = ("cluster", "element", "weight")
"""The parts of `Targets` that the objective reads. The others help to make new targets."""

UNKNOWN = -1
"""Stands for the cluster of an image that has no cluster yet."""


SHRINKAGE = 0.7
"""New targets must leave a cluster this share of its first images. On digits they leave 0.8 to 1; a
cluster that other clusters take over loses all its images in three or four redraws."""

TINY = 1e-12
"""Smallest probability of a hypothesis if one of this cluster must be drawn."""

ALIKE = 45
"""Two poses lie the same way if they are turned by less from each other, in degrees."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Targets of N training images, in the order of the images.

    Attributes:
        cluster: (N,), the cluster, or `UNKNOWN`.
        first: (N,), the first cluster that the image had, or `UNKNOWN`.
        element: (N, 3, 3), the pose, which moves the canonical image onto the image.
        weight: (N,), how much the target counts, from 0 to 1.
        firm: (N,), whether the image keeps its first cluster to the end.
    """

    cluster: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    element: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]
    firm: Bool[Tensor, " n"]

    @classmethod
    def unknown(cls, n: int, group: MatrixGroup) -> "Targets":
        """Targets of n images of which nothing is known."""
        none = torch.full((n,), UNKNOWN)
        nothing = {"cluster": none, "first": none.clone(), "firm": none >= 0}
        return cls(element=group.identity(n), weight=torch.ones(n), **nothing)

    @property
    def kept(self) -> Int[Tensor, " n"]:
        """(N,), the first cluster of images that keep it, `UNKNOWN` for the others."""
        return torch.where(self.firm, self.first, UNKNOWN)


def moved_back(
    pixels: UInt8[Tensor, "n c h w"],
    element: Float[Tensor, "n 3 3"],
    group: MatrixGroup,
    background: float,
    chunk: int,
) -> Iterator[Float[Tensor, "some c h w"]]:
    """Give canonical images, from 0 to 1: each is moved back by its pose.

    Args:
        pixels: images.
        element: their poses.
        group: of the poses.
        background: what moves in from outside, from 0 to 1.
        chunk: images at a time.
    """
    back = group.inverse(element)
    for some, M in zip(pixels.split(chunk), back.split(chunk), strict=True):
        yield warp(to_float(some), M, background=background).clamp(0, 1)


def drawn(
    joint: Float[Tensor, "n k r"], allowed: Float[Tensor, " r"], cluster: Int[Tensor, " n"]
) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Draw a cluster and a rotation for each image from the squared posterior.

    Args:
        joint: probability of each cluster and rotation.
        allowed: 1 for rotations inside the support, 0 outside.
        cluster: draw only from this cluster of each image; `UNKNOWN`: from all.
    """
    if (known := cluster != UNKNOWN).any():
        own = F.one_hot(cluster.clamp_min(0), joint.shape[1])[..., None]
        joint = torch.where(known[:, None, None], (joint + TINY * allowed) * own, joint)
    found = torch.multinomial(joint.flatten(1).square(), 1)[:, 0]
    return found // joint.shape[2], found % joint.shape[2]


def put(targets: Targets, rows: Int[Tensor, " rows"], others: Targets) -> Targets:
    """Return the targets with those of some rows replaced by others."""
    whole = {each.name: getattr(targets, each.name).clone() for each in fields(Targets)}
    for name, column in whole.items():
        column[rows] = getattr(others, name)
    return Targets(**whole)


def hinted(targets: Targets, hints: Hints | None) -> Targets:
    """Return targets in which images with a hint keep their cluster to the end.

    Images with a label have its cluster, the others that which the graph gave them.

    Args:
        targets: the targets; without any cluster, they do not change.
        hints: what a person said of some images; None: nothing.
    """
    if hints is None or (targets.first == UNKNOWN).all():
        return targets
    rows = hints.labelled()
    cluster, first = (
        known.index_put((rows,), hints.of[rows]) for known in (targets.cluster, targets.first)
    )
    firm = targets.firm.index_fill(0, hints.rows(), True)
    return replace(targets, cluster=cluster, first=first, firm=firm)


def swallowed(
    first: Int[Tensor, " n"], cluster: Int[Tensor, " n"], clusters: int
) -> Int[Tensor, " some"]:
    """Find the first images of clusters that would keep less than `SHRINKAGE` of them.

    The network learns what a redraw takes from a cluster, and then the next redraw takes more. A
    cluster that others take over in this way, fast or slowly, does not come back by itself.

    Args:
        first: the first cluster of each image, or `UNKNOWN`.
        cluster: its new cluster.
        clusters: K.
    """
    known = first != UNKNOWN
    before = first[known].bincount(minlength=clusters)
    after = cluster[known].bincount(minlength=clusters)
    return ((after < SHRINKAGE * before)[first] & known).nonzero()[:, 0]


def same_way(
    group: MatrixGroup, found: Float[Tensor, "n 3 3"], known: Float[Tensor, "n 3 3"]
) -> float:
    """Share of poses that lie the same way: as mirrored, and turned by less than `ALIKE`.

    Args:
        group: of the poses.
        found, known: two poses of each image.
    """
    near = group.distance(found, known)["rotation_deg"] < ALIKE
    return (near & (mirrored(found) == mirrored(known))).float().mean().item()
