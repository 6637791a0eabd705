"""What the default model is taught first."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup, reflect
from mcevae.images.arrays import Hints, require, to_float
from mcevae.models.config import MOST_CLUSTERS, PlannedConfig
from mcevae.models.default.describing import (
    AVERAGED,
    described,
    from_moments,
    hidden,
    learn_features,
    learns,
    upright,
)
from mcevae.teaching.averages import pooled
from mcevae.teaching.cluster import Grouping
from mcevae.teaching.described import confirmed
from mcevae.teaching.graph import CHUNK
from mcevae.teaching.hinted import renumbered
from mcevae.teaching.noisy import noisy_start
from mcevae.teaching.rings import Track
from mcevae.teaching.start import InvariantStart, invariant_start
from mcevae.teaching.templates import start_poses

T = TypeVar("T")

EXAMPLES = 6000
"""Images whose graph gives the first pieces of class averages."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """First targets of N images.

    Attributes:
        element: (N, 3, 3), poses.
        grouping: the clusters; None if there are none yet.
        message: what was done.
        settled: whether clusters and poses are as good as the noise of the images allows.
    """

    element: Float[Tensor, "n 3 3"]
    grouping: Grouping | None
    message: str
    settled: bool = False


def begin(
    config: PlannedConfig,
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    support: tuple[float, ...],
    track: Track,
    features: Float[Tensor, "n f"] | None = None,
    hints: Hints | None = None,
    known: tuple[Int[Tensor, " n"], Float[Tensor, "n 3 3"]] | None = None,
) -> Beginning:
    """Find first poses, and first clusters if there is a graph.

    Templates know no mirror images, and over the whole circle they have no common frame; then the
    graph gives poses and clusters, unless settings choose. With a group given by generators, every
    pose starts at the identity. Each time the network reads the poses again, they come nearer to
    the true ones. Images that are mostly noise are compared with class averages.

    Args:
        config: settings of the run.
        pixels: training images.
        group: of the poses.
        support: half-widths of the group's parameters.
        track: wraps lists of parts of the work, to stop in between.
        features: numbers that describe each image as well, for the graph.
        hints: what a person said of some images.
        known: clusters and poses, if they were found before.
    """
    start, n = config.start, len(pixels)
    require(
        start.poses != "averages" or AVERAGED.issuperset(group.coordinates),
        f"Class averages know rotations and shifts only, not group {group.name}; use --group se2, "
        "or leave --first-poses out.",
    )
    noisy = start.poses == "averages" or (start.poses == "auto" and hidden(config, pixels, group))
    if known is not None:
        return as_known(*known, settled=noisy)
    if noisy:
        return begin_with_averages(config, pixels, group, support, track, hints=hints)
    if by_graph(config, group, support):
        return begin_with_graph(config, pixels, group, support, track, features, hints)
    element = group.identity(n)
    if not group.polar:
        message = "all poses start at the identity"
    elif start.poses == "moments":
        element = from_moments(config, pixels, group, track)
        message = "poses from moments"
    else:
        element = start_poses(
            pixels,
            group,
            support,
            templates=start.templates,
            seed=config.train.seed,
            subset=start.subset,
            background=config.data.background_level,
            track=track,
        ).elements
        message = "poses from templates"
    return Beginning(element=element, grouping=None, message=message)


def by_graph(config: PlannedConfig, group: MatrixGroup, support: tuple[float, ...]) -> bool:
    """Whether the first poses come from the invariant graph, if images are not mostly noise."""
    anyhow = support[0] > WHOLE_CIRCLE or group.mirrors
    poses = config.start.poses
    return group.polar and (poses == "graph" or (poses == "auto" and anyhow))


def as_known(
    labels: Int[Tensor, " n"], element: Float[Tensor, "n 3 3"], *, settled: bool
) -> Beginning:
    """Begin with clusters and poses that were found before; others do not replace them.

    Args:
        labels: cluster of each image, from 0.
        element: their poses.
        settled: as in `Beginning`.
    """
    clusters = int(labels.max()) + 1
    grouping = Grouping(clusters=clusters, labels=labels, agreement=1.0, duplicates=[])
    message = f"{clusters} clusters and poses as found before"
    return Beginning(element=element, grouping=grouping, message=message, settled=settled)


def begin_with_graph(
    config: PlannedConfig,
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    support: tuple[float, ...],
    track: Track,
    features: Float[Tensor, "n f"] | None = None,
    hints: Hints | None = None,
    *,
    learn: bool = True,
) -> Beginning:
    """Find first poses and clusters from the invariant graph; see `begin`.

    Args:
        learn: whether descriptions are learned, if settings ask for it.
    """
    known = described(config, pixels, group, track)

    def start(plan: PlannedConfig, features: Tensor | None) -> tuple[InvariantStart, str]:
        given = known.rings, group, support, track, features, hints
        return warned(lambda: graph_start(plan, *given))

    def learned() -> Tensor | None:
        element = upright(known, group)
        return learn_features(config, pixels, group, support[0], track, element)

    if features is None and learn and learns(config):
        features = learned()
    found, told = start(config, features)
    doubtful = features is None and learn and learns(config, found.grouping.agreement)
    if doubtful and (own := learned()) is not None:
        same = config.changed(model={"clusters": found.grouping.clusters})
        tried, more = start(same, own)
        new, old = (each.grouping.labels[tried.rows] for each in (tried, found))
        if not confirmed(own[tried.rows], old, new, config.start.neighbours):
            found, told, features = tried, more, own
    proper = group.from_parameters(torch.cat([found.angle[:, None], known.rest], 1))
    sure = about(found.grouping, found.by, features=features is not None)
    return Beginning(
        element=reflect(proper, found.mirrored),
        grouping=found.grouping,
        message=f"{sure}; poses from the graph{told}",
    )


def begin_with_averages(
    config: PlannedConfig,
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    support: tuple[float, ...],
    track: Track,
    *,
    hints: Hints | None = None,
) -> Beginning:
    """Find first poses and clusters from class averages; see `begin`.

    The averages begin with pieces of the invariant graph of the first images. Hints give clusters
    their numbers, but do not change them.
    """
    start, background = config.start, config.data.background_level
    known = described(config, pixels[:EXAMPLES], group, track)
    small = [pooled(to_float(part) - background) for part in pixels.split(CHUNK)]
    clusters, placed = noisy_start(
        torch.cat(small),
        known.rings,
        F.pad(known.rest, (0, 2 - known.rest.shape[1])),
        asked(config),
        half_width=support[0],
        reach=max(support[1:], default=0.0),
        neighbours=start.neighbours,
        most=MOST_CLUSTERS,
        mirror=group.mirrors,
        seed=config.train.seed,
        track=track,
    )
    proper = group.from_parameters(
        torch.cat([placed.angle[:, None], placed.shift], 1)[:, : group.dim]
    )
    labels = renumbered(placed.cluster, clusters, hints)
    message = f"{clusters} clusters and poses from class averages: images are mostly noise"
    if start.descriptions == "learned":
        message += ", of which no descriptions are learned"
    return Beginning(
        element=reflect(proper, placed.mirrored),
        grouping=Grouping(clusters=clusters, labels=labels, agreement=1.0, duplicates=[]),
        message=message,
        settled=True,
    )


def graph_start(
    config: PlannedConfig,
    rings: Tensor,
    group: MatrixGroup,
    support: tuple[float, ...],
    track: Track,
    features: Float[Tensor, "n f"] | None = None,
    hints: Hints | None = None,
) -> InvariantStart:
    """Find clusters and poses from the invariant graph.

    Args:
        config: settings of the run.
        rings: training images on rings.
        group: of the poses.
        support: half-widths of the group's parameters.
        track: wraps lists of parts of the work.
        features: numbers that describe each image as well.
        hints: what a person said of some images.
    """
    start = config.start
    return invariant_start(
        rings,
        asked(config),
        support[0],
        neighbours=start.neighbours,
        restarts=start.restarts,
        most=MOST_CLUSTERS,
        mirror=group.mirrors,
        by="euclidean" if start.grouping == "euclidean" else "tangent",
        subset=start.subset,
        seed=config.train.seed,
        features=features,
        hints=hints,
        track=track,
    )


def asked(config: PlannedConfig) -> int | None:
    """Return the number of clusters that was asked for; None to find it."""
    clusters = config.model.clusters
    return None if clusters == "auto" else clusters


def about(grouping: Grouping, how: str, *, features: bool = False) -> str:
    """Describe clusters in a few words.

    Args:
        grouping: the clusters.
        how: what they were found by: the distance of the graph, or kmeans.
        features: whether features took part.
    """
    how += " and features" if features else ""
    sure = "one restart"  # has nothing to agree with
    if not math.isnan(grouping.agreement):
        sure = f"agreement of restarts {grouping.agreement:.2f}"
    return f"{grouping.clusters} clusters ({how}), {sure}"


def warned(make: Callable[[], T]) -> tuple[T, str]:
    """Return what `make` returned, and what it warned of, such as empty clusters, as sentences."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        found = make()
    own = (each for each in told if issubclass(each.category, UserWarning))
    return found, "".join(f". {each.message}" for each in own)
