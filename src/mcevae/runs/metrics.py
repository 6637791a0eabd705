"""Scores of a trained model. Labels and true poses are read here and nowhere before."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from mcevae.models.registry import Model
from mcevae.models.config import Config
from mcevae.images.datasets import Posed, Splits, pose, pose_seed
from mcevae.base.errors import DAMAGE, UserError
from mcevae.geometry.groups import MatrixGroup, get_group
from mcevae.models.default.model import DefaultModel
from mcevae.images.arrays import Images
from mcevae.runs.infer import Embedding, embed, outputs
from mcevae.models.objective import bce, squared_error
from mcevae.geometry.warp import side

FRAME_MINIMUM = 5
"""Images that a cluster must have on the estimation split for a frame of its own."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure: its value, unit ("" for a pure number), and how many images it is of."""

    value: float
    unit: str
    n: int


Scores = dict[str, Score]


def matched_accuracy(clusters: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> float:
    """Share of images whose cluster is their label's, under the best one-to-one matching.

    The Hungarian method (Kuhn, 1955) on the table of counts; clusters left without a label
    count as wrong.
    """
    _, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), dtype=np.int64)
    np.add.at(counts, (clusters, labels), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def clustering(
    embedding: Embedding, labels: Tensor | None, clusters: int | None = None, seed: int = 0
) -> Scores:
    """Agreement with the labels, by responsibility and by k-means on z_c, and occupancy.

    k-means sees the z_c of the very images that are scored, without labels, 10 starts.

    Args:
        embedding: of the images.
        labels: (n,) of the images, None where there are none.
        clusters: that k-means looks for; None: as many as the model has.
        seed: of k-means.
    """
    own = embedding.cluster.numpy()
    n, k = embedding.responsibilities.shape
    share = np.bincount(own, minlength=k) / n
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    scores = {
        "clusters": Score(value=float(k), unit="clusters", n=n),
        "effective_clusters": Score(value=float(np.exp(entropy)), unit="clusters", n=n),
        "largest_cluster": Score(value=float(share.max()), unit="share", n=n),
        "empty_clusters": Score(value=float((share == 0).sum()), unit="clusters", n=n),
    }
    for cluster, value in enumerate(share):
        scores[f"occupancy_{cluster}"] = Score(value=float(value), unit="share", n=n)
    if labels is None:
        return scores
    truth = labels.numpy()
    z_c = embedding.z_c.numpy()
    distinct = len(np.unique(z_c.round(4), axis=0))  # fewer than n where images are alike
    starts = KMeans(min(clusters or k, distinct), n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    for prefix, found in (("", own), ("kmeans_", starts.fit_predict(z_c))):
        scores |= {
            f"{prefix}accuracy": Score(value=matched_accuracy(found, truth), unit="share", n=n),
            f"{prefix}nmi": Score(value=normalized_mutual_info_score(truth, found), unit="", n=n),
            f"{prefix}ari": Score(value=adjusted_rand_score(truth, found), unit="", n=n),
        }
    return scores


def reconstruction(model: Model, pixels: Tensor) -> Scores:
    """Cross-entropy and squared error of reconstructions at the posterior mean."""
    totals = torch.zeros(2, dtype=torch.float64)
    for x, out in outputs(model, pixels):
        for i, error in enumerate((bce, squared_error)):
            totals[i] += error(out.reconstruction, x).sum().cpu()
    n = len(pixels)
    per_image = totals / n
    return {
        "bce": Score(value=per_image[0].item(), unit="nats/image", n=n),
        "mse": Score(value=per_image[1].item(), unit="/image", n=n),
    }


def frame(elements: Float[Tensor, "n 3 3"], group: MatrixGroup) -> Float[Tensor, "3 3"]:
    """The group element nearest to many: their geometric median.

    Weiszfeld's steps in the group's parameters, from the best of up to 64 of the elements, since
    poses of a half-symmetric shape fall in two heaps and a mean would lie between them.
    """
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
    """Distances between found and true elements: medians and means, in degrees and pixels."""
    scores, n = {}, len(element)
    units = {"rotation_deg": ("deg", 1), "shift_side": ("px", pixels_per_side)}
    for key, error in group.distance(element, truth).items():
        unit, factor = units.get(key, ("log", 1))
        name = f"{prefix}{key.removesuffix('_deg').removesuffix('_side')}_error"
        values = error * factor
        scores[f"{name}_median"] = Score(value=values.median().item(), unit=unit, n=n)
        scores[f"{name}_mean"] = Score(value=values.mean().item(), unit=unit, n=n)
    return scores


def circular(found: Float[Tensor, " n"], truth: Float[Tensor, " n"]) -> Scores:
    """Circular correlation of angles in radians, and the circular spread of their difference.

    Correlation after Jammalamadaka and SenGupta (2001), section 8.2; standard deviation
    `sqrt(-2 log R)` after Mardia and Jupp (2000).
    """

    def about_mean(angle: Tensor) -> Tensor:
        return torch.sin(angle - torch.atan2(angle.sin().mean(), angle.cos().mean()))

    a, b = about_mean(found), about_mean(truth)
    r = (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt().clamp_min(1e-12)
    difference = found - truth
    length = torch.hypot(difference.sin().mean(), difference.cos().mean()).clamp(1e-12, 1)
    return {
        "rotation_correlation": Score(value=r.item(), unit="", n=len(found)),
        "rotation_spread": Score(
            value=math.degrees(math.sqrt(-2 * math.log(length.item()))), unit="deg", n=len(found)
        ),
    }


def poses(found: Embedding, truth: Tensor, own: Tensor, group: MatrixGroup, pixels: int) -> Scores:
    """Pose error, raw and after aligning each cluster's frame.

    Args:
        found, truth: the images that are scored, and their true elements (n, 3, 3).
        own: (K, 3, 3), frames of the clusters, as `frames` gives them for other images.
        group: of the poses.
        pixels: pixels of an image side.
    """
    aligned = group.compose(found.element, own[found.cluster])
    scores = pose_errors(found.element, truth, group, pixels, "raw_")
    scores |= pose_errors(aligned, truth, group, pixels, "")
    if "rotation" in group.coordinates:
        i = group.coordinates.index("rotation")
        scores |= circular(group.to_parameters(aligned)[:, i], group.to_parameters(truth)[:, i])
    return scores


CREDIBLE = (0.5, 0.9)


@torch.inference_mode()
def coverage(
    model: DefaultModel, pixels: Tensor, truth: Float[Tensor, "n 3 3"], own: Tensor
) -> Scores:
    """How often the true rotation lies in the posterior's credible sets of 50 and of 90 per cent.

    A set holds the likeliest rotations of the grid, given the image's cluster, up to that much
    probability, the last of them by lot as far as it is needed; so calibrated posteriors score 0.5
    and 0.9.

    Args:
        model: gives each image a probability for every rotation.
        pixels: (N, C, H, W) uint8 images.
        truth: their true elements.
        own: (K, 3, 3), frames of the clusters, as `frames` gives them.
    """
    size, rotations = 500, len(model.angles)
    levels = []
    lot = torch.Generator().manual_seed(0)
    for (_, out), true in zip(outputs(model, pixels, size), truth.split(size), strict=True):
        cluster = out.responsibilities.argmax(-1).cpu()
        joint = out.posterior.joint.cpu()[torch.arange(len(true)), cluster]
        p = joint / joint.sum(-1, keepdim=True)  # (B, R)
        aligned = model.group.compose(true, model.group.inverse(own[cluster]))
        angle = model.group.to_parameters(aligned)[:, 0]
        at = (angle * rotations / (2 * math.pi)).round().long() % rotations
        own_p = p.gather(1, at[:, None])
        part = torch.rand(len(true), generator=lot) * own_p[:, 0]
        levels.append((p * (p > own_p)).sum(-1) + part)
    level = torch.cat(levels)
    return {
        f"rotation_coverage_{round(100 * share)}": Score(
            value=(level < share).float().mean().item(), unit="share", n=len(level)
        )
        for share in CREDIBLE
    }


def invariance(before: Embedding, after: Embedding, seed: int = 0) -> Scores:
    """How little cluster and canonical image change when an image is moved.

    `same_cluster` is left out of a model with one cluster, where it says nothing; beside it stands
    what clusters of the same sizes, drawn at random, would give.

    Args:
        before, after: the same images under two poses, in the same order.
        seed: of the pairs of different images that give the unit of change.
    """
    n = len(before.cluster)
    change = (before.canonical - after.canonical).square().mean()
    one = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    between = (before.canonical[one] - before.canonical[one.roll(1)]).square().mean()
    relative = (change / between.clamp_min(1e-12)).item()
    scores = {"canonical_change": Score(value=relative, unit="of spread", n=n)}
    clusters = before.responsibilities.shape[1]
    if clusters > 1:
        same = (before.cluster == after.cluster).float().mean().item()
        shares = [e.cluster.bincount(minlength=clusters) / n for e in (before, after)]
        chance = (shares[0] * shares[1]).sum().item()
        scores["same_cluster"] = Score(value=same, unit="share", n=n)
        scores["same_cluster_chance"] = Score(value=chance, unit="share", n=n)
    return scores


def repose(posed: Posed, config: Config) -> Posed:
    """The same images under another random pose, of the group that the data are posed by.

    Where the upright images are known they are posed anew, which keeps the second pose inside
    the support; images without ground truth are moved from where they lie.
    """
    group = get_group(config.data_group or config.model.group)
    images = posed.images
    if posed.upright is not None:
        images = Images(name=images.name, pixels=posed.upright)
    return pose(
        images,
        group,
        config.support.half_widths(group),
        pose_seed(config.data.data_seed, "again"),
        background=config.data.background_level,
    )


def evaluate(model: Model, config: Config, data: Splits, split: str = "test") -> Scores:
    """All scores of a model on one split; those that need unknown truths are left out.

    Args:
        model: in evaluation mode.
        config: the run's settings.
        data: the run's posed data.
        split: test or validation. Frames are estimated on validation images, or on training
            images when validation is scored.
    """
    scored: Posed = getattr(data, split)
    held = data.validation if split == "test" else data.train.subset(slice(len(data.validation)))
    found = embed(model, scored.images.pixels)
    known = config.model.clusters if config.model.clusters != "auto" else None
    scores = clustering(found, scored.images.labels, known)
    scores |= reconstruction(model, scored.images.pixels)
    if scored.elements is not None and held.elements is not None:
        own = frames(embed(model, held.images.pixels), held.elements, model.group)
        pixels = side(*scored.images.shape[1:])
        scores |= poses(found, scored.elements, own, model.group, pixels)
        if isinstance(model, DefaultModel):
            scores |= coverage(model, scored.images.pixels, scored.elements, own)
    return scores | invariance(found, embed(model, repose(scored, config).images.pixels))


def read_scores(run: Path) -> Scores:
    """Scores of a run's test images, as its metrics.json has them.

    Raises:
        UserError: it is missing or damaged.
    """
    path = run / "metrics.json"
    try:
        kept = json.loads(path.read_text("utf-8"))["scores"]
        return {
            name: Score(value=float(one["value"]), unit=str(one["unit"]), n=int(one["n"]))
            for name, one in kept.items()
        }
    except DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read ({error}); `mcevae report` writes it anew."
        ) from error
