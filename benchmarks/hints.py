"""What a few labels are worth: accuracy of clusters with 0, 1, 5 and 20 labels a kind.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/hints.py
    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/hints.py --trained runs/hints

It takes digits and clothes, moved within 90 degrees. The first command finds clusters by the
invariant graph (preset quick); the second trains preset default on fewer images, and adds a row
after each training. Rows that are there already are not trained again. In some rows, one in ten
hints is wrong. Only images without a hint are scored. Cluster k counts as label k; without hints,
clusters are matched to labels as they fit best. Hints are drawn anew for each seed.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import numpy as np
import torch
from common import RESULTS, write_results
from jaxtyping import Bool, Int
from rich.console import Console
from scipy.optimize import linear_sum_assignment

from mcevae.images.arrays import NO_HINT, Hints
from mcevae.models.config import PRESETS, Config
from mcevae.models.own_group import group_of
from mcevae.runs.checkpoint import load_model, run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of
from mcevae.training.loop import fit

SETS = ("mnist", "fashion-mnist")
IMAGES, CLUSTERS, SEEDS = 5000, 10, (0, 1, 2)
TRAINED, EPOCHS, BATCH = 2000, 8, 50
"""Images, epochs and images of a step for networks."""
TRAINED_ROWS = ((0, 0.0), (20, 0.0), (20, 0.1), (5, 0.0), (5, 0.1), (1, 0.0))
"""The rows of networks, the most telling first."""
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


def trained(name: str, each: int, wrong: float, run: Path) -> dict[str, object]:
    """A row of a set, by a network that is trained with its hints."""
    config = Config().changed(
        data={"source": name, "limit": TRAINED}, train={"epochs": EPOCHS, "batch_size": BATCH}
    )
    data = prepare_for(config)
    images = data.train.images
    assert images.labels is not None
    labels = images.labels.numpy()
    hints = drawn(labels, each, wrong, SEEDS[0])
    data = replace(data, train=replace(data.train, images=replace(images, hints=hints)))
    if not fit(config, data, run, resume=run_file(run, "last").exists(), console=Console()):
        raise SystemExit(130)
    cluster = embed(load_model(run)[0], images.pixels).cluster.numpy()
    known = np.full(len(labels), NO_HINT) if hints is None else hints.of.numpy()
    found = accuracy(cluster, labels, known == NO_HINT, named=hints is not None)
    said = known != NO_HINT
    kept = {"hinted_as_told": round(float((cluster == known)[said].mean()), 4)} if each else {}
    return row(name, each, wrong, [found], len(labels)) | {"epochs": EPOCHS} | kept


def train_all(runs: Path) -> None:
    """Train the rows that results/hints.json lacks, and add each when it is done."""
    for each, wrong in TRAINED_ROWS:
        for name in SETS:
            stored = read()
            known = [(one["set"], one["labels_of_each_kind"], one["wrong"]) for one in stored[1]]
            if (name, each, wrong) not in known:
                new = trained(name, each, wrong, runs / f"{name}-{each}-{wrong}")
                write(stored[0], [*stored[1], new])


def read() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What results/hints.json has: of the graph, and the rows of trained networks."""
    path = RESULTS / "hints.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    return {key: stored[key] for key in ("rows", "seconds") if key in stored}, stored.get(
        "trained", []
    )


def write(graph: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write results/hints.json."""
    write_results("hints", {**graph, "trained": rows}, "python benchmarks/hints.py")


def main() -> None:
    """Measure, and write results/hints.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--trained", type=Path, metavar="RUNS", help="train networks, into RUNS")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.trained is not None:
        train_all(chosen.trained)
        return
    began = time.perf_counter()
    rows = [one for name in SETS for one in by_graph(name)]
    write({"rows": rows, "seconds": round(time.perf_counter() - began)}, read()[1])


if __name__ == "__main__":
    main()
