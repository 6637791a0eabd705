"""What a few labels are worth: accuracy of the first clusters with 0, 1, 5 and 20 labels a kind.

It takes digits and clothes, moved within 90 degrees, and finds clusters by the invariant graph
(preset quick): no network is trained, but with --trained. One row in ten hints is wrong in half of
the rows. Only images without a hint are scored. Cluster k counts as label k; without hints,
clusters are matched to labels as they fit best. Hints are drawn anew for each seed.
"""

import argparse
import time
from pathlib import Path
from statistics import mean, pstdev
from tempfile import TemporaryDirectory

import numpy as np
import torch
from common import write_results
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from mcevae.images.arrays import NO_HINT, Hints
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.own_group import group_of
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.teaching.cluster import start_clusters
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of
from mcevae.training.loop import fit

SETS = ("mnist", "fashion-mnist")
IMAGES, CLUSTERS, SEEDS = 5000, 10, (0, 1, 2)
ROWS = ((0, 0.0), (1, 0.0), (5, 0.0), (20, 0.0), (1, 0.1), (5, 0.1), (20, 0.1))
"""Labels of each kind, and the share of them that are wrong."""
TRAINED = ((0, 0.0), (5, 0.0), (20, 0.1))
FEW, EPOCHS = 2500, 24
"""Images and epochs of trained runs."""


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


def settings(name: str, preset: str, images: int) -> Config:
    """Settings for a set, moved within 90 degrees and a quarter of the side."""
    config = PRESETS[preset]().changed(data={"source": name, "limit": images})
    return config.changed(train={"epochs": EPOCHS}) if preset == "default" else config


def by_graph(name: str) -> list[dict[str, object]]:
    """Rows of a set, by the graph alone."""
    config = settings(name, "quick", IMAGES)
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


def by_training(name: str) -> list[dict[str, object]]:
    """Rows of a set, by trained runs, scored on its test images."""
    config, rows = settings(name, "default", FEW), []
    data = prepare_for(config)
    for each, wrong in TRAINED:
        labels = data.train.images.labels
        assert labels is not None and data.test.images.labels is not None
        hints = drawn(labels.numpy(), each, wrong, 0)
        with TemporaryDirectory() as folder:
            fit(config, hinted(data, hints), Path(folder))
            run = TrainedRun.open(Path(folder))
            run.calibrate(data)
            cluster = run.answers(data.test.images.pixels).cluster
        among = np.ones(len(cluster), bool)
        score = accuracy(cluster, data.test.images.labels.numpy(), among, named=hints is not None)
        rows.append({"trained": True, **row(name, each, wrong, [score], FEW)})
    return rows


def hinted(data: Splits, hints: Hints | None) -> Splits:
    """The same images with hints of the training images."""
    from dataclasses import replace

    images = replace(data.train.images, hints=hints)
    return replace(data, train=replace(data.train, images=images))


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
    """Measure, and write results/hints.json, or results/hints_trained.json."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--trained", action="store_true", help="train networks; it takes long")
    asked = reader.parse_args()
    torch.set_num_threads(1)
    began, measure = time.perf_counter(), by_training if asked.trained else by_graph
    rows = [one for name in SETS for one in measure(name)]
    seconds = round(time.perf_counter() - began)
    write_results("hints_trained" if asked.trained else "hints", {"rows": rows, "seconds": seconds})


if __name__ == "__main__":
    main()
