"""How soon preset paper finds poses, beside the networks of the authors' code.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/paper_poses.py --threads 1

Trains both on 55,000 images of SE(2)-MNIST for 550 and 1,100 steps of 100 images, with one draw of
M, and scores them on the 5,000 validation images; no test image is used. A run that is done is
not trained again. Writes results/paper_poses.json.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from common import write_results
from rich.console import Console

from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS
from mcevae.runs.checkpoint import run_file
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit

STEPS = 550
"""In an epoch."""
KEPT = ("rotation_error_median", "rotation_axis", "shift_error_median", "canonical_change", "bce")


def validating(data: Splits) -> Splits:
    """Splits that score validation images, with the frames of as many training images."""
    frames = data.train.subset(slice(len(data.validation)))
    return dataclasses.replace(data, validation=frames, test=data.validation)


def main() -> None:
    """Train and score each."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/paper_poses"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    base = PRESETS["paper"]().changed(data={"source": "mnist"})
    data = prepare_for(base)
    rows = []
    for networks in ("paper", "authors"):
        for epochs in (1, 2):
            for seed in arguments.seeds:
                config = base.changed(
                    model={"networks": networks}, train={"epochs": epochs, "seed": seed}
                )
                run = arguments.runs / f"{networks}-{epochs}-{seed}"
                done = run_file(run, "best").exists()
                if not done and not fit(config, data, run, console=Console()):
                    raise SystemExit(130)
                scores = TrainedRun.open(run).scores(validating(data))
                rows.append(
                    {"networks": networks, "steps": epochs * STEPS, "seed": seed}
                    | {name: round(scores[name].value, 3) for name in KEPT}
                )
                print(rows[-1], flush=True)
    write_results("paper_poses", {"images": len(data.validation), "rows": rows})


if __name__ == "__main__":
    main()
