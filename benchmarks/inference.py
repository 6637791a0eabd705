"""Images a second that `mcevae predict` works through, and the memory it takes.

    python benchmarks/inference.py --run RUN

RUN is a run of preset `default` on 28 x 28 pixels (`mcevae fit mnist-mini --out RUN`); speed does
not depend on how long it was trained. Each row is a process of its own, timed from the first image
read to the table written, in turns; `model` is cluster, pose and canonical image of images in
memory, nothing read or written. Memory is the largest resident set of the process, Python and
torch included. Writes results/inference.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import write_results
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.machine import keep_memory
from mcevae.images.datasets import load
from mcevae.images.packing import write_pack
from mcevae.predicting.engines import Maker, Order
from mcevae.runs.checkpoint import load_model
from mcevae.runs.infer import outputs

COUNTS = {"model": 10_000, "npy": 10_000, "pack": 10_000, "png": 10_000, "npy-large": 200_000}
GIB = 2**30


def make(kind: str, folder: Path) -> Path:
    """Images of a kind on disk: bundled digits, over and over."""
    source = folder / (f"{kind}.npy" if kind.startswith("npy") else kind)
    if source.exists() or kind == "model":
        return source
    pixels = load("mnist-mini").train.pixels[:, 0].numpy()
    images = np.concatenate([pixels] * -(-COUNTS[kind] // len(pixels)))[: COUNTS[kind]]
    if kind.startswith("npy"):
        np.save(source, images)
    elif kind == "png":
        source.mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(source / f"{i:05}.png")
    else:
        write_pack(make("npy", folder), DataConfig(), source)
    return source


def work(kind: str, run: Path, folder: Path, threads: int) -> dict[str, Any]:
    """One row, in this process."""
    torch.set_num_threads(threads)
    keep_memory()
    if kind == "model":
        model, _, _ = load_model(run)
        pixels = load("mnist-mini").train.pixels
        for _ in outputs(model, pixels[:1000]):  # warms up
            pass
        started = time.perf_counter()
        images = sum(len(out.canonical) for _, out in outputs(model, pixels))
    else:
        out = folder / f"{kind}.parquet"
        order = Order(run=run, source=str(make(kind, folder)), out=out, overwrite=True)
        maker = Maker(order, torch.device("cpu"))
        started = time.perf_counter()
        images = maker.make(None).rows
    seconds = time.perf_counter() - started
    return {"images": images, "seconds": seconds, "peak_gib": peak() / GIB}


def peak() -> int:
    """Bytes of the largest resident set so far (Linux; getrusage would tell the parent's, too)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def main() -> None:
    """Measure every row in turns, and store it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--worker", choices=list(COUNTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        found = work(arguments.worker, arguments.run, arguments.folder, arguments.threads)
        print(json.dumps(found))
        return
    seen: dict[str, list[dict[str, Any]]] = {kind: [] for kind in COUNTS}
    with tempfile.TemporaryDirectory() as name:
        for kind in COUNTS:
            make(kind, Path(name))
        for _ in range(arguments.turns):
            for kind, rows in seen.items():
                command = [sys.executable, __file__, "--worker", kind, "--folder", name]
                command += ["--run", str(arguments.run), "--threads", str(arguments.threads)]
                made = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append(json.loads(made.stdout.splitlines()[-1]))
                print(kind, rows[-1], flush=True)
    rows = {
        kind: {
            "images": found[0]["images"],
            "images_per_second": round(median(one["images"] / one["seconds"] for one in found), 1),
            "peak_gib": round(max(one["peak_gib"] for one in found), 3),
        }
        for kind, found in seen.items()
    }
    what = {"threads": arguments.threads, "turns": arguments.turns, "pixels": [28, 28]}
    print(write_results("inference", what | {"rows": rows}, "python benchmarks/inference.py"))


if __name__ == "__main__":
    main()
