"""Run the cells that experiments need, then draw and tabulate them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from rich.console import Console

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, write_text
from mcevae.images.datasets import load
from mcevae.reproduce.cells import run_cell
from mcevae.reproduce.grid import NEEDS, Cell, Experiment
from mcevae.reproduce.plots import FIGURES
from mcevae.reproduce.tables import comma_separated, markdown


@dataclass(frozen=True, kw_only=True)
class Made:
    """What `reproduce` made: the results of all cells, and the files it wrote."""

    results: list[dict[str, Any]]
    files: list[Path]


def reproduce(
    experiments: Sequence[Experiment], cells: Sequence[Cell], console: Console
) -> Made | None:
    """Make the cells that are not there, and what the experiments show of them.

    Args:
        experiments: keys of `NEEDS`.
        cells: as `cells_for` gives them.
        console: where progress is shown.

    Returns:
        Results and files; None if a cell was stopped.

    Raises:
        UserError: some images have no labels, or as `run_cell`.
    """
    source = load(cells[0].source)
    if any(part is not None and part.labels is None for part in (source.train, source.test)):
        raise UserError(f"{cells[0].source}: has no labels, by which models are compared.")
    done: list[tuple[Cell, dict[str, Any]]] = []
    for i, cell in enumerate(cells):
        console.print(f"cell {i + 1} of {len(cells)}", highlight=False)
        result = run_cell(cell, console)
        if result is None:
            return None
        done.append((cell, result))
    folder = cells[0].out / cells[0].budget.name
    written = []
    with console.status("drawing"):
        for name in experiments:
            own = [(c, r) for c, r in done if (c.model, c.group) in NEEDS[name]]
            if name == "table":
                written += write_tables(folder, [r for _, r in own])
                continue
            first = [(c, r) for c, r in own if c.seed == cells[0].seed and "failed" not in r]
            if first:
                written += write_figure(folder, name, first)
    return Made(results=[result for _, result in done], files=written)


def write_figure(folder: Path, name: str, results: Sequence[tuple[Cell, Any]]) -> list[Path]:
    """Draw a figure to PNG and SVG."""
    figure, written = FIGURES[name](results), []
    for ending in ("png", "svg"):
        buffer = BytesIO()
        figure.savefig(buffer, format=ending, dpi=110)
        path = folder / f"{name}.{ending}"
        with atomic(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
        written.append(path)
    return written


def write_tables(folder: Path, results: Sequence[dict[str, Any]]) -> list[Path]:
    """Write the table as Markdown and CSV, and the cells with their curves as JSON."""
    texts = {
        "table.md": markdown(results),
        "table.csv": comma_separated(results),
        "table.json": json.dumps({"cells": results}, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
