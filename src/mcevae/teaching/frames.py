"""One canonical frame for images that look alike, learned from their poses alone.

Poses do not depend on what is shown, and lie evenly about the middle of their support. So the mean
pose of images with the same content is the identity; where it is not, that content's canonical
frame is turned (or scaled) by just that mean. That is the g_k of a prior that is uniform on the
support about g_k; moving the frame makes it the identity.

Clusters are one description of content; a few principal components of the canonical images, which
tell a slanted seven from an upright one, are a finer one. The mean given both is a ridge
regression, whose penalty is chosen by its own leave-one-out error.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from sklearn.decomposition import PCA
from sklearn.linear_model import RidgeCV
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup

IMAGES_EACH = 2000
"""Images for each principal component. Chance then moves frames by s sqrt((K + c) / n), root mean
square, for poses of standard deviation s, K clusters and c components of n images: 1.4 degrees for
a support of 90, K = 10 and 55,000 images."""
MOST_COMPONENTS = 32
PENALTIES = np.logspace(0, 5, 11)


def frame_offsets(
    elements: Float[Tensor, "n 3 3"],
    content: Float[Tensor, "n c h w"],
    cluster: Int[Tensor, " n"],
    group: MatrixGroup,
    support: tuple[float, ...],
    *,
    seed: int = 0,
) -> Float[Tensor, "n 3 3"]:
    """What each image's canonical frame is moved by against the common one, (N, 3, 3).

    Composing an element with the inverse of its offset puts it right. The shift is left alone: its
    frame is the centroid's. So is the rotation if its support is nearly the whole circle, which has
    no middle.

    Args:
        elements: found poses.
        content: canonical images, small.
        cluster: of each image, from -1 (unknown) up.
        group: of the poses.
        support: half-widths of their support.
        seed: of the principal components.
    """
    parameters = group.to_parameters(elements)
    learned = [
        i
        for i, (name, width) in enumerate(zip(group.coordinates, support, strict=True))
        if not name.startswith("shift") and not (name == "rotation" and width > WHOLE_CIRCLE)
    ]
    offsets = torch.zeros_like(parameters)
    if learned:
        known = describe(content, cluster, seed)
        found = RidgeCV(PENALTIES).fit(known, parameters[:, learned].numpy()).predict(known)
        offsets[:, learned] = torch.from_numpy(found).view(-1, len(learned)).to(offsets)
    return group.from_parameters(offsets)


def describe(
    content: Float[Tensor, "n c h w"], cluster: Int[Tensor, " n"], seed: int
) -> Float[np.ndarray, "n features"]:
    """Cluster, one-hot, and principal components of unit variance, as many as n images allow."""
    flat = content.flatten(1).numpy()
    kinds = F.one_hot(cluster - cluster.min()).numpy().astype(np.float32)
    count = min(len(flat) // IMAGES_EACH, MOST_COMPONENTS, flat.shape[1])
    if count < 1:
        return kinds
    components = PCA(count, whiten=True, svd_solver="randomized", random_state=seed)
    return np.concatenate([kinds, components.fit_transform(flat)], axis=1)
