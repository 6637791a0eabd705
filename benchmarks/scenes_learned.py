"""Learn from frames without boxes: 200 frames of 20 digits, which no one has cut out or named.

    python benchmarks/scenes_learned.py --folder FOLDER --data FOLDER

Scenes are made as in `scenes.py`, without overlap, of MNIST test digits: 256 x 256 pixels, any
place, within 90 degrees, noise 0.1. What learns from them sees the frames alone, no labels.
`mcevae fit --scenes` learns from them with `FLAGS`, for each seed from other frames. Its table of
places is then compared with the truth.

Accuracy: the share of all things that are right. A thing is right if a place lies within 3 pixels
of it (one-to-one in each frame) and has its group; each kind has one group of the run, by the best
one-to-one match. So things that are missed are wrong. Writes the row `learned` of
results/scenes.json; --network writes `learned_network`, with a network trained at the end, and
docs/images/scenes.png.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import RESULTS, in_folder
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from pyarrow import parquet
from scenes_made import Scene, digits, scene
from scenes_scored import Tally
from scipy.optimize import linear_sum_assignment

from mcevae import open_run
from mcevae.base.files import write_text
from mcevae.base.machine import machine
from mcevae.finding.templates import templates_of

FLAGS = "--scenes --size 28 --clusters 10 --group se2 --rotation 90 --shift 0.1"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scenes.png"
SIDE, THINGS, NOISE = 256, 20, 0.1


def made(folder: Path, seed: int, frames: int) -> tuple[Path, list[Scene]]:
    """Write the frames of a seed as one file; what is in them."""
    rng, draw = np.random.default_rng(1000 + seed), digits()
    scenes, pixels = [], []
    for _ in range(frames):
        one = scene(rng, draw, SIDE, THINGS)
        pixels.append(one.frame + rng.normal(0, NOISE, one.frame.shape))
        scenes.append(one)
    path = folder / f"learned-test-{frames}-{seed}.npy"
    if not path.exists():
        np.save(path, np.array(pixels, np.float32))
    return path, scenes


def learned(folder: Path, seed: int, frames: int, flags: str) -> dict[str, Any]:
    """Learn from the frames of a seed; the scores."""
    path, scenes = made(folder, seed, frames)
    out = folder / f"{path.stem}{flags.replace(' ', '')}"
    words = [*FLAGS.split(), *flags.split(), "--seed", str(seed), "--out", str(out)]
    kept = out.with_name(f"{out.name}.seconds")
    if not (out / "scenes.json").exists():
        command = [sys.executable, "-m", "mcevae", "fit", str(path), *words]
        before = children()
        subprocess.run(command, check=True)
        kept.write_text(f"{children() - before:.0f}")
    rows = parquet.read_table(out / "places.parquet").to_pandas()
    tally = Tally()
    for number, one in enumerate(scenes):
        own = rows[rows.frame == number]
        place = np.stack([own.x, own.y], 1).reshape(-1, 2)
        tally.add(one, place, own.cluster.to_numpy(), own.rotation_deg.to_numpy())
    record = json.loads((out / "scenes.json").read_text())
    return {
        "accuracy": round(right(tally) / tally.there, 4),
        **tally.scores(),
        "explained": [round(one["explained"], 4) for one in [*record["searches"], record["last"]]],
        "processor_seconds": int(kept.read_text()),
    }


def right(tally: Tally) -> int:
    """How many things are found and have the group of their kind."""
    clusters, kinds, *_ = map(np.array, zip(*tally.pairs, strict=True))
    table = np.zeros((clusters.max() + 1, kinds.max() + 1))
    np.add.at(table, (clusters, kinds), 1)
    return int(table[linear_sum_assignment(-table)].sum())


def picture(folder: Path, frames: Path) -> None:
    """Draw the first frame with the places of a run, and what the largest part of each group is."""
    rows = parquet.read_table(folder / "places.parquet").to_pandas()
    templates = templates_of(open_run(folder, "cpu"))
    cluster = templates.cluster.tolist()
    figure = Figure(figsize=(9.4, 5), layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=(5, 4.4))
    left, right = parts
    axis = left.subplots()
    axis.imshow(np.load(frames, mmap_mode="r")[0], cmap="gray")
    for row in rows[rows.frame == 0].itertuples():
        box = (row.box_x, row.box_y), row.box_width, row.box_height
        axis.add_patch(Rectangle(*box, fill=False, edgecolor=f"C{row.cluster}", lw=1.5))
    axis.set_axis_off()
    for k, own in enumerate(right.subplots(4, 3).flat):
        own.set_axis_off()
        if k in cluster:
            own.imshow(templates.pictures[cluster.index(k), 0], cmap="gray")
            own.set_title(f"group {k}", color=f"C{k}", fontsize=9)
    figure.savefig(PICTURE, dpi=70, pil_kwargs={"optimize": True})


def children() -> float:
    """Processor seconds of the processes that were started and have ended."""
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def main() -> None:
    """Make frames, learn from them, and store the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--network", type=float, metavar="MINUTES", help="train a network so long")
    arguments = in_folder(parser)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that it runs
    flags = f"--minutes {arguments.network:g}" if arguments.network else "--quick"
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        rows.append(learned(arguments.folder, seed, arguments.frames, flags))
        print(rows[-1])
    if arguments.network:
        seed = arguments.seeds[0]
        path, _ = made(arguments.folder, seed, arguments.frames)
        picture(arguments.folder / f"{path.stem}{flags.replace(' ', '')}", path)
    content = {
        "command": "python benchmarks/scenes_learned.py --folder FOLDER --data FOLDER"
        + (f" --network {arguments.network:g}" if arguments.network else "")
        + f" --seeds {' '.join(map(str, arguments.seeds))}",
        "machine": machine(),
        "frames": arguments.frames,
        "flags": f"{FLAGS} {flags}",
        "accuracy": round(float(np.mean([row["accuracy"] for row in rows])), 4),
        "seeds": dict(zip(map(str, arguments.seeds), rows, strict=True)),
    }
    path = RESULTS / "scenes.json"
    document: dict[str, Any] = json.loads(path.read_text())
    document["learned_network" if arguments.network else "learned"] = content
    write_text(path, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
