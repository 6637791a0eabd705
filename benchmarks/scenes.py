"""Find things in large frames: digits that touch or not, and particles in a noisy micrograph.

    python benchmarks/scenes.py --folder FOLDER --data FOLDER

Scenes have MNIST test digits, 20 in 256 x 256 pixels within 90 degrees, noise 0.1; either without
overlap of their boxes, or each second one with a box that overlaps another by 10 to 30 %. And
micrographs: 80 particles in 1024 x 1024 pixels in any direction, signal to noise 0.1, on an uneven
background. And 60 symbols in 512 x 512, in any direction, mirrored by chance, magnified by 1 / 1.3
to 1.3; their run has the group sim2 with mirror images. The runs that find them are trained on
single things with `FITS`, unless FOLDER has them. Three seeds. `speed` has seconds of a micrograph
on two threads. The place of a thing is the centroid of what it shows; a find is right within 3
pixels. The group is right if it is that of most things of this kind (best one-to-one match of
clusters and kinds over all seeds). Poses are compared after each cluster's frame is aligned.

Beside it, on the same scenes: scikit-image's `match_template` with the largest template of each
cluster at all rotations, non-maximum suppression, and the threshold that gives it the best F1 on
all of them (pip install scikit-image). Processor seconds are those of one thread, since other
programs on the machine do not count there. Writes results/scenes.json and docs/images/finding.png;
--speed measures `speed` alone, --kinds some scenes alone. `scenes_learned.py` adds what is learned
from such frames without boxes, `scenes_huge.py` a frame of 30,000 x 30,000.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, in_folder, write_results
from matplotlib.figure import Figure
from scenes_made import PARTICLES, RATIO, TRAINED, grey, scenes_of, symbols
from scenes_matched import rival
from scenes_scored import Tally
from sets_drawn import CHIRAL, noise

from mcevae import Run, open_run
from mcevae.finding.explaining import STEP
from mcevae.finding.finder import Finder
from mcevae.finding.frames import frames_in_memory
from mcevae.finding.settings import FindConfig
from mcevae.images.readers.reading import Reading

FITS = {
    "digits": "mnist --limit 10000 --rotation 90 --shift 0.1 --epochs 40",
    "particles": "particles.npy --rotation 180 --shift 0.1 --clusters 12 --epochs 40",
    "symbols": "symbols.npy --group sim2 --mirror --rotation 180 --shift 0.1 --scale 1.4 "
    "--clusters 10 --epochs 40",
}
"""Source and flags of `mcevae fit` for each run."""
KINDS = {
    "digits": "digits",
    "overlap": "digits",
    "micrograph": "particles",
    "symbols": "symbols",
}
"""The run that finds the things of each kind of scene."""
SEEDS = (0, 1, 2)
EACH = 240
"""Symbols of each kind that their run is trained on."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "finding.png"


def searched(finder: Finder, kind: str, seed: int, tally: Tally) -> tuple[float, float]:
    """Find the things of a seed's scenes; processor seconds and wall seconds of a megapixel."""
    processor = wall = pixels = 0.0
    for one in scenes_of(kind, seed):
        values = one.frame if kind == "symbols" else one.frame.astype(np.float32)
        (frame,) = frames_in_memory(values[None], Reading())
        started = time.process_time(), time.perf_counter()
        rows = finder.find(frame)
        processor += time.process_time() - started[0]
        wall += time.perf_counter() - started[1]
        pixels += one.frame.size / 1e6
        names = ("x", "y", "cluster", "rotation_deg", "scale", "mirrored")
        column = {
            name: rows[name].to_numpy(zero_copy_only=False)
            for name in names
            if name in rows.column_names
        }
        place = np.stack([column.pop("x"), column.pop("y")], 1).reshape(-1, 2)
        tally.add(
            one,
            place,
            column["cluster"],
            column["rotation_deg"],
            column.get("scale"),
            column.get("mirrored"),
        )
    return processor / pixels, wall / pixels


def trained(folder: Path, name: str, fit: str | None = None) -> Run:
    """A run on single things, trained unless it is there; `fit` are source and flags, if new."""
    if name == "particles" and not (folder / "particles.npy").exists():
        np.save(folder / "particles.npy", noise(0, RATIO, PARTICLES).images[:TRAINED])
    if name == "symbols" and not (folder / "symbols.npy").exists():
        rng, draw = np.random.default_rng(0), symbols()
        drawn = [draw(rng).picture for _ in range(EACH * len(CHIRAL))]
        np.save(folder / "symbols.npy", grey(np.stack(drawn), rng))
    if not (folder / name / "report.html").exists():
        words = (fit or FITS[name]).replace(f"{name}.npy", str(folder / f"{name}.npy")).split()
        command = [sys.executable, "-m", "mcevae", "fit", *words, "--out", str(folder / name)]
        subprocess.run(command, check=True)
    return open_run(folder / name, "cpu")


def accuracy(run: Path) -> float | None:
    """Accuracy of a run on its own test images; None if there is no run, or no label."""
    path = run / "metrics.json"
    scores = json.loads(path.read_text("utf-8"))["scores"] if path.exists() else {}
    return round(scores["accuracy"]["value"], 4) if "accuracy" in scores else None


def picture(finders: dict[str, Finder]) -> None:
    """Draw a scene of each kind with its finds, and what is left over of the digits."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (kind, name) in zip(
        axes, (("overlap", "digits"), ("micrograph", "particles")), strict=True
    ):
        one = next(scenes_of(kind, SEEDS[0]))
        (frame,) = frames_in_memory(one.frame[None].astype(np.float32), Reading())
        rows = finders[name].find(frame).to_pylist()
        axis.imshow(one.frame, cmap="gray")
        for row in rows:
            colour = f"C{row['cluster'] % 10}"
            left, top, width, height = (row[f"box_{i}"] for i in ("x", "y", "width", "height"))
            x, y = [left, left + width, left + width, left, left], [top, top]
            axis.plot(x, [*y, top + height, top + height, top], color=colour, lw=1)
            turn = math.radians(row["rotation_deg"] - 90)
            reach = 0.4 * max(width, height)
            tip = (row["x"] + reach * math.cos(turn), row["y"] + reach * math.sin(turn))
            axis.plot([row["x"], tip[0]], [row["y"], tip[1]], color=colour, lw=1)
        axis.set_axis_off()
        axis.set_title(f"{len(rows)} finds of {len(one.place)} things")
    figure.savefig(PICTURE, dpi=70, pil_kwargs={"optimize": True})


def speed(finder: Finder) -> dict[str, Any]:
    """Seconds of a micrograph on two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    processor, wall = searched(finder, "micrograph", SEEDS[0], Tally())
    torch.set_num_threads(threads)
    return {
        "threads": 2,
        "groups": len(finder.templates.energy),
        "rotations": round(360 / math.degrees(STEP)),
        "processor_seconds_per_megapixel": round(processor, 2),
        "wall_seconds_per_megapixel": round(wall, 2),
        "load_of_machine": [round(one, 1) for one in os.getloadavg()],
    }


def main() -> None:
    """Train, find, compare, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", action="store_true", help="measure the row `speed` alone")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    arguments = in_folder(parser)
    before = json.loads((RESULTS / "scenes.json").read_text())
    kept = {name: before[name] for name in before if name not in ("command", "machine")}
    names = ["particles"] if arguments.speed else sorted({KINDS[kind] for kind in arguments.kinds})
    finders = {name: Finder(trained(arguments.folder, name), FindConfig()) for name in names}
    found: dict[str, Any] = {}
    if not arguments.speed:
        made = kept["scenes"] | scenes(finders, arguments.kinds)
        own = {name: accuracy(arguments.folder / name) for name in FITS}
        known = {name: value for name, value in own.items() if value is not None}
        known = kept.get("accuracy", {}) | known
        found = {"fits": FITS, "accuracy": known, "seeds": SEEDS, "scenes": made}
    if {"digits", "particles"} <= {*finders}:
        picture(finders)
    if "particles" in finders:
        found["speed"] = speed(finders["particles"])
    content = kept | found
    write_results("scenes", content, "python benchmarks/scenes.py --folder FOLDER --data FOLDER")


def scenes(finders: dict[str, Finder], kinds: list[str]) -> dict[str, Any]:
    """Scores of each kind of scene, those of all seeds together and of each."""
    rows = {}
    for kind in kinds:
        name = KINDS[kind]
        tally, costs = Tally(), []
        seeds = []
        for seed in SEEDS:
            own = Tally()
            costs.append(searched(finders[name], kind, seed, own))
            seeds.append(own.scores())
            tally.found, tally.there = tally.found + own.found, tally.there + own.there
            tally.right, tally.pairs = tally.right + own.right, tally.pairs + own.pairs
        rows[kind] = {
            **tally.scores(),
            "seeds": seeds,
            "processor_seconds_per_megapixel": round(float(np.median(costs, 0)[0]), 2),
        }
        if kind != "symbols":
            rows[kind]["match_template"] = rival(finders[name], kind, SEEDS)
        print(kind, rows[kind], flush=True)
    return rows


if __name__ == "__main__":
    main()
