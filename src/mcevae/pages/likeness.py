"""By what images are compared: for the map, the images most like one, and groups that are alike."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

SAME = 1e-3
"""Canonical images that differ by less in every pixel, of 0 to 1, count as one."""


def alike_by(
    drawn: Float[Tensor, "n d"], p: Float[Tensor, "n K"], z: Float[Tensor, "n V"]
) -> Float[Tensor, "n f"]:
    """Features by which images are compared: their canonical image and probabilities.

    Where a cluster has one canonical image, which shows nothing of its members, z counts as well.

    Args:
        drawn: small canonical images.
        p: probabilities of the clusters.
        z: variation.
    """
    cluster = p.argmax(1)
    sums = torch.zeros(p.shape[1], drawn.shape[1]).index_add(0, cluster, drawn)
    means = sums / cluster.bincount(minlength=p.shape[1]).clamp_min(1)[:, None]
    one_for_all = (drawn - means[cluster]).abs().max() < SAME
    return torch.cat([even(drawn), even(p), *([even(z)] if one_for_all else [])], 1)


def nearest(look: Float[Tensor, "n f"], of: Int[Tensor, " n"], groups: int) -> list[int | None]:
    """For each group the other one that is most like it, by the mean features of its images.

    Args:
        look: features of images, as `alike_by` makes them.
        of: group of each image.
        groups: number of groups.

    Returns:
        Numbers of groups. None: the group is empty, or no other one has images.
    """
    filled = of.unique().tolist()
    found: list[int | None] = [None] * groups
    if len(filled) > 1:
        means = torch.stack([look[of == one].float().mean(0) for one in filled])
        apart = torch.cdist(means, means).fill_diagonal_(torch.inf).argmin(1).tolist()
        for one, at in zip(filled, apart, strict=True):
            found[one] = filled[at]
    return found


def even(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Scale features to total variance 1, so that all kinds of features count equally."""
    centred = features - features.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-9)
