"""Targets: the cluster and pose that the default model is taught for each training image."""

from dataclasses import dataclass, fields

from jaxtyping import Float, Int
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup, mirrored

TAUGHT = ("cluster", "element", "weight")
"""The parts of `Targets` that the objective reads. The others help to make new targets."""

UNKNOWN = -1
"""Stands for the cluster of an image that has no cluster yet."""


SHRINKAGE = 0.7
"""New targets must leave a cluster this share of its first images. On digits they leave 0.8 to 1; a
cluster that other clusters take over loses all its images in three or four redraws."""

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
    """

    cluster: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    element: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]


def put(targets: Targets, rows: Int[Tensor, " rows"], others: Targets) -> Targets:
    """Return the targets with those of some rows replaced by others."""
    whole = {each.name: getattr(targets, each.name).clone() for each in fields(Targets)}
    for name, column in whole.items():
        column[rows] = getattr(others, name)
    return Targets(**whole)


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
