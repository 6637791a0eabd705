"""Clusters that follow hints: what a person said of a few images.

A Gaussian mixture on the layout of the graph is fitted by EM. It begins with clusters whose labels
are spread over the graph (Zhou et al., "Learning with local and global consistency", 2004), and
images with a label keep it, but for a share `DOUBT` (Basu, Banerjee, Mooney, "Semi-supervised
clustering by seeding", 2002). Then neighbours vote: each image has a vote for the cluster that the
mixture gave it, and an image with a hint has `VOTES`. So many hints can correct the mixture where
kinds are no Gaussians, and a wrong one among right ones is outvoted, but for its own image.
"""

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float, Int
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mcevae.images.arrays import NO_HINT, Hints, require
from mcevae.teaching.counting import mixture

DOUBT = 0.1
"""Share of hints that may be wrong, as the mixture sees it."""
VOTES = 30.0
"""How much a hint counts when neighbours vote."""
FAR, NEAR = 0.99, 0.9
"""How much an image listens to its neighbours, when labels are spread and when they vote."""
FAR_STEPS, NEAR_STEPS = 200, 60
EM_STEPS = 50
RIDGE = 1e-4
"""Is added to the variances of the mixture, as in `counting.mixture`."""


def guided(
    points: Float[np.ndarray, "n d"],
    edges: sp.csr_matrix,
    clusters: int,
    hints: Hints,
    seed: int,
) -> Int[np.ndarray, " n"]:
    """Sort points into clusters, as hints say: cluster k has the images that are like label k.

    Args:
        points: images, laid out.
        edges: (N, N) symmetric weights of the edges between them.
        clusters: K, at least the number of labels.
        hints: of the images.
        seed: seed of the mixture without hints, from which clusters without a label come.

    Raises:
        UserError: there are more labels than clusters.
    """
    check(hints, clusters)
    of = hints.of.numpy()
    rows = hints.labelled().numpy()
    first = begun(mixture(points, clusters, seed), edges, of, rows, len(hints.names), clusters)
    belief = fitted(points, first, of, rows)
    fixed = placed(belief, hints)
    found = voted(belief, edges, fixed)
    rows = np.flatnonzero(fixed != NO_HINT)
    found[rows] = fixed[rows]
    return found


def check(hints: Hints, clusters: int) -> None:
    """Refuse more labels than clusters.

    Raises:
        UserError: there are more.
    """
    labels = len(hints.names)
    require(
        labels <= clusters,
        f"--hints has {labels} labels, but there are only {clusters} clusters; ask for {labels} "
        "or more with --clusters.",
    )


def begun(
    alone: Int[np.ndarray, " n"],
    edges: sp.csr_matrix,
    of: Int[np.ndarray, " n"],
    rows: Int[np.ndarray, " m"],
    labels: int,
    clusters: int,
) -> Float[np.ndarray, "n K"]:
    """First memberships: of the label that reaches an image first, or of a cluster without label.

    Args:
        alone: clusters found without hints. Those that fit no label stay, without one.
        edges: as for `guided`.
        of: component of each image.
        rows: images with a label.
        labels: L, number of labels.
        clusters: K.
    """
    n, memberships = len(of), np.zeros((len(of), clusters))
    others = by_label(of[rows], alone[rows], labels, clusters)[labels:]
    number = {k: labels + i for i, k in enumerate(others)}
    first = np.array([number.get(int(k), NO_HINT) for k in alone])
    if labels:
        start = np.zeros((n, labels))
        start[rows, of[rows]] = 1
        ends = np.asarray(edges.sum(1)).ravel()
        scale = sp.diags(1 / np.sqrt(np.maximum(ends, 1e-12)))
        reached = spread(scale @ edges @ scale, start, FAR, FAR_STEPS)
        reached /= np.maximum(reached.sum(0), 1e-12)  # so that no label wins by having more hints
        first = np.where(first == NO_HINT, reached.argmax(1), first)
    memberships[np.arange(n), first] = 1
    return memberships


def by_label(
    of: Int[np.ndarray, " m"], found: Int[np.ndarray, " m"], labels: int, clusters: int
) -> list[int]:
    """Order clusters: the one that fits each label best (no two share one), then the others.

    Args:
        of: label of each image that has one.
        found: its cluster.
        labels: L, number of labels.
        clusters: K, at least L.
    """
    counts = np.zeros((labels, clusters))
    np.add.at(counts, (of, found), 1)
    taken = linear_sum_assignment(-counts)[1].tolist()
    return [*taken, *(k for k in range(clusters) if k not in taken)]


def spread(
    between: sp.spmatrix, start: Float[np.ndarray, "n c"], share: float, steps: int
) -> Float[np.ndarray, "n c"]:
    """Spread values over a graph; each image keeps some of what it began with.

    Args:
        between: (N, N) how much of its value each image gives to each other one.
        start: the values.
        share: how much comes from neighbours.
        steps: how often.
    """
    values = start
    for _ in range(steps):
        values = share * (between @ values) + (1 - share) * start
    return values


def fitted(
    points: Float[np.ndarray, "n d"],
    memberships: Float[np.ndarray, "n K"],
    of: Int[np.ndarray, " n"],
    rows: Int[np.ndarray, " m"],
) -> Float[np.ndarray, "n K"]:
    """Fit a Gaussian mixture by EM; return the probability of each of its components.

    Args:
        points: images, laid out.
        memberships: the first ones.
        of: component of each image.
        rows: images with a label.
    """
    n, clusters = memberships.shape
    prior = np.zeros((n, clusters))
    prior[rows] = np.log(DOUBT / max(1, clusters - 1))
    prior[rows, of[rows]] = np.log(1 - DOUBT)
    for _ in range(EM_STEPS):
        weight = np.maximum(memberships.sum(0), 1e-9)
        score = np.log(weight / weight.sum()) + prior
        for k in range(clusters):
            own = memberships[:, k] / weight[k]
            apart = points - own @ points
            covariance = (own[:, None] * apart).T @ apart + RIDGE * np.eye(points.shape[1])
            root = np.linalg.cholesky(covariance)
            scaled = solve_triangular(root, apart.T, lower=True)
            score[:, k] -= 0.5 * np.square(scaled).sum(0) + np.log(np.diag(root)).sum()
        new = np.exp(score - score.max(1, keepdims=True))
        new /= new.sum(1, keepdims=True)
        done = np.abs(new - memberships).max() < 1e-3
        memberships = new
        if done:
            break
    return memberships


def placed(belief: Float[np.ndarray, "n K"], hints: Hints) -> Int[np.ndarray, " n"]:
    """The cluster of each image with a hint; `NO_HINT` for the others.

    Images that are alike go together, to the cluster that is likeliest for all of them. Of two
    components that differ, the one that loses less by it goes elsewhere.

    Args:
        belief: probability of each cluster.
        hints: of the images.
    """
    of, labels = hints.of.numpy(), len(hints.names)
    count = max(labels, int(of.max()) + 1)
    score = np.zeros((count, belief.shape[1]))
    rows = hints.rows().numpy()
    np.add.at(score, of[rows], np.log(np.maximum(belief[rows], 1e-6)))
    home = score.argmax(1)
    home[:labels] = np.arange(labels)
    score[np.arange(labels), np.arange(labels)] = np.inf  # it stays
    for _ in range(count):
        same = [(a, b) for a, b in hints.apart if home[a] == home[b]]
        if not same or belief.shape[1] < 2:
            break
        for a, b in same:
            costs = []
            for one in (a, b):
                barred = {home[j] for pair in hints.apart if one in pair for j in pair if j != one}
                options = [k for k in range(belief.shape[1]) if k not in barred] or [home[one]]
                best = max(options, key=lambda k, one=one: score[one, k])
                costs.append((score[one, home[one]] - score[one, best], one, best))
            _, one, best = min(costs)
            home[one] = best
    return np.where(of == NO_HINT, NO_HINT, home[np.maximum(of, 0)])


def voted(
    belief: Float[np.ndarray, "n K"], edges: sp.csr_matrix, fixed: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Let neighbours vote for the cluster of each image.

    Args:
        belief: probability of each cluster, which are the images' own votes.
        edges: as for `guided`.
        fixed: cluster of each image with a hint.
    """
    votes = belief.copy()
    rows = np.flatnonzero(fixed != NO_HINT)
    votes[rows] = 0
    votes[rows, fixed[rows]] = VOTES
    ends = np.maximum(np.asarray(edges.sum(1)).ravel(), 1e-12)
    return spread(sp.diags(1 / ends) @ edges, votes, NEAR, NEAR_STEPS).argmax(1)


def first_with_hints(order: Int[Tensor, " n"], hints: Hints | None) -> Int[Tensor, " n"]:
    """Put images with hints first in an order, so that every subset has them.

    Args:
        order: numbers of images.
        hints: of the images; None: there are none.
    """
    if hints is None:
        return order
    has = hints.of[order] != NO_HINT
    return torch.cat([order[has], order[~has]])


def renumbered(labels: Int[Tensor, " n"], clusters: int, hints: Hints | None) -> Int[Tensor, " n"]:
    """Number clusters that were found without hints as their labels are numbered, if any fit.

    Args:
        labels: cluster of each image.
        clusters: K.
        hints: of the images; None: numbers stay.

    Raises:
        UserError: there are more labels than clusters.
    """
    if hints is None:
        return labels
    check(hints, clusters)
    rows = hints.labelled()
    order = by_label(hints.of[rows].numpy(), labels[rows].numpy(), len(hints.names), clusters)
    number = torch.empty(clusters, dtype=torch.long)
    number[order] = torch.arange(clusters)
    return number[labels]
