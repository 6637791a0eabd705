"""The tutorials do what they say: their own commands run on fewer images, with real answers."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import starfile
from tutorials import NOTHING, PAGES, Followed, accuracy, follow, in_frames, table, told, truth_of

from mcevae import open_run

ROOT = Path(__file__).parents[1]
IMAGES = {"cells": 150, "handwriting": 250, "particles": 80, "parts": 80, "pond": 16, "wafers": 80}
"""Images that are drawn; as few as still have all kinds. Of pond: frames."""


def page(name: str) -> Path:
    return next(path for path in PAGES if path.stem == name)


def followed(name: str, folder: Path) -> Followed:
    """A tutorial that was followed; its first run sorts well."""
    first = follow(page(name), folder, IMAGES[name])
    assert (first.run / "report.html").exists()
    assert len(first.rows) == IMAGES[name]
    assert accuracy(first.rows, first.truth) > 0.85
    return first


def test_each_tutorial_is_tested() -> None:
    assert sorted(IMAGES) == [path.stem for path in PAGES]


def test_cells_end_in_folders_without_junk(tmp_path: Path) -> None:
    first = followed("cells", tmp_path)
    truth, rows = first.truth, sorted((tmp_path / "sorted").glob("*/*.png"))
    right = [truth[path.name] == path.parent.name for path in rows]
    cells = sum(kind != "junk" for kind in truth.values())
    assert np.mean(right) > 0.8 and sum(right) > 0.8 * cells  # few images: some seeds mix two kinds


def test_particles_end_in_a_star_file_of_the_good_ones(tmp_path: Path) -> None:
    first = followed("particles", tmp_path)
    good = starfile.read(tmp_path / "good.star")["particles"]
    shown = [first.truth[name] for name in good["rlnImageName"]]
    assert np.mean([kind != "junk" for kind in shown]) > 0.95
    assert {"rlnClassNumber", "rlnAnglePsi"} <= set(good)
    assert len(table(tmp_path / "averages" / "averages.csv")) == 5


def test_wafers_of_tonight_show_which_pattern_became_frequent(tmp_path: Path) -> None:
    followed("wafers", tmp_path)
    before, tonight = (table(tmp_path / f"{name}.csv") for name in ("before", "tonight"))
    truth = truth_of(tmp_path / "tonight.npz")
    assert np.mean([row["group"] == told(row, truth) for row in tonight]) > 0.9
    share = [np.mean([row["group"] == "edge" for row in rows]) for rows in (before, tonight)]
    assert share[1] > share[0] + 0.15


def test_handwriting_is_parted_into_clear_digits_and_others(tmp_path: Path) -> None:
    first = followed("handwriting", tmp_path)
    clear, rest = table(tmp_path / "read.csv"), list((tmp_path / "by-hand").glob("*/*.png"))
    assert len(clear) + len(rest) == IMAGES["handwriting"]
    right = [row["group"] == told(row, first.truth) for row in clear]
    assert np.mean(right) > 0.85 and len(clear) > len(rest)


def test_parts_lie_as_the_table_says(tmp_path: Path) -> None:
    followed("parts", tmp_path)
    degrees = {row["file"]: float(row["degrees"]) for row in table(tmp_path / "truth-parts.csv")}
    rows = [row for row in table(tmp_path / "poses.csv") if row["group"] == "spanner"]
    off = np.radians([float(row["rotation_deg"]) - degrees[row["file"]] for row in rows])
    assert abs(np.exp(1j * off).mean()) > 0.95  # one way up for all
    trust = [open_run(tmp_path / "runs" / name).trust for name in ("parts", "dark")]
    assert trust[0] is not None and trust[1] is not None
    assert trust[1].run < trust[0].run


def test_pond_ends_in_how_each_kind_moves(tmp_path: Path) -> None:
    first = follow(page("pond"), tmp_path, IMAGES["pond"])
    assert first.found is not None and first.found > 0.85
    assert accuracy(first.rows, first.truth) > 0.75
    moves = table(tmp_path / "moves.csv")
    counts = {(row["group"], row["how"]): int(row["tracks"]) for row in moves}
    drifting = sum(n for (_, how), n in counts.items() if how == "drifts")
    assert counts["shell", "drifts"] > 0.7 * drifting
    names = {row["group"] for row in table(tmp_path / "tonight.csv")}
    assert {"shell", "slipper"} & names and (tmp_path / "trackmate.csv").stat().st_size > 1000
    tracks = {row["track"] for row in table(tmp_path / "tracks.csv")}
    assert len(tracks) >= 10 and (tmp_path / "napari.csv").exists()


def test_places_are_those_of_the_nearest_things_one_to_one() -> None:
    things = [
        dict(file="a", frame="0", x="10", y="10", kind="egg"),
        dict(file="b", frame="0", x="10", y="10", kind="leaf"),
    ]
    rows = [
        dict(file="a", frame=0, x=x, y=10.0, group=g)
        for x, g in ((11.0, "0"), (12.0, "0"), (90.0, "1"))
    ]
    named, truth, found = in_frames(rows, things)
    assert [truth[row["file"]] for row in named] == ["egg", NOTHING, NOTHING]
    assert found == 0.5


def test_the_figures_of_the_gallery_are_the_measured_ones() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "tutorials.json").read_text())["pages"]
    gallery = (ROOT / "docs" / "gallery.md").read_text()
    assert sorted(found) == [path.stem for path in PAGES]
    for name, row in found.items():
        said = f"trust {row['trust']:.2f}, accuracy {row['accuracy']:.3f}"
        part = re.search(rf"^## \[[^\n]*tutorials/{name}\.md.*?(?=^## )", gallery, re.M | re.S)
        assert part and said in part[0], name


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "images").glob("tutorial-*.png")))
def test_pictures_are_small(path: Path) -> None:
    assert os.path.getsize(path) < 200_000


def test_the_figures_of_the_sitting_are_the_measured_ones() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "sitting.json").read_text())
    explorer = (ROOT / "docs" / "explorer.md").read_text()
    names = {"clicks": "clicks", "person_seconds": "seconds of a person, reckoned"}
    ours, steps, theirs = (found["explorer"], found["explorer"]["steps"], found["embedding_atlas"])
    for name, said in names.items():
        same = steps["unsure"][name] + ours[name] - steps["lists"][name]
        assert f"| {said} | {same:,} | {ours[name]:,} | {theirs[name]:,} |" in explorer
    junk = (steps["unsure"]["junk_left"], ours["junk_left"], theirs["junk_left"])
    assert f"| junk left of 300 | {' | '.join(map(str, junk))} |" in explorer
