"""The paper's experiments beside its rivals, for docs/reproduction.md.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/reproduction.py

Runs `mcevae reproduce all` into --out, where cells that are done are not run again, and rewrites
results/reproduction.json and the pictures of docs/images. Then run benchmarks/tables.py.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from common import write_results
from rich.console import Console

from mcevae.reproduce.grid import GROUPS, PAPER, budget_of, cells_for
from mcevae.reproduce.run import reproduce

IMAGES = Path(__file__).parent.parent / "docs" / "images"
CURVE = ("epoch", "seconds", "split", "reconstruction")
"""What is kept of each row of a curve."""


def trimmed(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell whose curve is of the reconstruction alone, to keep the file small."""
    curves = [
        {key: row[key] if key != "reconstruction" else round(row[key], 2) for key in CURVE}
        for row in cell["curves"]
    ]
    return {**cell, "curves": curves}


def main() -> None:
    """Make the cells, the figures and the results file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/reproduction"), help="folder of the cells")
    add("--minutes", type=float, default=10.0, help="training time of each model")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    cells = cells_for(
        list(PAPER),
        models=(),
        protocols=GROUPS,
        seeds=chosen.seeds,
        budget=budget_of(chosen.minutes),
        source="mnist",
        out=chosen.out,
    )
    made = reproduce(list(PAPER), cells, Console())
    if made is None:
        raise SystemExit(130)
    content = {
        "minutes": chosen.minutes,
        "seeds": chosen.seeds,
        "cells": [trimmed(result) for result in made.results],
    }
    write_results("reproduction", content)
    for path in made.files:
        if path.suffix == ".png":
            shutil.copy(path, IMAGES / f"reproduction-{path.name}")


if __name__ == "__main__":
    main()
