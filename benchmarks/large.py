"""A set larger than memory: packed, trained on and predicted, with the memory that it takes.

    python benchmarks/large.py --folder FOLDER --gigabytes 20

Makes 50,000 bundled digits at 64 x 64 pixels, each in a new pose (SE(2), 90 degrees, a tenth of the
side), and draws from them shards of 200,000 (.npy); packs these; trains preset `default` on one
window after another; predicts a share of the pack. Each is a process of its own, whose memory
(resident set less what it shares with files, as the system counts it) is looked at twice a second.
Needs two and a half times as much disk; its files go at the end unless it is told to --keep them.
Writes results/large.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from common import write_results

from mcevae.geometry.groups import get_group
from mcevae.images.arrays import Images, to_bytes, to_float
from mcevae.images.datasets import load as load_source
from mcevae.images.datasets import pose
from mcevae.images.packs import open_pack
from mcevae.runs.checkpoint import load, run_file
from mcevae.training.log import read_log

SIDE, SHARD, DISTINCT = 64, 200_000, 50_000
GB = 10**9


def make(folder: Path, count: int) -> None:
    """Shards of posed digits, in random order."""
    folder.mkdir(parents=True)
    small = to_float(load_source("mnist-mini").train.pixels[:DISTINCT])
    small = small.repeat(-(-DISTINCT // len(small)), 1, 1, 1)[:DISTINCT]
    large = to_bytes(F.interpolate(small, size=(SIDE, SIDE), mode="bilinear", antialias=True))
    group = get_group("se2")
    support = group.support(rotation_deg=90, shift=0.1)
    posed = pose(Images(name="digits", pixels=large), group, support, seed=0)
    pixels, rng = posed.images.pixels[:, 0].numpy(), np.random.default_rng(0)
    for start in range(0, count, SHARD):
        shard = pixels[rng.integers(DISTINCT, size=min(SHARD, count - start))]
        np.save(folder / f"{start:09}.npy", shard)


def watched(*arguments: object) -> dict[str, Any]:
    """Run a command of mcevae; its time, and its memory at ten moments and at most, GB."""
    command = [sys.executable, "-m", "mcevae", *map(str, arguments)]
    print(*command[1:], flush=True)
    started, seen = time.perf_counter(), []
    with subprocess.Popen(command) as process:
        about = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                memory = about.memory_info()
            except psutil.NoSuchProcess:
                break
            seen.append(max(0, memory.rss - getattr(memory, "shared", 0)) / GB)
            time.sleep(0.5)
    if process.returncode:
        raise SystemExit(process.returncode)
    moments = [seen[i * (len(seen) - 1) // 9] for i in range(10)]
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "memory_gb": [round(value, 2) for value in moments],
        "most_memory_gb": round(max(seen), 2),
    }


def main() -> None:
    """Make, pack, train, predict, and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--window", type=int, default=20_000)
    parser.add_argument("--redraws", type=int, default=8, help="windows after the first")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--subset", type=int, default=5000, help="as for mcevae fit")
    parser.add_argument("--shards", type=int, default=100, help="of which one is predicted")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    folder, count = arguments.folder, int(arguments.gigabytes * GB) // SIDE**2
    source, packed, run = (folder / name for name in ("source", "packed", "run"))
    if not source.exists():
        make(source, count)
    rows: dict[str, Any] = {"pack": watched("pack", source, "--out", packed)}
    train = ("--shift", 0.15, "--window", arguments.window, "--precision", "bf16")
    train += ("--epochs", arguments.epochs, "--redraws", arguments.redraws)
    train += ("--subset", arguments.subset)
    rows["fit"] = watched("fit", packed, *train, "--out", run)
    shard = f"0/{arguments.shards}"
    rows["predict"] = watched("predict", run, packed, "--out", folder / "tables", "--shard", shard)
    position = load(run_file(run, "last"))[1]["position"]
    pack = open_pack(packed)
    found = {
        "images": pack.count,
        "gigabytes": round(pack.count * SIDE**2 / GB, 2),
        "machine_memory_gb": round(psutil.virtual_memory().total / GB, 1),
        "threads": torch.get_num_threads(),
        "window": arguments.window,
        "windows_learned_from": position["window"] + 1,
        "epochs": position["epoch"],
        "loss": [row["loss"] for row in read_log(run) if row["split"] == "train"],
        "scores": json.loads((run / "metrics.json").read_text())["scores"],
        "images_predicted": pack.count // arguments.shards,
        "rows": rows,
    }
    found["scores"] = {
        name: round(found["scores"][name]["value"], 4)
        for name in ("effective_clusters", "bce", "same_cluster")
    }
    print(write_results("large", found, "python benchmarks/large.py --folder FOLDER"))
    if not arguments.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
