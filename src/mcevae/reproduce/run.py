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
from mcevae.images.loading import load
from mcevae.reproduce.cells import run_cell
from mcevae.reproduce.grid import NEEDS, Cell, Experiment
from mcevae.reproduce.plots import FIGURES
from mcevae.reproduce.tables import COLUMNS, COMPARED, comma_separated, markdown

TABLES: dict[str, dict[str, str]] = {"table": COLUMNS, "comparison": COMPARED}
"""Experiments that are tables, and their columns."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What `reproduce` made: the results of all cells, and the files that it wrote."""

    results: list[dict[str, Any]]
    files: list[Path]


def reproduce(
    experiments: Sequence[Experiment], cells: Sequence[Cell], console: Console
) -> Made | None:
    """Run the cells that are not done, then draw and tabulate the experiments.

    Args:
        experiments: keys of `NEEDS`.
        cells: all cells that they need, from `cells_for`.
        console: shows progress.

    Returns:
        Results and files; None if a cell was stopped.

    Raises:
        UserError: some images have no labels, or for the reasons of `run_cell`.
    """
    for name in dict.fromkeys(cell.config().data.source for cell in cells):
        source = load(name)
        if any(part is not None and part.labels is None for part in (source.train, source.test)):
            raise UserError(
                f"{name}: has no labels, but models are compared by labels; give a source "
                "that has some."
            )
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
            own = [(c, r) for c, r in done if (c.model, c.protocol) in NEEDS[name]]
            if name in TABLES:
                written += write_tables(folder, name, [r for _, r in own])
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


def write_tables(folder: Path, name: str, results: Sequence[dict[str, Any]]) -> list[Path]:
    """Write a table as Markdown and CSV, and all cells with their curves as JSON."""
    texts = {
        f"{name}.md": markdown(results, TABLES[name]),
        f"{name}.csv": comma_separated(results, TABLES[name]),
        f"{name}.json": json.dumps({"cells": results}, indent=1) + "\n",
    }
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in texts]
