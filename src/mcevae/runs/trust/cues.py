"""Cues for and against the clusters of a run, from its images alone. No label is read."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.background import flattened
from mcevae.images.middle import FULL, fullness
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.infer import Embedding, in_another_pose, joined, outputs, taken
from mcevae.runs.trust.backgrounds import by_background
from mcevae.runs.trust.enough import enough_of
from mcevae.runs.trust.links import links
from mcevae.runs.trust.motions import beyond_reach
from mcevae.teaching.averages import noise_variance, pooled
from mcevae.teaching.communities import edges_of
from mcevae.teaching.graph import CHUNK, Graph, describe_pixels, invariant_graph, reach_of
from mcevae.teaching.handedness import handedness

SAMPLE = 2_000
"""Training images that are looked at, at most."""
NEIGHBOURS = 15
LOOKED_AT = 100
"""Images that tell whether borders show backgrounds."""
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Cues:
    """Numbers from 0 to 1 about K clusters, each (K,); those about the whole run are repeated.

    Attributes:
        neighbours, stable, halves, nearest: see `links.Links`.
        again: share of the images that get the same cluster when they are moved at random.
        sure: mean probability of the images' cluster.
        average: share of aligned images that are most like the average of their own cluster, if
            averages are made of other images.
        explained: share of what distinguishes images from their background, beyond white noise,
            that the average of their cluster explains.
        enough: effective number of clusters, as a share of that of the graph's communities; small
            if clusters hold several kinds each. (Run.)
        needed: effective number of the graph's communities, as a share of that of clusters; small
            if kinds are spread over several clusters each. (Run.)
        noise: share of the variance of images that is white noise. (Run.)
        border: how many more of the graph's edges lead out of a cluster once backgrounds are
            flattened, as a share of those that would by chance; 0 if border pixels alone do not
            predict the clusters, or show more than a background. Large if backgrounds were sorted.
            (Run.)
        beyond: see `motions.beyond_reach`. (Run.)
        mirror: share of the most similar pairs of images that fit much better if one is mirrored;
            0 if the group has reflections. (Run.)
    """

    neighbours: Float[np.ndarray, " k"]
    stable: Float[np.ndarray, " k"]
    halves: Float[np.ndarray, " k"]
    nearest: Float[np.ndarray, " k"]
    again: Float[np.ndarray, " k"]
    sure: Float[np.ndarray, " k"]
    average: Float[np.ndarray, " k"]
    explained: Float[np.ndarray, " k"]
    enough: Float[np.ndarray, " k"]
    needed: Float[np.ndarray, " k"]
    noise: Float[np.ndarray, " k"]
    border: Float[np.ndarray, " k"]
    beyond: Float[np.ndarray, " k"]
    mirror: Float[np.ndarray, " k"]


def mean_by(values: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray:
    """Mean of the values of each cluster; 0 for an empty one."""
    count = np.bincount(labels, minlength=clusters)
    return np.bincount(labels, weights=values, minlength=clusters) / np.maximum(count, 1)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The cues of K clusters, and the n images from which they come.

    Attributes:
        cues: of the clusters.
        other: (K,) the cluster that each is most alike; -1 if there is none.
        found: what the model found in the images.
    """

    cues: Cues
    other: Int[np.ndarray, " k"]
    found: Embedding


def measure(model: Model, config: Config, pixels: UInt8[Tensor, "n c h w"]) -> Measured:
    """Measure the cues on training images.

    Args:
        model: model in evaluation mode, with clusters.
        config: settings of the run.
        pixels: the images, in random order; the first `SAMPLE` are used.
    """
    pixels = pixels[:SAMPLE]
    found, again, aligned = seen(model, config, pixels)
    clusters = found.responsibilities.shape[1]
    labels = found.cluster.numpy()
    group: MatrixGroup = model.group
    half_width = config.support.half_widths(group)[0] if group.polar else 0.0
    level = config.data.background_level
    reach = reach_of(half_width)
    rings = describe_pixels(pixels, group, level).rings
    hands = None if group.mirrors else handedness(rings, reach=reach)
    # A thing and its mirror image are one kind, whether or not the model was told that they occur.
    mirror = hands is None or hands.occurs

    def compared(rings: Tensor) -> Graph:
        near = min(NEIGHBOURS, len(rings) - 1)
        return invariant_graph(rings, near, reach=reach, mirror=mirror)

    def plain() -> sp.csr_matrix | None:
        """The graph of the images on a plain background, if that is what their borders show."""
        some = flattened(to_float(pixels[:LOOKED_AT]), level)
        if np.median([fullness(one, level) for one in some]) > FULL:
            return None
        parts = [to_bytes(flattened(to_float(part), level)) for part in pixels.split(CHUNK)]
        return edges_of(compared(describe_pixels(torch.cat(parts), group, level).rings))

    graph = compared(rings)
    edges = edges_of(graph)
    own = links(edges, labels, clusters)
    small = torch.cat([pooled(to_float(part)) for part in pixels.split(CHUNK)])
    noise = noise_variance(small - level)
    average, explained = by_averages(aligned, labels, clusters, noise)
    everywhere, enough = np.ones(clusters), enough_of(graph, labels)
    cues = Cues(
        neighbours=own.neighbours,
        stable=own.stable,
        halves=own.halves,
        nearest=own.nearest,
        again=mean_by((again == labels).astype(float), labels, clusters),
        sure=mean_by(found.responsibilities.max(1).values.numpy(), labels, clusters),
        average=average,
        explained=explained,
        enough=everywhere * enough[0],
        needed=everywhere * enough[1],
        noise=everywhere * min(1.0, noise / max(float(small.var()), 1e-9)),
        border=everywhere * by_background(small, labels, edges, plain),
        beyond=everywhere * beyond_reach(rings, reach),
        mirror=everywhere * (hands.telling * hands.mirrored if hands else 0.0),
    )
    return Measured(cues=cues, other=own.other, found=found)


def seen(
    model: Model, config: Config, pixels: UInt8[Tensor, "n c h w"]
) -> tuple[Embedding, Int[np.ndarray, " n"], Float[Tensor, "n c h2 w2"]]:
    """What the model finds in images, in what cluster it puts them in another pose, and the images
    moved back by their poses, as differences from the background and made smaller."""
    group: MatrixGroup = model.group
    support = config.support.half_widths(group)
    background = config.data.background_level
    generator = torch.Generator().manual_seed(SEED)
    first, second, back = [], [], []
    for x, out in outputs(model, pixels):
        moved = in_another_pose(x, out.element, group, support, background, generator)
        with torch.inference_mode():
            second.append(model(moved, sample=False).responsibilities.argmax(1).cpu())
        upright = warp(x, group.inverse(out.element), background=background)
        back.append(pooled(upright).cpu() - background)
        first.append(taken(out))
    return joined(first), torch.cat(second).numpy(), torch.cat(back)


def by_averages(
    aligned: Float[Tensor, "n c h w"], labels: Int[np.ndarray, " n"], clusters: int, noise: float
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """`average` and `explained` of `Cues`.

    Args:
        aligned: images in the frames of their clusters, differences from the background.
        labels: cluster of each image.
        clusters: K.
        noise: variance of white noise in each pixel.
    """
    x = aligned.flatten(1).double()
    label = torch.from_numpy(labels)
    likeliest = torch.empty_like(label)
    rest, total = x.new_zeros(len(x)), x.square().mean(1)
    halves = torch.randperm(len(x), generator=torch.Generator().manual_seed(SEED)) % 2
    for half in (0, 1):
        known, asked = halves != half, halves == half
        mean = x.new_zeros(clusters, x.shape[1]).index_add_(0, label[known], x[known])
        count = label[known].bincount(minlength=clusters)
        mean = mean / count.clamp_min(1)[:, None]
        distance = torch.cdist(x[asked], mean).square() / x.shape[1]
        distance[:, count == 0] = torch.inf
        likeliest[asked] = distance.argmin(1)
        own = label[asked]
        # An average of m images has noise of its own, 1 / m of theirs.
        rest[asked] = distance.gather(1, own[:, None])[:, 0] - noise / count[own].clamp_min(1)
    right = (likeliest == label).numpy().astype(float)
    left = mean_by(rest.numpy(), labels, clusters) - noise
    signal = mean_by(total.numpy(), labels, clusters) - noise
    explained = 1 - left / np.maximum(signal, 1e-6)
    return mean_by(right, labels, clusters), np.clip(explained, 0, 1)
