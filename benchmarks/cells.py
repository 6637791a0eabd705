"""Grids of trainings: one cell is a row of settings and a seed. Used by quality and ablation."""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, write_results
from rich.console import Console

from mcevae.base.machine import machine
from mcevae.images.splits import Posed, Splits
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.checkpoint import load_model, run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.runs.metrics import evaluate
from mcevae.runs.pose_scores import frames
from mcevae.training.log import read_log
from mcevae.training.loop import fit

HALF_TURN = (0, 1, 8)
"""Digits that half a turn brings back to themselves: their rotation is not defined."""


def train(config: Config, run: Path, posed_by: Config | None = None) -> Splits:
    """Train a run, from where it was if it was stopped; gives its data, posed by other settings."""
    data = prepare_for(posed_by or config)
    if not fit(config, data, run, resume=run_file(run, "last").exists(), console=Console()):
        raise SystemExit(130)
    return data


def score(run: Path, config: Config, data: Splits, split: str) -> dict[str, Any]:
    """Scores of a trained run on a split, how long it took, and its learning curve.

    Args:
        run: folder of the run.
        config: settings that the images are posed by.
        data: its data.
        split: test or validation.
    """
    model, own, state = load_model(run)
    scores = evaluate(model, config, data, split)
    figures = {name: dataclasses.asdict(value) for name, value in scores.items()}
    held = data.validation if split == "test" else data.train.subset(slice(len(data.validation)))
    figures |= turned(model, own, getattr(data, split), held)
    return {
        "seed": own.train.seed,
        "minutes": round(read_log(run)[-1]["seconds"] / 60, 2),
        "best_epoch": state["position"]["epoch"] + 1,
        "machine": machine(),
        "settings": own.to_dict(),
        "scores": figures,
        "curves": read_log(run),
    }


def turned(model: Model, config: Config, scored: Posed, held: Posed) -> dict[str, Any]:
    """Rotation error of digits other than `HALF_TURN`, degrees, and how many are upside down."""
    labels = scored.images.labels
    if scored.elements is None or held.elements is None or labels is None:
        return {}
    if not config.data.source.startswith("mnist"):
        return {}
    found = embed(model, scored.images.pixels)
    own = frames(embed(model, held.images.pixels), held.elements, model.group)[found.cluster]
    aligned = model.group.compose(found.element, own)
    chosen = ~torch.isin(labels, torch.tensor(HALF_TURN))
    error = model.group.distance(aligned, scored.elements)["rotation_deg"][chosen]
    n = int(chosen.sum())
    flipped = (error > 90).float().mean().item()
    return {
        "rotation_error_median_not_0_1_8": {"value": error.median().item(), "unit": "deg", "n": n},
        "upside_down_not_0_1_8": {"value": flipped, "unit": "share", "n": n},
    }


def arguments(about: str | None, rows: list[str], folder: str) -> argparse.Namespace:
    """Which cells to run, where and on how many cores."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--rows", nargs="+", choices=rows, default=rows, help="which; all by default")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="0 1 2 by default")
    add("--runs", type=Path, default=Path("runs") / folder, help="folder of the trained runs")
    add("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    return parser.parse_args()


def run_cells(
    name: str,
    chosen: argparse.Namespace,
    settings: Callable[[str, int], Config],
    cell: Callable[[str, int, Path], dict[str, Any]],
) -> None:
    """Run the chosen cells that results/NAME.json lacks, and add each to it when it is done.

    A cell that was made with other settings is made anew. The file is read anew each time, so that
    two processes can each take some of the rows.
    """
    torch.set_num_threads(chosen.threads)
    for row in chosen.rows:
        for seed in chosen.seeds:
            config, known = settings(row, seed), stored(name).get(row, [])
            if any(Config.from_dict(one["settings"]) == config for one in known):
                continue
            started = time.perf_counter()
            result = cell(row, seed, chosen.runs / f"{row}-{seed}")
            rows = stored(name)
            others = [one for one in rows.get(row, []) if one["seed"] != seed]
            rows[row] = sorted([*others, result], key=lambda one: one["seed"])
            write_results(name, {"rows": rows}, command=f"python benchmarks/{name}.py")
            shown = {
                key: round(result["scores"][key]["value"], 4) for key in ("accuracy", "nmi", "bce")
            }
            print(f"{row}, seed {seed}: {shown}, {time.perf_counter() - started:.0f} s in all")


def stored(name: str) -> dict[str, list[dict[str, Any]]]:
    """Rows of results/NAME.json so far."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8"))["rows"] if path.exists() else {}
