"""What a few labels are worth: accuracy of the first clusters with 0, 1, 5 and 20 labels a kind.

It takes digits and clothes, moved within 90 degrees, and finds clusters by the invariant graph
(preset quick): no network is trained. In some rows, one in ten hints is wrong. Only images without
a hint are scored. Cluster k counts as label k; without hints, clusters are matched to labels as
they fit best. Hints are drawn anew for each seed.
"""

import argparse
import time
from statistics import mean, pstdev

import numpy as np
import torch
from common import write_results
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from mcevae.images.arrays import NO_HINT, Hints
from mcevae.models.config import PRESETS
from mcevae.models.own_group import group_of
from mcevae.runs.data import prepare_for
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of

SETS = ("mnist", "fashion-mnist")
IMAGES, CLUSTERS, SEEDS = 5000, 10, (0, 1, 2)
ROWS = ((0, 0.0), (1, 0.0), (5, 0.0), (20, 0.0), (1, 0.1), (5, 0.1), (20, 0.1))
"""Labels of each kind, and the share of them that are wrong."""


def drawn(labels: Int[np.ndarray, " n"], each: int, wrong: float, seed: int) -> Hints | None:
    """Draw hints: some labels of each kind, of which a share is wrong; None without any."""
    if not each:
        return None
    rng = np.random.default_rng(seed)
    kinds = range(CLUSTERS)
    rows = np.concatenate([rng.permutation(np.flatnonzero(labels == k))[:each] for k in kinds])
    said, of = labels[rows].copy(), np.full(len(labels), NO_HINT)
    false = rng.permutation(len(rows))[: round(wrong * len(rows))]
    said[false] = (said[false] + rng.integers(1, CLUSTERS, len(false))) % CLUSTERS
    of[rows] = said
    return Hints(names=tuple(map(str, kinds)), of=torch.from_numpy(of), apart=())


def accuracy(
    cluster: Int[np.ndarray, " n"],
    labels: Int[np.ndarray, " n"],
    among: Bool[np.ndarray, " n"],
    *,
    named: bool,
) -> float:
    """Share of images in the cluster of their label."""
    counts = np.zeros((CLUSTERS, CLUSTERS))
    np.add.at(counts, (cluster[among], labels[among]), 1)
    if named:
        return float(np.trace(counts) / counts.sum())
    one, other = linear_sum_assignment(-counts)
    return float(counts[one, other].sum() / counts.sum())


def by_graph(name: str) -> list[dict[str, object]]:
    """Rows of a set, by the graph alone."""
    config = PRESETS["quick"]().changed(data={"source": name, "limit": IMAGES})
    images = prepare_for(config).train.images
    assert images.labels is not None
    labels, group = images.labels.numpy(), group_of("se2")
    rings = describe_pixels(images.pixels, group, 0.0).rings
    graph = invariant_graph(rings, 15, reach=reach_of(config.support.half_widths(group)[0]))
    rows = []
    for each, wrong in ROWS:
        found = []
        for seed in SEEDS:
            hints = drawn(labels, each, wrong, seed)
            grouping = start_clusters(rings.flatten(1), graph, CLUSTERS, seed=seed, hints=hints)
            among = np.ones(len(labels), bool) if hints is None else hints.of.numpy() == NO_HINT
            cluster = grouping.labels.numpy()
            found.append(accuracy(cluster, labels, among, named=hints is not None))
        rows.append(row(name, each, wrong, found, len(labels)))
    return rows


def row(name: str, each: int, wrong: float, found: list[float], images: int) -> dict[str, object]:
    """A row of the results."""
    made: dict[str, object] = {
        "set": name,
        "labels_of_each_kind": each,
        "wrong": wrong,
        "accuracy": round(mean(found), 4),
        "spread": round(pstdev(found), 4),
        "seeds": len(found),
        "images": images,
    }
    print(made, flush=True)
    return made


def main() -> None:
    """Measure, and write results/hints.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    rows = [one for name in SETS for one in by_graph(name)]
    write_results("hints", {"rows": rows, "seconds": round(time.perf_counter() - began)})


if __name__ == "__main__":
    main()
