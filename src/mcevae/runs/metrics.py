"""Score a trained model. Only this step reads labels and true poses; training never does."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from mcevae.geometry.groups import mirrored
from mcevae.geometry.warp import side
from mcevae.images.arrays import MISSING, Images
from mcevae.images.posing import pose, pose_seed
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.models.likelihood import bce, squared_error
from mcevae.models.own_group import group_of
from mcevae.runs.infer import Embedding, embed, outputs
from mcevae.runs.pose_scores import frames, poses
from mcevae.runs.scores import Score, Scores, effective_number


def matched_accuracy(clusters: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> float:
    """Share of images whose cluster is their label's, under the best one-to-one matching.

    The Hungarian method (Kuhn, 1955) finds the matching from the table of counts. Images in a
    cluster without a label count as wrong.
    """
    _, labels = np.unique(labels, return_inverse=True)
    counts = counted(clusters, labels)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))


def counted(a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> Int[np.ndarray, "A B"]:
    """Number of images in each cluster of one labelling and each of another."""
    counts = np.zeros((a.max() + 1, b.max() + 1), dtype=np.int64)
    np.add.at(counts, (a, b), 1)
    return counts


def agreement(clusters: Int[np.ndarray, " n"], labels: Int[np.ndarray, " n"]) -> Scores:
    """Score how well clusters agree with labels, on the images that have one.

    Args:
        clusters: of the images.
        labels: of the images; `MISSING` where one has none, but not for all.
    """
    found, truth = clusters[labels != MISSING], labels[labels != MISSING]
    n = len(truth)
    return {
        "accuracy": Score(value=matched_accuracy(found, truth), unit="share", n=n),
        "nmi": Score(value=normalized_mutual_info_score(truth, found), unit="", n=n),
        "ari": Score(value=adjusted_rand_score(truth, found), unit="", n=n),
    }


def clustering(
    embedding: Embedding, labels: Tensor | None, clusters: int | None = None, seed: int = 0
) -> Scores:
    """Score how full the clusters are, and how well they agree with labels.

    Clusters are those of the model, and those of k-means (10 starts) on z_c of the same images.

    Args:
        embedding: latents of the images.
        labels: (n,) labels of the images, if they are known; `MISSING` where one is not.
        clusters: number of clusters for k-means; None: as many as the model has.
        seed: seed of k-means.
    """
    own = embedding.cluster.numpy()
    n, k = embedding.responsibilities.shape
    sizes = np.bincount(own, minlength=k)
    share = sizes / n
    scores = {
        "clusters": Score(value=float(k), unit="clusters", n=n),
        "effective_clusters": Score(value=effective_number(sizes), unit="clusters", n=n),
        "largest_cluster": Score(value=float(share.max()), unit="share", n=n),
        "empty_clusters": Score(value=float((share == 0).sum()), unit="clusters", n=n),
    }
    for cluster, value in enumerate(share):
        scores[f"occupancy_{cluster}"] = Score(value=float(value), unit="share", n=n)
    if labels is None or bool((labels == MISSING).all()):
        return scores
    z_c = embedding.z_c.numpy()
    distinct = len(np.unique(z_c.round(4), axis=0))  # fewer than n where images are alike
    starts = KMeans(min(clusters or k, distinct), n_init=10, random_state=seed)  # pyright: ignore[reportArgumentType]
    for prefix, found in (("", own), ("kmeans_", starts.fit_predict(z_c))):
        agreed = agreement(found, labels.numpy())
        scores |= {f"{prefix}{name}": score for name, score in agreed.items()}
    return scores


WARD_MOST = 10_000
"""Codes that Ward's method sorts, at most; it compares each with each."""


def ward(found: Embedding, labels: Tensor | None, held: Embedding, clusters: int) -> Scores:
    """Score how well clusters of codes by Ward's method agree with labels.

    `ward_` scores sort the codes themselves, as published for TARGET-VAE (Nasiri and Bepler, 2022).
    `ward_held_` scores sort held-out codes, and each code gets the cluster whose mean is nearest,
    so that clusters do not depend on the images that are scored. Of each, the first `WARD_MOST`
    count, and there are no scores if there are fewer than clusters.

    Args:
        found: latents of the scored images.
        labels: (n,) of the scored images; `MISSING` where one is not known.
        held: latents of other images.
        clusters: how many to look for.
    """
    codes, others = (one.z_c[:WARD_MOST].numpy() for one in (found, held))
    known = None if labels is None else labels[:WARD_MOST].numpy()
    if known is None or (known == MISSING).all():
        return {}
    method, sorted_by = AgglomerativeClustering(clusters, linkage="ward"), {}
    if len(codes) > clusters:
        sorted_by["ward_"] = method.fit_predict(codes)
    if len(others) > clusters:
        theirs = method.fit_predict(others)
        means = np.stack([others[theirs == k].mean(0) for k in range(clusters)])
        sorted_by["ward_held_"] = cdist(codes, means).argmin(1)
    return {
        f"{prefix}{name}": score
        for prefix, clustered in sorted_by.items()
        for name, score in agreement(clustered, known).items()
    }


def reconstruction(model: Model, pixels: Tensor) -> Scores:
    """Score reconstructions at the posterior mean: cross-entropy and squared error."""
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


CREDIBLE = (0.5, 0.9)


@torch.inference_mode()
def coverage(model: Model, pixels: Tensor, truth: Float[Tensor, "n 3 3"], own: Tensor) -> Scores:
    """How often the true rotation lies in the 50 % and the 90 % credible set of the posterior.

    If the group has reflections, the true rotation and the true sign.

    A credible set holds the most probable rotations of the grid, given the image's cluster, until
    their probabilities sum to 50 % or 90 %. Chance decides whether the last one is inside. So
    calibrated posteriors score 0.5 and 0.9.

    Args:
        model: model that gives every rotation of a grid a probability (`Model.rotations`).
        pixels: (N, C, H, W) uint8 images.
        truth: true elements of the images.
        own: (K, 3, 3), frames of the clusters, as `frames` returns them.
    """
    rotations = model.rotations
    levels = []
    lot = torch.Generator().manual_seed(0)
    parts = zip(outputs(model, pixels), truth.split(model.at_once), strict=True)
    for (_, out), true in parts:
        cluster = out.responsibilities.argmax(-1).cpu()
        p = model.rotation_probabilities(out).cpu()  # (B, R)
        aligned = model.group.compose(true, model.group.inverse(own[cluster]))
        angle = model.group.to_parameters(aligned)[:, 0]
        at = (angle * rotations / (2 * math.pi)).round().long() % rotations
        at = at + rotations * mirrored(aligned)
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
    """Score how little the cluster and the canonical image change when an image is moved.

    `same_cluster` is left out for models with one cluster, because it says nothing there.
    `same_cluster_chance` is its value for random clusters of the same sizes.

    Args:
        before, after: latents of the same images in two poses, in the same order.
        seed: seed of the pairs of different images whose difference is the unit of change.
    """
    n = len(before.cluster)
    change = (before.canonical - after.canonical).square().mean()
    one = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    between = (before.canonical[one] - before.canonical[one.roll(1)]).square().mean()
    relative = (change / between.clamp_min(1e-12)).item()
    scores = {"canonical_change": Score(value=relative, unit="of spread", n=n)}
    clusters = before.responsibilities.shape[1]
    return scores | (same_cluster(before.cluster, after.cluster, clusters) if clusters > 1 else {})


def same_cluster(before: Int[Tensor, " n"], after: Int[Tensor, " n"], clusters: int) -> Scores:
    """How often images keep their cluster when they are moved, and how often by chance.

    Args:
        before, after: clusters of the same images in two poses, in the same order.
        clusters: number of clusters.
    """
    n = len(before)
    same = (before == after).float().mean().item()
    shares = [cluster.bincount(minlength=clusters) / n for cluster in (before, after)]
    chance = (shares[0] * shares[1]).sum().item()
    return {
        "same_cluster": Score(value=same, unit="share", n=n),
        "same_cluster_chance": Score(value=chance, unit="share", n=n),
    }


def repose(posed: Posed, config: Config) -> Posed:
    """Give images another random pose, from the group that the data are posed by.

    If the upright images are known, they are posed again, so that the second pose stays inside the
    support. Otherwise the images are moved from their present pose.
    """
    group = group_of(config.data_group or config.model.group, mirror=config.model.mirror is True)
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


def evaluate(
    model: Model,
    config: Config,
    data: Splits,
    split: str = "test",
    evidence: Float[Tensor, "n K"] | None = None,
) -> Scores:
    """Compute all scores of a model on one split that the known labels and poses allow.

    Args:
        model: model in evaluation mode.
        config: settings of the run.
        data: posed images of the run.
        split: test (frames are estimated on validation images) or validation (on training images).
        evidence: what features say about the clusters of its images; None: nothing. It counts for
            clusters and poses, not for reconstructions and second poses.
    """
    scored: Posed = getattr(data, split)
    held = data.validation if split == "test" else data.train.subset(slice(len(data.validation)))
    found = embed(model, scored.images.pixels)
    known = config.model.clusters if config.model.clusters != "auto" else None
    plain = found
    if evidence is not None:
        found = embed(model, scored.images.pixels, evidence=evidence)
    scores = clustering(found, scored.images.labels, known)
    scores |= reconstruction(model, scored.images.pixels)
    posed = scored.elements is not None and held.elements is not None
    sorts_code = "kmeans_accuracy" in scores and scores["clusters"].value == 1
    others = embed(model, held.images.pixels) if posed or sorts_code else None
    if sorts_code and others is not None and known:
        scores |= ward(found, scored.images.labels, others, known)
    if scored.elements is not None and held.elements is not None and others is not None:
        own = frames(others, held.elements, model.group)
        pixels = side(*scored.images.shape[1:])
        scores |= poses(found, scored.elements, own, model.group, pixels)
        if model.rotations > 1:
            scores |= coverage(model, scored.images.pixels, scored.elements, own)
    return scores | invariance(plain, embed(model, repose(scored, config).images.pixels))
