"""The default preset's figures on posed MNIST: clusters, poses, reconstruction, invariance.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/quality.py --rows se2 --seeds 0 1 2

Each cell, a row and a seed, trains on 55,000 images, chooses its checkpoint on 5,000 and is scored
once on the 10,000 test images; labels are read by the scores alone. Cells that are done are not run
again, a stopped one goes on where it was. Rewrites results/quality.json after every cell.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, machine, write_results
from rich.console import Console

from mcevae.checkpoint import load_model, run_file
from mcevae.config import Config, default
from mcevae.data import Splits, prepare_for
from mcevae.infer import embed
from mcevae.metrics import evaluate, frames
from mcevae.report import write_report, write_scores
from mcevae.train import fit, read_log

ROWS: dict[str, dict[str, Any]] = {
    "se2": {"data": {"source": "mnist"}},
    "se2-20000": {"data": {"source": "mnist", "limit": 20_000}, "train": {"epochs": 30}},
    "so2": {"data": {"source": "mnist"}, "model": {"group": "so2"}},
    "upright": {
        "data": {"source": "mnist", "pose": "none"},
        "support": {"rotation": 15.0, "shift": 0.1},
    },
}
HALF_TURN = (0, 1, 8)
"""Digits that half a turn brings back to themselves: their rotation is not defined."""


def settings(row: str, seed: int) -> Config:
    """The default preset with a row's changes."""
    start = default()
    parts = {
        part: dataclasses.replace(getattr(start, part), **changes)
        for part, changes in ROWS[row].items()
    }
    config = dataclasses.replace(start, **parts)
    return dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))


def rotation_error(run: Path, data: Splits) -> dict[str, Any] | None:
    """Median aligned rotation error of digits other than 0, 1 and 8, degrees."""
    if data.test.elements is None or data.validation.elements is None:
        return None
    model, _, _ = load_model(run)
    held = embed(model, data.validation.images.pixels)
    found = embed(model, data.test.images.pixels)
    own = frames(held, data.validation.elements, model.group)[found.cluster]
    aligned = model.group.compose(found.element, own)
    labels = data.test.images.labels
    assert labels is not None
    chosen = ~torch.isin(labels, torch.tensor(HALF_TURN))
    error = model.group.distance(aligned, data.test.elements)["rotation_deg"][chosen]
    return {"value": error.median().item(), "unit": "deg", "n": int(chosen.sum())}


def cell(row: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train, score and report one row with one seed."""
    config = settings(row, seed)
    data = prepare_for(config)
    run = folder / f"{row}-{seed}"
    if not fit(config, data, run, resume=run_file(run, "last").exists(), console=Console()):
        raise SystemExit(130)
    model, _, state = load_model(run)
    scores = evaluate(model, config, data, "test")
    write_scores(scores, run / "metrics.json", split="test", checkpoint="best")
    write_report(run, config, data, scores)
    figures = {name: dataclasses.asdict(score) for name, score in scores.items()}
    without = rotation_error(run, data)
    if without is not None:
        figures["rotation_error_median_not_0_1_8"] = without
    return {
        "seed": seed,
        "minutes": round(read_log(run)[-1]["seconds"] / 60, 2),
        "best_epoch": state["position"]["epoch"] + 1,
        "machine": machine(),
        "settings": config.to_dict(),
        "scores": figures,
        "curves": read_log(run),
    }


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/quality"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = RESULTS / "quality.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else {}
    for row in arguments.rows:
        for seed in arguments.seeds:
            if any(one["seed"] == seed for one in rows.get(row, [])):
                continue
            started = time.perf_counter()
            rows.setdefault(row, []).append(cell(row, seed, arguments.runs))
            write_results("quality", {"rows": rows})
            scores = rows[row][-1]["scores"]
            shown = {name: round(scores[name]["value"], 4) for name in ("accuracy", "nmi", "bce")}
            print(f"{row}, seed {seed}: {shown}, {time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
