"""What the default model is taught about each training image."""

from dataclasses import dataclass, fields

from jaxtyping import Float, Int
from torch import Tensor

TAUGHT = ("cluster", "element", "weight")
"""What `Targets` has for the objective; the rest is for new ones."""

UNKNOWN = -1
"""Cluster of an image that has none yet."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Guesses for N training images, in their order.

    Attributes:
        cluster: (N,), or `UNKNOWN`.
        first: (N,), the cluster that the image was given first, or `UNKNOWN`.
        element: (N, 3, 3), what moves the canonical image onto the image.
        weight: (N,), how much a guess counts, from 0 to 1.
    """

    cluster: Int[Tensor, " n"]
    first: Int[Tensor, " n"]
    element: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]


def put(targets: Targets, rows: Int[Tensor, " rows"], others: Targets) -> Targets:
    """The targets with those of some rows replaced by others."""
    whole = {each.name: getattr(targets, each.name).clone() for each in fields(Targets)}
    for name, column in whole.items():
        column[rows] = getattr(others, name)
    return Targets(**whole)
