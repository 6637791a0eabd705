"""One canonical frame for images that look alike, learned from their poses alone.

Poses do not depend on what an image shows, and lie symmetrically about the middle of their support.
So the poses of images with the same content should lie about the identity. If they do not, the
canonical frame of this content is turned (or scaled) by just their middle (`teaching.middle`). This
is the g_k of a prior that is symmetric about g_k. Moving the frame makes g_k the identity.

Content is described by the cluster and, more finely, by a few principal components of the canonical
images of this cluster: these tell a slanted seven from an upright one.

Found rotations end with the support. So what lies beyond its end stays turned a little, and turned
content would seem to be a kind that lies at the end. So canonical images are first turned until
they look like the average of their cluster, and their poses with them. How far images of the same
content are turned by this is then taken off again, because it has nothing to do with their poses.

A mirrored pose is M = P F, with the mirror image F first. If its canonical frame is turned by g,
it is P F g, and g F g turns the other way. So the middle is taken of F M, whose frame is turned
by g as that of the other poses is.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor

from mcevae.geometry.groups import MIRROR, WHOLE_CIRCLE, MatrixGroup, get_group, mirrored, wrapped
from mcevae.geometry.warp import warp
from mcevae.teaching.middle import middle
from mcevae.teaching.rings import on_rings, turned, turns

EACH, MOST = 50, 16
"""Images of a cluster for each principal component, and the largest number of components."""
LEAST = 0.005
"""Components of a smaller share of the mean square of the images are left out: it is how much the
pixel grid alone changes an image with its pose, so that a component would tell the pose itself."""
MOST_DEVIATIONS = 3  # beyond this the middle is not known to be linear in a component
REACH = math.radians(30)  # canonical images are turned by no more
INNER = 0.75  # found rotations within this share of the support are not cut off by its end
ROUNDS, CHUNK = 2, 5000


def frame_offsets(
    elements: Float[Tensor, "n 3 3"],
    content: Float[Tensor, "n c h w"],
    cluster: Int[Tensor, " n"],
    group: MatrixGroup,
    support: tuple[float, ...],
    *,
    background: float = 0.0,
    seed: int = 0,
) -> Float[Tensor, "n 3 3"]:
    """How far each image's canonical frame is from the common frame, (N, 3, 3).

    To correct a pose, compose it with the inverse of its offset. Shifts are not corrected, because
    their frame is the centroid. Neither are rotations whose support is nearly the whole circle,
    which has no middle, nor images without a cluster.

    Args:
        elements: poses of the images.
        content: canonical images, small.
        cluster: cluster of each image; -1 if it is not known.
        group: group of the poses.
        support: half-widths of the support of the poses.
        background: value of the empty pixels of canonical images.
        seed: seed of the principal components.

    Returns:
        The offsets as group elements, (N, 3, 3).
    """
    offsets, some = torch.zeros(len(elements), group.dim).to(elements), cluster >= 0
    learned = {
        i: (name, width)
        for i, (name, width) in enumerate(zip(group.coordinates, support, strict=True))
        if width > 0
        and not name.startswith("shift")
        and not (name == "rotation" and width > WHOLE_CIRCLE)
    }
    if learned and some.any():
        poses, look, kind = elements[some], content[some] - background, cluster[some]
        unmirrored = group.compose(MIRROR.to(poses), poses)
        facing = torch.where(mirrored(poses)[:, None, None], unmirrored, poses)
        found = group.to_parameters(facing)
        turn = torch.zeros(len(look))
        rotation = next((width for name, width in learned.values() if name == "rotation"), None)
        if rotation is not None:
            look, turn = alike(look, kind, min(REACH, rotation))
        kinds = F.one_hot(kind)[:, kind.unique()].float()
        components = describe(look, kinds, seed)
        for i, (name, width) in learned.items():
            values = found[:, i]
            if name == "rotation":
                inner = values.abs() < INNER * width
                values = (
                    values - turn + turn_of_content(turn, torch.cat([kinds, components], 1), inner)
                )
            offsets[some, i] = middle(kinds, components, values, width)
    return group.from_parameters(offsets)


def levelled(
    elements: Float[Tensor, "n 3 3"],
    content: Float[Tensor, "n c h w"],
    cluster: Int[Tensor, " n"],
    group: MatrixGroup,
    support: tuple[float, ...],
    *,
    background: float = 0.0,
    seed: int = 0,
) -> Float[Tensor, "n 3 3"]:
    """Poses whose canonical frame is the common one of their content; see `frame_offsets`."""
    given = elements, content, cluster, group, support
    offsets = frame_offsets(*given, background=background, seed=seed)
    return group.compose(elements, group.inverse(offsets))


def alike(
    content: Float[Tensor, "n c h w"], cluster: Int[Tensor, " n"], reach: float
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, " n"]]:
    """Turn images by at most `reach` until they look like the average of their cluster.

    Returns:
        The images, and by how much each was turned, radians.
    """
    rings = [on_rings(x, torch.zeros(len(x), 2), torch.ones(len(x))) for x in content.split(CHUNK)]
    clusters, turn = cluster.split(CHUNK), torch.zeros(len(content))
    for _ in range(ROUNDS):
        sums = rings[0].new_zeros(int(cluster.max()) + 1, *rings[0].shape[1:])
        for x, own, angle in zip(rings, clusters, turn.split(CHUNK), strict=True):
            sums.index_add_(0, own, turned(x, angle, torch.zeros_like(own, dtype=torch.bool)))
        parts = zip(rings, clusters, strict=True)
        found = [turns(x, sums[own], reach, mirror=False).angle for x, own in parts]
        turn = wrapped(torch.cat(found))
    elements = get_group("so2").from_parameters(turn[:, None])
    parts = zip(content.split(CHUNK), elements.split(CHUNK), strict=True)
    return torch.cat([warp(x, M) for x, M in parts]), turn


def describe(
    look: Float[Tensor, "n c h w"], kinds: Float[Tensor, "n clusters"], seed: int
) -> Float[Tensor, "n components"]:
    """Return the strong principal components of each cluster, of unit variance; 0 for others."""
    flat, parts = look.flatten(1).numpy(), [torch.zeros(len(look), 0)]
    for own in kinds.T == 1:
        images = flat[own.numpy()]
        count = min(len(images) // EACH, MOST, flat.shape[1])
        least = LEAST * np.square(images).sum(1).mean()
        if count and images.var(0).sum() > least:
            components = PCA(count, svd_solver="randomized", random_state=seed)
            values, variance = components.fit_transform(images), components.explained_variance_
            strong = variance >= least
            values = torch.from_numpy(values[:, strong] / np.sqrt(variance[strong])).float()
            part = torch.zeros(len(flat), values.shape[1])
            part[own] = values.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
            parts.append(part)
    return torch.cat(parts, 1)


def turn_of_content(
    turn: Float[Tensor, " n"], known: Float[Tensor, "n features"], inner: Tensor
) -> Float[Tensor, " n"]:
    """By how much images that look like this are turned, where no support cuts off poses."""
    if not inner.any():
        return torch.zeros(len(turn))
    line = Ridge().fit(known[inner].numpy(), turn[inner].numpy())
    return torch.from_numpy(line.predict(known.numpy())).float()
