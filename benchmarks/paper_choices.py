"""What a choice that the paper leaves open does to learning: how eq. (8) draws its images.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/paper_choices.py

Trains the paper preset on full SE(2)-MNIST for a few epochs: the canonical images of x and Mx in
eq. (8) drawn with shared noise, with noise of their own, and without the invariance term. Writes
results/paper_choices.json with the validation reconstruction after every epoch. Test images are not
touched.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import write_results
from rich.console import Console

from mcevae.config import DataConfig, paper
from mcevae.data import prepare_for
from mcevae.train import fit, read_log

VARIANTS: dict[str, dict[str, Any]] = {
    "shared": {"invariance_noise": "shared"},
    "own": {"invariance_noise": "own"},
    "none": {"alpha": 0.0},
}


def main() -> None:
    """Train the variants in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = dataclasses.replace(paper(), data=DataConfig(source="mnist"))
    start = dataclasses.replace(
        start, train=dataclasses.replace(start.train, epochs=arguments.epochs)
    )
    data = prepare_for(start)
    curves: dict[str, Any] = {}
    for name, changes in VARIANTS.items():
        objective = dataclasses.replace(start.objective, **changes)
        with tempfile.TemporaryDirectory() as folder:
            fit(
                dataclasses.replace(start, objective=objective),
                data,
                Path(folder),
                console=Console(),
            )
            rows = [row for row in read_log(Path(folder)) if row["split"] == "validation"]
        curves[name] = {
            term: [round(row[term], 2) for row in rows]
            for term in ("reconstruction", "negative_elbo", "loss")
        }
    about = {
        "data": f"SE(2)-MNIST, {len(data.train)} training and {len(data.validation)} validation "
        "images, unsupervised, 1 draw a step",
        "seeds": [start.train.seed],
        "unit": "nats/image, validation, after each epoch",
    }
    print(write_results("paper_choices", {**about, "noise in eq. (8)": curves}))


if __name__ == "__main__":
    main()
