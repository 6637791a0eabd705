"""Trust against accuracy: makes runs whose truth is known, fits the weights, and scores trust.

    MCEVAE_DATA=FOLDER python benchmarks/trust.py --sets runs/sets
    python benchmarks/trust.py --only-fit

`trust_rows.py` has the runs: image sets of many kinds, with settings that fit and that do not. Each
has at most 1,500 training images, and its test images are scored with their labels. The labels are
read here alone: the cues of trust come from training images without labels.

A run that is in results/trust.json is not made again. Then the weights of src/mcevae/assets/
trust.json are fitted to all runs, by logistic regression of the share of each cluster's images that
are with their like. The scores in the file are of runs that the fit had not seen: each kind of
images is left out once. Rewrites results/trust.json and docs/images/trust.png.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, write_results
from rich.console import Console
from scipy.optimize import linear_sum_assignment
from trust_fit import ASSET, draw, fitted, summary
from trust_rows import CASES, Case

from mcevae.base.files import write_text
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import spec_of
from mcevae.runs.checkpoint import run_file
from mcevae.runs.confidence import calibrate
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.infer import embed
from mcevae.runs.metrics import matched_accuracy
from mcevae.runs.run import TrainedRun
from mcevae.runs.trust.cues import measure
from mcevae.runs.trust.weights import NAMES
from mcevae.training.loop import fit

BINS = np.linspace(-8, 8, 33)
"""Edges of bins of the logit of steadiness, in which right and wrong images are counted."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "trust.png"


def settings(case: Case, sets: Path) -> Config:
    """Settings of a run, with all that depends on its images."""
    config = PRESETS[case.preset]().changed(**case.changes)
    path = sets / f"{case.source}.npz"
    if path.exists():
        return settle(config.changed(data={"source": str(path)}))
    return config.changed(data={"source": case.source})


def trained(case: Case, sets: Path, run: Path) -> tuple[TrainedRun, Splits]:
    """Train a run, from where it was if it was stopped."""
    config = settings(case, sets)
    data = prepare_for(config)
    begun = run_file(run, "last").exists() and spec_of(config.model.kind).trained
    done = run_file(run, "best").exists() and not begun
    if not done and not fit(config, data, run, resume=begun, console=Console(quiet=True)):
        raise SystemExit(130)
    return TrainedRun.open(run), data


def row_of(case: Case, run: TrainedRun, data: Splits) -> dict[str, Any]:
    """The cues of a run, and what its labels say about it.

    Args:
        case: what it is.
        run: the run.
        data: its images.
    """
    measured = measure(run.model, run.settings, data.train.images.pixels)
    steadiness = calibrate(run.model, run.settings, data.validation.images.pixels).steadiness
    sample = measured.found
    test = embed(run.model, data.test.images.pixels)
    assert data.test.images.labels is not None
    labels = np.unique(data.test.images.labels.numpy(), return_inverse=True)[1]
    cluster, k = test.cluster.numpy(), sample.responsibilities.shape[1]
    both = np.zeros((k, labels.max() + 1))
    np.add.at(both, (cluster, labels), 1)
    matched = np.zeros(k)
    rows, columns = linear_sum_assignment(both, maximize=True)
    matched[rows] = both[rows, columns]
    right = both.argmax(1)[cluster] == labels
    logit = torch.logit(steadiness(test.responsibilities), eps=1e-6).numpy()
    place = np.digitize(logit, BINS[1:-1])
    counts = np.zeros((2, k, len(BINS) - 1), int)
    np.add.at(counts, (right.astype(int), cluster, place), 1)
    return {
        "kind": case.kind,
        "wrong": case.wrong,
        "accuracy": round(matched_accuracy(cluster, labels), 4),
        "sizes": np.bincount(sample.cluster.numpy(), minlength=k).tolist(),
        "cues": {name: np.round(getattr(measured.cues, name), 4).tolist() for name in NAMES},
        "other": measured.other.tolist(),
        "test": both.sum(1).astype(int).tolist(),
        "with_like": matched.astype(int).tolist(),
        "pure": both.max(1).astype(int).tolist(),
        "counts": [[" ".join(map(str, row)) for row in part] for part in counts],
    }


def main() -> None:
    """Make the runs that are missing, fit, and write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--sets", type=Path, default=Path("runs/sets"), help="folder of sets; runs/sets by default")
    add("--runs", type=Path, default=Path("runs/trust"), help="folder of the runs")
    add("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="all by default")
    add("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    add("--only-fit", action="store_true", help="make no runs")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for name in [] if chosen.only_fit else chosen.cases:
        if name not in stored():
            case = CASES[name]
            row = row_of(case, *trained(case, chosen.sets, chosen.runs / name))
            keep(stored() | {name: row})
            print(f"{name}: accuracy {row['accuracy']:.3f}", flush=True)
    known = stored()
    write_text(ASSET, json.dumps(fitted(known), indent=1) + os.linesep)
    keep(known)
    draw(known, PICTURE)
    print(json.dumps(summary(known), indent=1))


def stored() -> dict[str, Any]:
    """Runs in results/trust.json so far."""
    path = RESULTS / "trust.json"
    return json.loads(path.read_text("utf-8"))["runs"] if path.exists() else {}


def keep(runs: dict[str, Any]) -> None:
    """Write the runs, and how good trust is on them, if there are several kinds."""
    several = len({one["kind"] for one in runs.values()}) > 1
    content = {"summary": summary(runs) if several else {}, "runs": dict(sorted(runs.items()))}
    write_results("trust", content, command="python benchmarks/trust.py")


if __name__ == "__main__":
    main()
