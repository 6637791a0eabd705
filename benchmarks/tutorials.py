"""Run the commands of the tutorials, score their answers, and draw the pictures of the docs.

    python benchmarks/tutorials.py --folder FOLDER

Reads the commands from docs/tutorials/*.md, so that a page shows what was run. Each page runs in a
new folder of its own. Writes results/tutorials.json and docs/images/tutorial-*.png.
"""

import argparse
import json
import re
import runpy
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, write_results
from pyarrow import parquet
from scipy.optimize import linear_sum_assignment
from tutorial_pictures import draw, draw_film, table

from mcevae import open_run
from mcevae.cli import main as mcevae

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FENCES = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = "python benchmarks/tutorials.py --folder FOLDER"
JUNK = "junk"
NOTHING = "nothing"
NEAR = 6.0
"""A place in a frame is that of a thing within so many pixels."""
Truth = dict[str, str]


def commands(page: Path) -> list[list[str]]:
    """The words of each command of a page, in order; of Python blocks: python, -c, the block."""
    found = []
    for kind, block in FENCES.findall(page.read_text()):
        if kind == "python":
            found.append(["python", "-c", block])
        elif not kind:
            lines = block.replace("\\\n", " ").splitlines()
            found += [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words and words[:2] != ["mcevae", "serve"]]


@dataclass(frozen=True)
class Followed:
    """A tutorial that was followed.

    Attributes:
        source: images of its first run.
        run: folder of that run.
        rows: what that run says of each of its images, from `mcevae predict`.
        truth: what each of them shows, as the script that drew it wrote, by the name of its file.
        found: of frames with many things: the share of the things that were found.
    """

    source: Path
    run: Path
    rows: list[dict[str, str]]
    truth: Truth
    found: float | None = None


def truth_of(source: Path) -> Truth:
    """What each file of a source shows, as the script that drew it wrote beside the source."""
    rows = table(source.with_name(f"truth-{source.stem}.csv"))
    return {row["file"]: row.get("kind", row.get("label", "")) for row in rows}


def in_frames(
    rows: list[dict[str, Any]], things: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], Truth, float]:
    """What places in frames show, one-to-one in each frame; false places show `NOTHING`.

    Args:
        rows: places; columns file, frame, x, y.
        things: what is there, as the script wrote; the same columns, and kind.

    Returns:
        The places, each with a name of its own; what each shows; and the share of the things that
        were found.
    """

    def where(one: dict[str, Any]) -> tuple[str, int]:
        return one["file"], int(one["frame"])

    truth, named, found = Truth(), [], 0
    for key in sorted({where(one) for one in [*rows, *things]}):
        own, there = ([one for one in some if where(one) == key] for some in (rows, things))
        at, true = (
            np.array([(float(one["x"]), float(one["y"])) for one in some]).reshape(-1, 2)
            for some in (own, there)
        )
        apart = np.linalg.norm(at[:, None] - true, axis=2)
        pairs = dict(zip(*linear_sum_assignment(np.minimum(apart, 2 * NEAR)), strict=True))
        for i, row in enumerate(own):
            name = f"{key[0]} {key[1]} {i}"
            right = i in pairs and apart[i, pairs[i]] < NEAR
            found += right
            truth[name] = there[pairs[i]]["kind"] if right else NOTHING
            named.append({**row, "file": name})
    return named, truth, found / len(things)


def told(row: dict[str, Any], truth: Truth) -> str:
    """What the image of a row of a table shows."""
    return truth[row["file"]] if row["file"] in truth else truth[Path(row["file"]).name]


def kinds_of(rows: Iterable[dict[str, Any]], truth: Truth) -> dict[str, str]:
    """The kind that most images of each group show, by the group's name or its number."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.get("group", row["cluster"]), Counter())[told(row, truth)] += 1
    return {group: count.most_common(1)[0][0] for group, count in sorted(counts.items())}


def accuracy(rows: list[dict[str, Any]], truth: Truth) -> float:
    """Share of images that show what most images of their group show."""
    kinds = kinds_of(rows, truth)
    right = [kinds[row.get("group", row["cluster"])] == told(row, truth) for row in rows]
    return sum(right) / len(right)


def looked_up(words: list[str], kinds: dict[str, str]) -> list[str]:
    """A command with the numbers of this run's groups, which a reader would look up on its page.

    Args:
        words: of the command. Where it names a group or says which groups are junk, its numbers
            are those of the page.
        kinds: what the groups of this run show.
    """
    if words[0] != "mcevae":
        return words
    of: dict[str, list[str]] = {}
    for group, kind in kinds.items():
        of.setdefault(kind, []).append(group)

    def first(kind: str) -> tuple[str, ...]:
        return (of[kind][0], kind) if kind in of else ()

    made = list(words)
    for flag in ("--rename", "--junk", "--without"):
        if flag in made:
            at = made.index(flag) + 1
            end = next((i for i in range(at, len(made)) if made[i].startswith("--")), len(made))
            named = [part for kind in made[at + 1 : end : 2] for part in first(kind)]
            found = named if flag == "--rename" else of.get(JUNK, [])
            made[at - 1 : end] = [flag, *found] if found else []
    return made


def do(words: list[str], images: int | None) -> None:
    """Run one command in this process: importing torch for each would take longer than the rest.

    Args:
        words: of the command.
        images: how many the scripts draw; None: as many as the page says.
    """
    if words[0] == "mcevae":
        mcevae(words[1:])
    elif words[1] == "-c":
        exec(compile(words[2], "tutorial", "exec"), {"__name__": "tutorial"})
    else:
        shutil.copy(ROOT / "docs" / "tutorials" / words[1], ".")
        before = sys.argv
        sys.argv = [*words[1:], *(["--images", str(images)] if images else [])]
        try:
            runpy.run_path(words[1], run_name="__main__")
        finally:
            sys.argv = before


def said(source: Path, run: Path) -> Followed:
    """What the first run of a tutorial says of its images, or of the things in its frames."""
    if (run / "places.parquet").exists():
        rows = parquet.read_table(run / "places.parquet").to_pylist()
        things = table(source.with_name(f"truth-{source.stem}.csv"))
        return Followed(source, run, *in_frames(rows, things))
    mcevae(["predict", str(run), source.name, "--out", "first.csv"])
    return Followed(source, run, table(Path("first.csv")), truth_of(source))


def follow(page: Path, folder: Path, images: int | None = None) -> Followed:
    """Do what a page says, in a new folder.

    Args:
        page: a tutorial.
        folder: where; it must be empty or not be there.
        images: how many the scripts draw; None: as many as the page says.

    Returns:
        Its first run, and what it says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, kinds = None, dict[str, str]()
    with chdir(folder):
        for words in commands(page):
            do(looked_up(words, kinds), images)
            if words[:2] == ["mcevae", "fit"] and first is None:
                first = said(folder / words[2], folder / words[words.index("--out") + 1])
                kinds = kinds_of(first.rows, first.truth)
    assert first is not None, f"{page} trains nothing"
    return first


def figures(first: Followed) -> dict[str, Any]:
    """Trust in the first run of a tutorial, and its accuracy by what the script knows."""
    trust = open_run(first.run).trust
    assert trust is not None
    return {
        "images": len(first.rows),
        "groups": kinds_of(first.rows, first.truth),
        "trust": round(trust.run, 2),
        "accuracy": round(accuracy(first.rows, first.truth), 3),
        **({} if first.found is None else {"found": round(float(first.found), 3)}),
    }


def main() -> None:
    """Follow all pages, draw their pictures, and store their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the pages are followed")
    parser.add_argument("--pages", nargs="+", default=[page.stem for page in PAGES])
    given = parser.parse_args()
    kept = RESULTS / "tutorials.json"
    results = json.loads(kept.read_text())["pages"] if kept.exists() else {}
    for page in PAGES:
        folder = given.folder.resolve() / page.stem
        if page.stem in given.pages:
            first = follow(page, folder)
            results[page.stem] = figures(first)
            with chdir(folder):
                if first.found is None:
                    draw(page.stem, first.source, first.run, ROOT / "docs" / "images")
                else:
                    draw_film(page.stem, Path("film.tif"), Path("tracks.csv"), ROOT / "docs/images")
            print(page.stem, results[page.stem])
            write_results("tutorials", {"pages": results}, COMMAND)


if __name__ == "__main__":
    main()
