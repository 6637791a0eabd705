"""The default preset's figures on posed MNIST: clusters, poses, reconstruction, invariance.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/quality.py --rows se2 --seeds 0 1 2

Each cell, a row and a seed, trains on 55,000 images (or as many as its name says), chooses its
checkpoint on 5,000 and is scored once on the 10,000 test images. Labels are read by scores alone.
Cells that are done are not run again, a stopped one goes on where it was. Rewrites
results/quality.json after every cell.
"""

from pathlib import Path
from typing import Any

from cells import arguments, run_cells, score, train

from mcevae.models.config import Config, default
from mcevae.training.schedule import BATCH, EPOCHS

MNIST = {"source": "mnist"}
ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "se2": {"data": MNIST},
    "se2-bf16": {"data": MNIST, "train": {"precision": "bf16"}},
    "so2": {"data": MNIST, "model": {"group": "so2"}},
    "upright": {
        "data": MNIST | {"pose": "none"},
        "support": {"rotation": 15.0, "shift": 0.1},
    },
    "se2-20000": {"data": MNIST | {"limit": 20_000}},
    "se2-5-minutes": {"data": MNIST | {"limit": 20_000}, "train": {"minutes": 5.0}},
    "se2-auto": {
        "data": MNIST | {"limit": 20_000},
        "model": {"clusters": "auto"},
    },
    "sim2": {"data": MNIST, "model": {"group": "sim2"}},
    "fashion-se2": {"data": {"source": "fashion-mnist"}},
}


def settings(row: str, seed: int) -> Config:
    """The default preset with a row's changes."""
    many = {"epochs": EPOCHS, "batch_size": BATCH}  # by which cells are compared
    return default().changed(train=many).changed(**ROWS[row]).changed(train={"seed": seed})


def cell(row: str, seed: int, run: Path) -> dict[str, Any]:
    """Train and score one row with one seed."""
    config = settings(row, seed)
    return score(run, config, train(config, run), "test")


if __name__ == "__main__":
    run_cells("quality", arguments(__doc__, list(ROWS), "quality"), settings, cell)
