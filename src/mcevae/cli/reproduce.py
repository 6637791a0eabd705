"""`mcevae reproduce`: repeat the paper's experiments."""

import sys
from pathlib import Path
from typing import Literal

import tyro

from mcevae.cli.shared import screen


def reproduce(
    what: tyro.conf.Positional[
        Literal["figure3", "figure4a", "figure4b", "figure5", "table", "all", "comparison"]
    ],
    /,
    *,
    out: Path,
    budget: float | Literal["full"] = 5.0,
    models: tuple[str, ...] = (),
    protocols: tuple[
        Literal["so2", "se2", "upright", "fashion-upright", "mnist-u", "mnist-n", "affnist-like"],
        ...,
    ] = (),
    seeds: tuple[int, ...] = (0,),
    source: str = "mnist",
) -> None:
    """Repeat the paper's experiments, and compare with peers on the same data, budget and scores.

    Example: mcevae reproduce all --source mnist-mini --out runs/reproduction

    A cell is one training: one model, one protocol (how the images are posed) and one seed. A
    finished cell is not run again. A stopped cell continues where it stopped. To run a cell again,
    delete its folder. Figures (PNG, SVG) and tables (Markdown, CSV, JSON) are written to
    OUT/BUDGET.

    Args:
        what: A figure of the paper, the table of all models with the paper's two protocols, or all
            of these. comparison: 14 models with 7 protocols.
        out: Folder for cells, figures and tables. It may exist.
        budget: Minutes of training for each model. Each trains on at most 10,000 images and is
            scored on 2,000 test images; `all` has 60 cells. full: trains as in the paper, on
            all images, pooled and split 6:1, for the epochs of the preset (60 as in the paper,
            except for preset default).
        models: Run only these models. Default: all that WHAT needs.
        protocols: Use only these: so2 and se2 as in the paper; upright digits and clothes; digits
            on larger canvases after MNIST(U) and MNIST(N) of TARGET-VAE, and after affNIST.
            Default: all that WHAT needs.
        seeds: Seeds of the trainings.
        source: Built-in set with labels, or .npz file with labels.
    """
    from mcevae.reproduce.grid import PAPER, Experiment, budget_of, cells_for
    from mcevae.reproduce.run import reproduce

    experiments: list[Experiment] = list(PAPER) if what == "all" else [what]
    cells = cells_for(
        experiments,
        models=models,
        protocols=protocols,
        seeds=seeds,
        budget=budget_of(budget),
        source=source,
        out=out,
    )
    made = reproduce(experiments, cells, screen)
    if made is None:
        screen.print("Stopped and saved. Give the same command again to continue.")
        sys.exit(130)
    for path in made.files:
        screen.print(f"{path}", highlight=False)
