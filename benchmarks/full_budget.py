"""Models at the paper's own budget: 60 epochs on 55,000 images, for docs/reproduction.md.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/full_budget.py --models mce-vae

A cell takes half an hour or more on one core. A stopped one goes on where it was. Each cell that is
done rewrites results/full/GROUP-MODEL-SEED.json.
"""

import argparse
from pathlib import Path

import torch
from common import RESULTS, write_results
from reproduction import trimmed
from rich.console import Console

from mcevae.reproduce.cells import run_cell
from mcevae.reproduce.grid import GROUPS, budget_of, cells_for


def main() -> None:
    """Run the chosen cells, and write a file for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="*", default=[], help="as in `mcevae reproduce`; all by default")
    add("--protocols", nargs="+", default=list(GROUPS), help="both by default")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--out", type=Path, default=Path("runs/full"), help="folder of the cells")
    add("--threads", type=int, default=torch.get_num_threads(), help="cores to use")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    cells = cells_for(
        ["table"],
        models=tuple(chosen.models),
        protocols=tuple(chosen.protocols),
        seeds=chosen.seeds,
        budget=budget_of("full"),
        source="mnist",
        out=chosen.out,
    )
    for cell in cells:
        result = run_cell(cell, Console())
        if result is None:
            raise SystemExit(130)
        name = f"{result['protocol']}-{result['model']}-{result['seed']}"
        command = (
            f"python benchmarks/full_budget.py --models {result['model']} "
            f"--protocols {result['protocol']} --seeds {result['seed']}"
        )
        write_results(name, {"cell": trimmed(result)}, command, RESULTS / "full")


if __name__ == "__main__":
    main()
