"""The field's models on the field's protocols, for docs/comparison.md.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/comparison.py --protocols se2 --minutes 10

Runs the cells of `mcevae reproduce comparison` into --out, where cells that are done are not run
again. Each cell that is done is put into results/comparison.json, so that a run can be stopped and
two processes can each take some. Then run benchmarks/tables.py.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, write_results
from rich.console import Console

from mcevae.reproduce.cells import run_cell
from mcevae.reproduce.grid import budget_of, cells_for

KEY = ("protocol", "model", "seed", "budget")
"""What tells one cell from another."""


def add(result: dict[str, Any]) -> None:
    """Put a cell, without its learning curve, into results/comparison.json."""
    path = RESULTS / "comparison.json"
    known = json.loads(path.read_text("utf-8"))["cells"] if path.exists() else []
    kept = {key: value for key, value in result.items() if key != "curves"}
    others = [cell for cell in known if any(cell[key] != kept[key] for key in KEY)]
    write_results("comparison", {"cells": [*others, kept]}, "python benchmarks/comparison.py")


def main() -> None:
    """Run the chosen cells, and add each to the results when it is done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    option = parser.add_argument
    option("--models", nargs="*", default=[], help="as in `mcevae reproduce`; all by default")
    option("--protocols", nargs="*", default=[], help="all by default")
    option("--seeds", nargs="+", type=int, default=[0])
    option("--minutes", type=float, default=10.0, help="training time of each model")
    option("--out", type=Path, default=Path("runs/comparison"), help="folder of the cells")
    option("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    cells = cells_for(
        ["comparison"],
        models=tuple(chosen.models),
        protocols=tuple(chosen.protocols),
        seeds=chosen.seeds,
        budget=budget_of(chosen.minutes),
        source="mnist",
        out=chosen.out,
    )
    for cell in cells:
        result = run_cell(cell, Console())
        if result is None:
            raise SystemExit(130)
        add(result)


if __name__ == "__main__":
    main()
