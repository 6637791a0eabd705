"""The notebooks of the tutorials run, and their answers are right.

All run in one kernel, one after another, each with fewer images and in a folder of its own. After
each, a cell compares its answer with what the script wrote down; the notebook has not read that.
"""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from notebooks import NOTEBOOKS, run

from tests.test_tutorials import IMAGES

CHECKS = {
    "cells": """
        kinds = pd.read_csv("truth-cells.csv").set_index("file")["kind"]
        clean = pd.read_csv("clean.csv")
        most = pd.crosstab(clean["cluster"], kinds[clean["file"]].to_numpy())
        assert most.max(axis=1).sum() > 0.9 * len(clean)
        assert len(clean) > 0.85 * (kinds != "junk").sum()
    """,
    "handwriting": """
        answers = pd.read_csv("read.csv", dtype=str)
        assert (truth[answers["file"]].to_numpy() == answers["group"]).mean() > 0.85
        assert len(read) > len(rest)
    """,
    "particles": """
        import starfile
        kinds = pd.read_csv("truth-particles.csv").set_index("file")["kind"]
        names = starfile.read("good.star")["particles"]["rlnImageName"]
        assert (kinds[names] == "junk").mean() < 0.05 and len(names) > 0.8 * len(kinds)
    """,
    "parts": """
        kinds = pd.read_csv("truth-parts.csv").set_index("file")["kind"]
        most = pd.crosstab(after["cluster"], kinds[after["file"]].to_numpy())
        assert most.max(axis=1).sum() > 0.85 * len(after)
        assert abs(turned - 180).max() < 1
    """,
    "pond": """
        truth = pd.read_csv("truth-tonight.csv")
        assert 0.8 < len(finds) / len(truth) < 1.1
        film = pd.read_csv("truth-film.csv")
        kinds = []
        for _, row in rows.iterrows():
            there = film[film["frame"] == row["time"]]
            apart = (there["x"] - row["x"]) ** 2 + (there["y"] - row["y"]) ** 2
            kinds.append(there.loc[apart.idxmin(), "kind"])
        most = pd.crosstab(rows["group"], pd.Series(kinds, rows.index))
        assert most.max(axis=1).sum() > 0.75 * len(rows) and len(moves) >= 10
    """,
    "wafers": """
        kinds = pd.read_csv("truth-tonight.csv")["kind"]
        shown = kinds[(model.table("tonight.npz")["cluster"] == often).to_numpy()]
        assert shown.mode()[0] == "edge" and shares.loc[often].diff().iloc[-1] > 0.15
    """,
}


def cells_of(path: Path, folder: Path) -> list[nbformat.NotebookNode]:
    """The cells of a notebook, with fewer images, between a way into its folder and a check."""
    cells, fewer = nbformat.read(path, as_version=4).cells, rf"\1 --images {IMAGES[path.stem]}"
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    code = [re.sub(r"^(%run .*)$", fewer, source, flags=re.M) for source in code]
    check = "import pandas as pd\n" + re.sub(r"^ {8}", "", CHECKS[path.stem], flags=re.M)
    start, own = str(folder.parent / "start"), str(folder)
    home = f"import os, shutil\nshutil.copytree({start!r}, {own!r})\nos.chdir({own!r})"
    return [new_code_cell(source) for source in (home, *code, check)]


def test_notebooks_answer_right(tmp_path: Path) -> None:
    assert sorted(CHECKS) == [path.stem for path in NOTEBOOKS]
    cells = []
    for path in NOTEBOOKS:
        cells += cells_of(path, tmp_path / path.stem)
    run(new_notebook(cells=cells), tmp_path / "start")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_as_they_ran(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    told = "".join(str(cell.outputs) for cell in code)
    assert "Warning" not in told and "Traceback" not in told and "trust 0." in told
    assert path.stat().st_size < 1_000_000
