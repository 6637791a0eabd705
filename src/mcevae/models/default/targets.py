"""Targets: the cluster and pose that the default model is taught for each training image."""

from dataclasses import dataclass, fields

from jaxtyping import Float, Int
from torch import Tensor

TAUGHT = ("cluster", "element", "weight")
"""The parts of `Targets` that the objective reads. The others help to make new targets."""

UNKNOWN = -1
"""Stands for the cluster of an image that has no cluster yet."""


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
