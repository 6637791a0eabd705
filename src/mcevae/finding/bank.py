"""Templates in every allowed pose, and a few filters that all of them are sums of."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.finding.templates import Templates
from mcevae.geometry.groups import MatrixGroup, reflect
from mcevae.geometry.warp import warp

KEPT = 0.985
"""Share of the energy of all templates that the filters keep."""
MOST = 96
"""Filters, at most."""


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Pictures at many poses, their middles in the middle of the image.

    Attributes:
        template: (b,) number of the template of each.
        element: (b, 3, 3) the pose that moves the template there.
        pictures: (b, C, H, W), differences from the background.
        energy: (b,) sum of squares of each.
        filters: (r, C, H, W), orthonormal.
        weights: (b, r): picture b is about the sum of weights times filters.
    """

    template: Int[Tensor, " b"]
    element: Float[Tensor, "b 3 3"]
    pictures: Float[Tensor, "b C H W"]
    energy: Float[Tensor, " b"]
    filters: Float[Tensor, "r C H W"]
    weights: Float[Tensor, "b r"]

    @classmethod
    def of(
        cls,
        pictures: Float[Tensor, "b C H W"],
        template: Int[Tensor, " b"],
        element: Float[Tensor, "b 3 3"],
    ) -> "Bank":
        """A bank of pictures; the filters are their leading singular vectors."""
        flat = pictures.flatten(1)
        values, vectors = torch.linalg.eigh(flat.T @ flat)
        values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
        share = values.cumsum(0) / values.sum().clamp_min(1e-12)
        rank = min(int((share < KEPT).sum()) + 1, MOST)
        basis = vectors[:, :rank].T.contiguous()
        return cls(
            template=template,
            element=element,
            pictures=pictures,
            energy=flat.square().sum(1).clamp_min(1e-9),
            filters=basis.view(rank, *pictures.shape[1:]),
            weights=flat @ basis.T,
        )

    def shrunk(self, factor: int) -> "Bank":
        """The same pictures at a lower resolution."""
        if factor == 1:
            return self
        down, right = (-n % factor for n in self.pictures.shape[-2:])
        padded = F.pad(self.pictures, (0, right, 0, down))
        return Bank.of(F.avg_pool2d(padded, factor), self.template, self.element)


def turns_of(
    group: MatrixGroup, half_widths: dict[str, float], step: float
) -> Float[Tensor, "g 3 3"]:
    """Elements of a group without shifts, on a grid: rotations, scales and mirror images.

    Args:
        group: of the poses.
        half_widths: of its support, by coordinate: radians, logarithms.
        step: of the rotation, radians.
    """
    reach = half_widths.get("rotation", 0.0)
    if reach > math.pi - step / 2:
        count = max(1, round(2 * math.pi / step))
        angles = torch.arange(count) * (2 * math.pi / count) - math.pi
    else:
        angles = torch.linspace(-reach, reach, 2 * math.ceil(reach / step) + 1)
    wide = half_widths.get("log_scale", 0.0)
    scales = torch.linspace(-wide, wide, 2 * math.ceil(wide / (1.2 * step + 0.06)) + 1)
    angle, scale = torch.cartesian_prod(angles, scales).unbind(1)
    cosine, sine = torch.cos(angle) * scale.exp(), torch.sin(angle) * scale.exp()
    made = torch.eye(3).repeat(len(angle), 1, 1)
    made[:, 0, 0], made[:, 0, 1] = cosine, -sine
    made[:, 1, 0], made[:, 1, 1] = sine, cosine
    if not group.mirrors:
        return made
    signs = torch.tensor([False, True]).repeat_interleave(len(made))
    return reflect(made.repeat(2, 1, 1), signs)


def bank_of(templates: Templates, turns: Float[Tensor, "g 3 3"], each: int | None = None) -> Bank:
    """All templates at all turns.

    Args:
        templates: of a run.
        turns: elements without shifts.
        each: templates of a cluster that are used, the first ones; None: all.
    """
    rank = torch.tensor(
        [int((templates.cluster[:i] == k).sum()) for i, k in enumerate(templates.cluster.tolist())]
    )
    chosen = torch.arange(len(rank)) if each is None else (rank < each).nonzero()[:, 0]
    back = torch.eye(3).repeat(len(chosen), 1, 1)
    back[:, :2, 2] = -templates.middle[chosen]
    element = (turns[None] @ back[:, None]).flatten(0, 1)
    which = chosen.repeat_interleave(len(turns))
    return Bank.of(warp(templates.pictures[which], element), which, element)
