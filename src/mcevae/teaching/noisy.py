"""First clusters and poses of images that are mostly noise."""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups import SE2, reflect
from mcevae.teaching.averages import ClassAverages, Placed
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.graph import invariant_graph, reach_of
from mcevae.teaching.rings import Track, on_rings
from mcevae.teaching.upright import orient, settle

PIECES, EACH = 3, 60
"""Pieces for each cluster; fewer if a piece would have fewer images than this."""


def noisy_start(
    images: Float[Tensor, "n c h w"],
    rings: Float[Tensor, "m c rings angles"],
    middle: Float[Tensor, "m 2"],
    clusters: int | None,
    *,
    half_width: float,
    reach: float,
    neighbours: int = 15,
    most: int = 30,
    mirror: bool = False,
    seed: int = 0,
    track: Track = iter,
) -> tuple[int, Placed]:
    """Cut the invariant graph into pieces, and fit class averages that begin with these.

    Args:
        images: differences from their background, as `averages.pooled` gives them.
        rings: the first of them on rings.
        middle: about which middle, in image sides from the centre.
        clusters: K; None to choose it from the graph.
        half_width: half-width of the support of rotations, radians.
        reach: half-width of the support of shifts, image sides.
        neighbours: number of neighbours of each image in the graph.
        most: largest K to try.
        mirror: whether images may be mirrored.
        seed: seed of the pieces and of the fit.
        track: wraps lists of parts of the work, to show progress.

    Returns:
        K, and where each image lies.

    Raises:
        UserError: there are too few images for the clusters or neighbours.
    """
    graph = invariant_graph(
        rings, neighbours, reach=reach_of(half_width), mirror=mirror, track=track
    )

    def sort(count: int | None) -> tuple[int, Tensor]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pieces of one kind are meant to be alike
            found = start_clusters(rings.flatten(1), graph, count, most=most, restarts=1, seed=seed)
        return found.clusters, found.labels

    k = clusters or sort(None)[0]
    _, labels = sort(max(k, min(PIECES * k, len(rings) // EACH)))
    first = orient(rings, graph, labels, half_width, seed=seed)
    proper = SE2().from_parameters(torch.cat([first.angle[:, None], middle], 1))
    fit = ClassAverages(
        images, half_width=half_width, reach=reach, mirror=mirror, seed=seed, track=track
    )
    found, placed = fit.fit(labels, reflect(proper, first.mirrored), k)
    # The frame of an average is as chance left it.
    centre = found.pictures.new_zeros(k, 2)
    means = on_rings(found.pictures, centre, centre[:, 0] + 1)
    angle, mirrored = placed.angle.clone(), placed.mirrored.clone()
    for cluster, mean in enumerate(means):
        own = placed.cluster == cluster
        if own.any():
            angle[own], mirrored[own] = settle(mean, angle[own], mirrored[own], 1, half_width)
    return k, Placed(cluster=placed.cluster, angle=angle, shift=placed.shift, mirrored=mirrored)
