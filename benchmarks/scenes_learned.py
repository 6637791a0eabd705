"""Learn from frames without boxes: 200 frames of 20 digits, which no one has cut out or named.

    python benchmarks/scenes_learned.py --folder FOLDER --data FOLDER

Scenes are made as in `scenes.py`, without overlap, but of MNIST training digits: 256 x 256 pixels,
any place, within 90 degrees, noise 0.1. `mcevae fit --scenes` learns from them with `FLAGS`, for
each seed from other frames. Its table of places is then compared with the truth.

Accuracy: the share of all things that are right. A thing is right if a place lies within 3 pixels
of it (one-to-one in each frame) and has its group; each kind has one group of the run, by the best
one-to-one match. So things that are missed are wrong. Writes the row `learned` of
results/scenes.json; --network writes `learned_network`, with a network trained at the end.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import RESULTS
from pyarrow import parquet
from scenes import Scene, Tally, digits, scene
from scipy.optimize import linear_sum_assignment

from mcevae.base.files import write_text
from mcevae.base.machine import machine

FLAGS = "--scenes --size 28 --clusters 10 --group se2 --rotation 90 --shift 0.1"
SIDE, THINGS, NOISE = 256, 20, 0.1


def made(folder: Path, seed: int, frames: int) -> tuple[Path, list[Scene]]:
    """Write the frames of a seed as one file; what is in them."""
    rng, draw = np.random.default_rng(1000 + seed), digits("train")
    scenes, pixels = [], []
    for _ in range(frames):
        one = scene(rng, draw, SIDE, THINGS)
        pixels.append(one.frame + rng.normal(0, NOISE, one.frame.shape))
        scenes.append(one)
    path = folder / f"learned-{frames}-{seed}.npy"
    if not path.exists():
        np.save(path, np.array(pixels, np.float32))
    return path, scenes


def learned(folder: Path, seed: int, frames: int, flags: str) -> dict[str, Any]:
    """Learn from the frames of a seed; the scores."""
    path, scenes = made(folder, seed, frames)
    out = folder / f"{path.stem}{flags.replace(' ', '')}"
    words = [*FLAGS.split(), *flags.split(), "--seed", str(seed), "--out", str(out)]
    seconds = 0.0
    if not (out / "scenes.json").exists():
        command = [sys.executable, "-m", "mcevae", "fit", str(path), *words]
        before, started = children(), time.perf_counter()
        subprocess.run(command, check=True)
        seconds = children() - before
        print(f"{time.perf_counter() - started:.0f} seconds")
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
        "processor_seconds": round(seconds),
    }


def right(tally: Tally) -> int:
    """How many things are found and have the group of their kind."""
    clusters, kinds, _ = map(np.array, zip(*tally.pairs, strict=True))
    table = np.zeros((clusters.max() + 1, kinds.max() + 1))
    np.add.at(table, (clusters, kinds), 1)
    return int(table[linear_sum_assignment(-table)].sum())


def children() -> float:
    """Processor seconds of the processes that were started and have ended."""
    times = psutil.Process().cpu_times()
    return times.children_user + times.children_system


def main() -> None:
    """Make frames, learn from them, and store the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with mnist.npz")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--network", type=float, metavar="MINUTES", help="train a network so long")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["MCEVAE_DATA"] = str(arguments.data)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    flags = f"--minutes {arguments.network:g}" if arguments.network else "--quick"
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        rows.append(learned(arguments.folder, seed, arguments.frames, flags))
        print(rows[-1])
    content = {
        "command": "python benchmarks/scenes_learned.py --folder FOLDER --data FOLDER"
        + (f" --network {arguments.network:g}" if arguments.network else ""),
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
