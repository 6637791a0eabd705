"""What the published step reaches in an hour, and the default preset in a twentieth of it.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/time_to_quality.py --what published
    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/time_to_quality.py --what default

SE(2)-MNIST: 55,000 training images, of which the default preset takes 12,000; scores are those of
the 5,000 validation images, so that test images are not looked at for a comparison of speed. One
thread each; the clock is the process's own processor time, so that other programs on the machine
count for nothing. Scoring is not counted. A stopped run goes on where it was. Writes
results/time_to_quality.json, each side its own part.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, write_results
from published import BATCH, looped, published
from rich.console import Console

from mcevae.base.machine import keep_memory, machine
from mcevae.images.arrays import to_float
from mcevae.images.datasets import Splits
from mcevae.models.config import Config, default, paper
from mcevae.models.registry import Model
from mcevae.runs import checkpoint
from mcevae.runs.checkpoint import load_model
from mcevae.runs.data import prepare_for
from mcevae.runs.metrics import evaluate
from mcevae.training.loop import fit

SHOWN = ("accuracy", "nmi", "kmeans_accuracy", "bce", "rotation_error_median", "shift_error_median")
MNIST, FEW = {"source": "mnist"}, 12_000


def scores(model: Model, config: Config, data: Splits) -> dict[str, float]:
    """Of the validation images."""
    found = evaluate(model.eval(), config, data, "validation")
    model.train()
    return {name: round(found[name].value, 4) for name in SHOWN if name in found}


def train_published(minutes: float, folder: Path) -> list[dict[str, Any]]:
    """Scores every ten minutes of processor time of the published step."""
    config = paper().changed(data=MNIST)
    data = prepare_for(config)
    torch.manual_seed(0)
    model, objective = published(config), looped(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    path, seconds, step = folder / "published.safetensors", 0.0, 0
    rows: list[dict[str, Any]] = []
    pixels = data.train.images.pixels
    steps = len(pixels) // BATCH
    if path.exists():
        tensors, state = checkpoint.load(path)
        model.load_state_dict(checkpoint.part(tensors, "model"))
        moments = checkpoint.part(tensors, "optimizer")
        optimizer.load_state_dict(checkpoint.nested(moments, state["optimizer"]))
        seconds, step, rows = state["seconds"], state["step"], state["rows"]
    while seconds < 60 * minutes:
        generator = torch.Generator().manual_seed(step // steps)
        order = torch.randperm(len(pixels), generator=generator).split(BATCH)
        started = time.process_time()
        loss = objective(model, model, to_float(pixels[order[step % steps]])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds += time.process_time() - started
        step += 1
        if seconds >= 600 * (len(rows) + 1):
            rows.append({"minutes": round(seconds / 60, 2), "steps": step})
            rows[-1] |= scores(model, config, data)
            print(rows[-1], flush=True)
            moments, groups = checkpoint.flat(optimizer.state_dict())
            tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
            tensors |= {f"optimizer.{k}": v for k, v in moments.items()}
            state = {"optimizer": groups, "seconds": seconds, "step": step, "rows": rows}
            checkpoint.save(path, tensors, state)
    return rows


def train_default(folder: Path, precision: str) -> list[dict[str, Any]]:
    """Scores of the default preset on `FEW` of the images, in fewer epochs than it has."""
    keep_memory()
    train = {"epochs": 10, "precision": precision}
    config = default().changed(data=MNIST | {"limit": FEW}, train=train)
    data = prepare_for(config)
    run = folder / f"default-{precision}"
    started = time.process_time()
    fit(config, data, run, console=Console())
    spent = (time.process_time() - started) / 60
    model, own, state = load_model(run)
    epochs = state["position"]["epoch"] + 1
    return [{"minutes": round(spent, 2), "epochs": epochs} | scores(model, own, data)]


def main() -> None:
    """Measure one side, and store it beside the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--what", choices=["published", "default"], required=True)
    parser.add_argument("--minutes", type=float, default=60, help="of the published step")
    parser.add_argument("--precision", choices=["no", "bf16"], default="no")
    parser.add_argument("--runs", type=Path, default=Path("runs/time_to_quality"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "time_to_quality.json"
    kept = json.loads(path.read_text("utf-8"))["sides"] if path.exists() else {}
    if arguments.what == "published":
        name, rows = "published", train_published(arguments.minutes, arguments.runs)
    else:
        name = f"default-{arguments.precision}"
        rows = train_default(arguments.runs, arguments.precision)
    kept[name] = {"machine": machine(), "seed": 0, "rows": rows}
    command = "python benchmarks/time_to_quality.py --what published (and default)"
    print(write_results("time_to_quality", {"sides": kept}, command))


if __name__ == "__main__":
    main()
