"""How fast one and two processes predict and train, and what a billion images would need.

    python benchmarks/scaling.py

The default preset, 28 x 28 pixels, one thread a process. In turns, one and two processes started by
torchrun (a) write shards of the same 10,000 images in a .npy, and (b) take 60 training steps of 200
images each. Times are from the first image to the last table, or of the steps, so without the start
of Python. First targets are timed as well, which rank 0 makes for all.

Writes results/scaling.json: images a second of each turn and their medians, bytes of a row, and
from them hours and bytes for 10^9 images, which is arithmetic and not a measurement.
"""

import argparse
import json
import os
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
from rich.console import Console
from rich.progress import Progress

from mcevae.base.processes import place
from mcevae.images.datasets import load
from mcevae.models.config import Config, default
from mcevae.predicting.engines import Maker, Order
from mcevae.predicting.shards import Shard
from mcevae.runs.checkpoint import load_model
from mcevae.runs.confidence import calibrate
from mcevae.runs.data import prepare_for
from mcevae.training.loop import train_epoch
from mcevae.training.trainer import CHECK_EVERY, Trainer

BILLION = 10**9
STEPS = 60


def settings() -> Config:
    """The default preset on 10,000 bundled digits."""
    return default().changed(data={"source": "mnist-mini"}, model={"clusters": 10})


def predicted(folder: Path, out: str) -> dict[str, float]:
    """One rank's shard: seconds."""
    order = Order(run=folder / "run", source=str(folder / "images.npy"), out=folder / out)
    maker = Maker(order, torch.device("cpu"))
    started = time.perf_counter()
    made = maker.make(Shard(*place()))
    return {"seconds": time.perf_counter() - started, "images": made.rows}


def trained(folder: Path, out: str) -> dict[str, float]:
    """One rank's steps: seconds of those after the first `CHECK_EVERY`, and images of them."""
    trainer = Trainer(settings(), prepare_for(settings()), folder / out)
    trainer.teach()
    taught = trainer.position.seconds
    targets = len(trainer.data.train)
    times: list[float] = []
    rate = trainer.set_rate
    # The loop sets the rate before each step, which is where the clock is read.
    trainer.set_rate = lambda: (times.append(time.perf_counter()), rate())[1]
    with Progress(console=Console(quiet=True), disable=True) as bar:
        while len(times) <= STEPS:
            train_epoch(trainer, [], bar, bar.add_task(""))
            trainer.position.epoch, trainer.position.step = trainer.position.epoch + 1, 0
    seconds = times[STEPS] - times[CHECK_EVERY]
    images = (STEPS - CHECK_EVERY) * trainer.size
    return {"seconds": seconds, "images": images, "taught": taught, "targets": targets}


WORK = {"predict": predicted, "train": trained}


def launch(what: str, ranks: int, folder: Path, turn: int) -> dict[str, Any]:
    """Images a second of all ranks together, by the slowest one."""
    out = f"{what}-{ranks}-{turn}"
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    worker = [__file__, "--worker", what, str(folder), out]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command, *worker], env=environment, check=True)
    told = [json.loads(path.read_text()) for path in sorted(folder.glob(f"{out}.*.json"))]
    assert len(told) == ranks
    seconds = max(one["seconds"] for one in told)
    return {**told[0], "rate": sum(one["images"] for one in told) / seconds}


def main() -> None:
    """Measure in turns, then reckon."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        what, folder, out = arguments.worker
        found = WORK[what](Path(folder), out)
        (Path(folder) / f"{out}.{place()[0]}.json").write_text(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pixels = load("mnist-mini").train.pixels[:, 0].numpy()
        np.save(folder / "images.npy", np.resize(pixels, (arguments.images, *pixels.shape[1:])))
        trainer = Trainer(settings(), prepare_for(settings()), folder / "run")
        trainer.save_best()  # its weights do not change how long it takes
        model, config, _ = load_model(folder / "run")
        calibrate(model, config, trainer.data.validation.images.pixels[:500]).write(folder / "run")
        turns = {what: {"1": [], "2": []} for what in WORK}
        for turn in range(arguments.rounds):  # in turn, so that a busy machine is so for all
            for what, by in turns.items():
                for ranks, told in by.items():
                    told.append(launch(what, int(ranks), folder, turn))
        tables = list((folder / "predict-2-0").glob("part-*.parquet"))
        row = sum(path.stat().st_size for path in tables) / arguments.images
        pixel_bytes = (folder / "images.npy").stat().st_size / arguments.images
    rates = {
        what: {ranks: [round(one["rate"], 1) for one in turn] for ranks, turn in by.items()}
        for what, by in turns.items()
    }
    middle = {what: {k: round(median(v), 1) for k, v in by.items()} for what, by in rates.items()}
    taught = median(one["targets"] / one["taught"] for one in turns["train"]["1"])
    hours = {what: BILLION / middle[what]["1"] / 3600 for what in WORK}
    path = write_results(
        "scaling",
        {
            "images": arguments.images,
            "pixels": list(pixels.shape[1:]),
            "threads_a_process": 1,
            "images_per_second": rates,
            "median_images_per_second": middle,
            "speed_up_of_two": {k: round(v["2"] / v["1"], 2) for k, v in middle.items()},
            "first_targets_per_second": round(taught, 1),
            "bytes_of_a_row": round(row, 1),
            "bytes_of_an_image": round(pixel_bytes, 1),
            "a_billion": {
                "predict_core_hours": round(hours["predict"]),
                "predict_hours_on_1000_cores": round(hours["predict"] / 1000, 2),
                "epoch_core_hours": round(hours["train"]),
                "epoch_hours_on_1000_cores": round(hours["train"] / 1000, 2),
                "first_targets_hours": round(BILLION / taught / 3600),
                "images_gigabytes": round(BILLION * pixel_bytes / 1e9),
                "tables_gigabytes": round(BILLION * row / 1e9),
            },
        },
    )
    print(path.read_text())


if __name__ == "__main__":
    main()
