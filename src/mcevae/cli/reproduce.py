"""`mcevae reproduce`: the paper's experiments."""

import sys
from pathlib import Path
from typing import Literal

import tyro

from mcevae.cli.shared import screen


def reproduce(
    what: tyro.conf.Positional[
        Literal["figure3", "figure4a", "figure4b", "figure5", "table", "all"]
    ],
    /,
    *,
    out: Path,
    budget: float | Literal["full"] = 5.0,
    models: tuple[str, ...] = (),
    groups: tuple[Literal["so2", "se2"], ...] = ("so2", "se2"),
    seeds: tuple[int, ...] = (0,),
    source: str = "mnist",
) -> None:
    """Remake the paper's experiments beside its rivals, on the same data, budgets and scores.

    Example: mcevae reproduce all --source mnist-mini --out runs/reproduction

    A cell is a model, a group and a seed. Those that are done are not run again, a stopped one
    goes on where it was; delete a cell's folder to have it made anew. Figures (PNG, SVG) and
    tables (Markdown, CSV, JSON) are written to OUT/BUDGET.

    Args:
        what: A figure of the paper, the table of all models, or all of them.
        out: Folder of the cells, figures and tables; may exist.
        budget: Minutes of training for each model, on at most 10,000 images, scored on 2,000 test
            images; the whole of `all` has 30 trainings. full: all images pooled and split 6:1, as
            in the paper, and as many epochs as a preset says (60, as in the paper, but for preset
            default).
        models: Only these; unset: all that WHAT needs.
        groups: Only images moved by these groups.
        seeds: Seeds of the trainings.
        source: Labelled built-in set or .npz file.
    """
    from mcevae.reproduce.grid import NEEDS, Experiment, budget_of, cells_for
    from mcevae.reproduce.run import reproduce

    experiments: list[Experiment] = list(NEEDS) if what == "all" else [what]
    cells = cells_for(
        experiments,
        models=models,
        groups=groups,
        seeds=seeds,
        budget=budget_of(budget),
        source=source,
        out=out,
    )
    made = reproduce(experiments, cells, screen)
    if made is None:
        screen.print("Stopped and saved. Give the same command to go on.")
        sys.exit(130)
    for path in made.files:
        screen.print(f"{path}", highlight=False)
