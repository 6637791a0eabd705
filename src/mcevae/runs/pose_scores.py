"""Score poses: the frame of each cluster, and errors once frames are aligned."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup, mirrored
from mcevae.runs.infer import Embedding
from mcevae.runs.scores import Score, Scores

FRAME_MINIMUM = 5
"""Images that a cluster needs, in the split for estimating frames, to get its own frame."""


def frame(elements: Float[Tensor, "n 3 3"], group: MatrixGroup) -> Float[Tensor, "3 3"]:
    """Find the group element that is nearest to all given ones: their geometric median.

    Weiszfeld's method in the group's parameters. It starts from the best of up to 64 elements:
    poses of a half-symmetric shape form two clouds, and their mean would lie between the clouds.
    If the group has reflections, the frame is mirrored if most of the elements are; the others,
    whose sign is wrong, are left out.
    """
    signs = mirrored(elements)
    elements = elements[signs == (signs.float().mean() > 0.5)]
    candidates = elements[torch.linspace(0, len(elements) - 1, min(64, len(elements))).long()]
    relative = group.compose(group.inverse(candidates)[:, None], elements)  # (candidates, n, 3, 3)
    best = group.to_parameters(relative).norm(dim=-1).sum(-1).argmin()
    center = candidates[best]
    for _ in range(20):
        apart = group.to_parameters(group.compose(group.inverse(center), elements))  # (n, T)
        weight = 1 / apart.norm(dim=-1, keepdim=True).clamp_min(1e-3)
        step = (weight * apart).sum(0) / weight.sum()
        center = group.compose(center, group.from_parameters(step))
    return center


def frames(embedding: Embedding, truth: Tensor, group: MatrixGroup) -> Float[Tensor, "K 3 3"]:
    """Each cluster's arbitrary frame g_k, such that `M g_k` is the true element.

    A cluster's canonical image may lie as it likes; g_k is how an upright image relates to it.
    Clusters with fewer than `FRAME_MINIMUM` images get the frame of all images together.
    """
    relative = group.compose(group.inverse(embedding.element), truth)
    found = frame(relative, group).repeat(embedding.responsibilities.shape[1], 1, 1)
    for k in range(len(found)):
        members = relative[embedding.cluster == k]
        if len(members) >= FRAME_MINIMUM:
            found[k] = frame(members, group)
    return found


def pose_errors(
    element: Float[Tensor, "n 3 3"],
    truth: Float[Tensor, "n 3 3"],
    group: MatrixGroup,
    pixels_per_side: int,
    prefix: str,
) -> Scores:
    """Distances between found and true elements: medians and means, in degrees and pixels.

    Args:
        element, truth: found and true elements.
        group: Lie group of the poses.
        pixels_per_side: pixels of an image side.
        prefix: put before the names of the scores.
    """
    scores, n = {}, len(element)
    units = {"rotation_deg": ("deg", 1), "shift_side": ("px", pixels_per_side)}
    apart = group.distance(element, truth)
    apart.pop("mirrored", None)  # it has a score of its own
    for key, error in apart.items():
        unit, factor = units.get(key, ("log", 1))
        name = f"{prefix}{key.removesuffix('_deg').removesuffix('_side')}_error"
        values = error * factor
        scores[f"{name}_median"] = Score(value=values.median().item(), unit=unit, n=n)
        scores[f"{name}_mean"] = Score(value=values.mean().item(), unit=unit, n=n)
    return scores


def correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float:
    """Correlation of two lists of numbers that were centred; 0 if those of one do not differ."""
    return ((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt().clamp_min(1e-12)).item()


def shift_correlations(
    found: Float[Tensor, "n 3 3"], truth: Float[Tensor, "n 3 3"], group: MatrixGroup
) -> Scores:
    """Pearson's correlation of found and true shifts, for each axis along which the group shifts.

    The shift of an element is where it puts the image centre.
    """
    scores = {}
    for i, axis in enumerate("xy"):
        if f"shift_{axis}" in group.coordinates:
            a, b = (elements[:, i, 2] - elements[:, i, 2].mean() for elements in (found, truth))
            score = Score(value=correlation(a, b), unit="", n=len(found))
            scores[f"shift_{axis}_correlation"] = score
    return scores


def circular(found: Float[Tensor, " n"], truth: Float[Tensor, " n"]) -> Scores:
    """Circular correlation of angles in radians, spread of their difference, and agreement of axes.

    Correlation after Jammalamadaka and SenGupta (2001), section 8.2; standard deviation
    `sqrt(-2 log R)` after Mardia and Jupp (2000). Axes agree (1) if angles are right or half a turn
    off, and do not (0) if they are random: the mean resultant length of twice the difference.
    """

    def about_mean(angle: Tensor) -> Tensor:
        return torch.sin(angle - torch.atan2(angle.sin().mean(), angle.cos().mean()))

    r = correlation(about_mean(found), about_mean(truth))
    difference = found - truth

    def agreement(angle: Tensor) -> float:
        length = torch.hypot(angle.sin().mean(), angle.cos().mean())
        return length.clamp(1e-12, 1).item()

    spread = math.degrees(math.sqrt(-2 * math.log(agreement(difference))))
    n = len(found)
    return {
        "rotation_correlation": Score(value=r, unit="", n=n),
        "rotation_spread": Score(value=spread, unit="deg", n=n),
        "rotation_axis": Score(value=agreement(2 * difference), unit="", n=n),
    }


def poses(found: Embedding, truth: Tensor, own: Tensor, group: MatrixGroup, pixels: int) -> Scores:
    """Score poses: errors before and after each cluster's frame is aligned.

    If the group has reflections, `mirror_right` is the share of images whose sign is right after
    alignment, and the other scores after alignment are about these images only.

    Args:
        found, truth: latents of the scored images, and their true elements (n, 3, 3).
        own: (K, 3, 3), frames of the clusters, estimated by `frames` on other images.
        group: Lie group of the poses.
        pixels: pixels of an image side.
    """
    aligned = group.compose(found.element, own[found.cluster])
    scores = pose_errors(found.element, truth, group, pixels, "raw_")
    right = mirrored(aligned) == mirrored(truth)
    if group.mirrors:
        share = right.float().mean().item()
        scores["mirror_right"] = Score(value=share, unit="share", n=len(right))
    if not right.any():
        return scores
    aligned, truth = aligned[right], truth[right]
    scores |= pose_errors(aligned, truth, group, pixels, "")
    if "rotation" in group.coordinates:
        i = group.coordinates.index("rotation")
        scores |= circular(group.to_parameters(aligned)[:, i], group.to_parameters(truth)[:, i])
    return scores | shift_correlations(aligned, truth, group)
