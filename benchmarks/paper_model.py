"""The paper's model on full SE(2)-MNIST, unsupervised (1 draw a step) and supervised.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/paper_model.py --minutes 25

Trains on 55,000 images, chooses the checkpoint on 5,000, scores it once on the 10,000 test
images, and writes results/paper_MODE.json with curves and all scores. A stopped run goes on
where it was.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Literal

import torch
from common import write_results
from rich.console import Console

from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.pages.report import write_report
from mcevae.runs.checkpoint import load, run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import write_scores
from mcevae.training.log import read_log
from mcevae.training.loop import fit


def settings(mode: Literal["unsupervised", "supervised"], minutes: float, seed: int) -> Config:
    """The paper preset, its training ended by time."""
    return PRESETS["paper"]().changed(
        data={"source": "mnist"},
        objective={"mode": mode},
        train={"minutes": minutes, "seed": seed},
    )


def measure(config: Config, data: Splits, run: Path, minutes: float) -> None:
    """Train or go on, score, report, and store."""
    mode = config.objective.mode
    last = run_file(run, "last")
    done = last.exists() and load(last)[1]["position"]["seconds"] >= 60 * minutes
    if not done:
        ended = fit(config, data, run, resume=last.exists(), console=Console())
        if not ended:
            raise SystemExit(130)
    opened = TrainedRun.open(run)
    scores = opened.scores(data)
    write_scores(scores, run / "metrics.json", split="test", checkpoint="best")
    opened.calibrate(data)
    write_report(opened, data, scores)
    path = write_results(
        f"paper_{mode}",
        {
            "data": "MNIST under SE(2): rotation within 90 degrees, shift within 25 % of the side; "
            f"{len(data.train)} training, {len(data.validation)} validation, "
            f"{len(data.test)} test images",
            "seeds": [config.train.seed],
            "settings": config.to_dict(),
            "minutes": round(read_log(run)[-1]["seconds"] / 60, 2),
            "best_epoch": opened.state["position"]["epoch"] + 1,
            "scores": {name: dataclasses.asdict(score) for name, score in scores.items()},
            "curves": read_log(run),
        },
    )
    print(f"{mode}: {path}")
    for name, score in scores.items():
        print(f"  {name:28s} {score.value:10.4g} {score.unit}")


def main() -> None:
    """Read the arguments and measure each mode."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=25, help="training time of each mode")
    parser.add_argument("--mode", choices=["unsupervised", "supervised", "both"], default="both")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"), help="folder of the runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    modes: list[Literal["unsupervised", "supervised"]]
    modes = [arguments.mode] if arguments.mode != "both" else ["unsupervised", "supervised"]
    data = prepare_for(settings(modes[0], arguments.minutes, arguments.seed))
    for mode in modes:
        config = settings(mode, arguments.minutes, arguments.seed)
        measure(config, data, arguments.runs / mode, arguments.minutes)


if __name__ == "__main__":
    main()
