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
from scoring import extra_scores

from mcevae.base.machine import machine
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.runs.checkpoint import load_model, run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.metrics import evaluate
from mcevae.training.log import read_log
from mcevae.training.loop import fit


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
    figures |= extra_scores(model, own, data, split)
    return {
        "seed": own.train.seed,
        "minutes": round(read_log(run)[-1]["seconds"] / 60, 2),
        "best_epoch": state["position"]["epoch"] + 1,
        "machine": machine(),
        "settings": own.to_dict(),
        "scores": figures,
        "curves": read_log(run),
    }


def parser_of(about: str | None, rows: list[str], folder: str) -> argparse.ArgumentParser:
    """Reads which cells to run, where and on how many cores."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--rows", nargs="+", choices=rows, default=rows, help="which; all by default")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="0 1 2 by default")
    add("--runs", type=Path, default=Path("runs") / folder, help="folder of the trained runs")
    add("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    return parser


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
