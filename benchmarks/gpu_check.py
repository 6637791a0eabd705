"""Whether everything runs on this machine's GPU, and how fast: `make gpu-check`.

    python benchmarks/gpu_check.py                      # on a machine with CUDA
    python benchmarks/gpu_check.py --device cpu --steps 3 --tests

In turn: the tests of devices and precision; images a second of a training step and of inference, in
float32 and in bfloat16; a training in two processes, by NCCL where there are two devices (by gloo
with --device cpu); and, with --full, trainings at the paper's own budget (`full_budget.py`, hours).
What fails is recorded and does not stop the rest; then the exit code is 1. Writes results/gpu.json.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import RESULTS, write_results
from throughput import trainer_step

from mcevae.models.config import PRESETS, Config
from mcevae.models.registry import build
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import default_device, embed

ROOT = Path(__file__).parents[1]
TESTS = ("tests/models/test_precision.py", "tests/training/test_loop.py")
RANKED = "tests/training/test_devices.py"
"""Tests that start two processes: they need two devices, or none."""
PRESETS_MEASURED = ("default", "paper", "dti", "target-vae", "iic")
PRECISIONS = ("no", "bf16")
FULL = ("default", "mce-vae")
LONGEST = 4 * 3600
"""Seconds that a part of the check may take, but the full budget."""
TWO = (
    *("mnist-mini", "--limit", "400", "--preset", "paper", "--epochs", "1", "--batch-size", "25"),
    *("--filters", "4", "8", "8", "8", "--hidden", "32", "--pose-hidden", "16"),
    *("--decoder-hidden", "32", "--clusters", "4"),
)
"""A small training."""


def chosen_device(asked: str) -> str:
    """The device to check; hides the GPUs from this process and those it starts if it is the CPU.

    Args:
        asked: auto, cuda or cpu.
    """
    if asked == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        return "cpu"
    if not torch.cuda.is_available():
        sys.exit("There is no CUDA device here; give --device cpu to try the check itself.")
    return "cuda"


def attempt(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a part of the check found, whether it went well, and the seconds that it took."""
    started = time.perf_counter()
    try:
        found = {"ok": True, **run()}
    except Exception as error:  # whatever it is, it is a finding
        found = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {**found, "seconds": round(time.perf_counter() - started, 1)}


def called(arguments: Sequence[str], seconds: float | None = LONGEST) -> dict[str, Any]:
    """Start Python with arguments; whether it ended well, and the last line that it said."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    said = done.stdout.strip().splitlines()
    found = {"ok": done.returncode == 0, "last_line": said[-1] if said else ""}
    return found if found["ok"] else found | {"said": "\n".join(said[-40:])}


def rate(step: Callable[[], int], steps: int, device: str) -> dict[str, float]:
    """Images a second, median of some steps after two that warm up, and the most memory."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    rates = []
    for turn in range(steps + 2):
        wait()
        started = time.perf_counter()
        images = step()
        wait()
        if turn > 1:
            rates.append(images / (time.perf_counter() - started))
    found = {"images_per_second": round(median(rates), 1)}
    if device == "cuda":
        found["gigabytes"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return found


def settings(preset: str, images: int, precision: str = "no") -> Config:
    """Settings of a preset, for some of the bundled digits."""
    data = {"source": "mnist-mini", "limit": images}
    return PRESETS[preset]().changed(data=data, train={"precision": precision})


def training(chosen: argparse.Namespace, device: str, preset: str, precision: str) -> Any:
    """Speed of a training step of a preset, on batches of its own size."""
    return rate(trainer_step(settings(preset, chosen.images, precision)), chosen.steps, device)


def inference(chosen: argparse.Namespace, device: str, preset: str, precision: str) -> Any:
    """Speed of a preset's answers, with random weights."""
    config = settings(preset, chosen.images)
    pixels = prepare_for(config).train.images.pixels
    model = build(config, (1, 28, 28)).eval().to(default_device())

    def step() -> int:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            embed(model, pixels)
        return len(pixels)

    return rate(step, chosen.steps, device)


def two_processes(device: str) -> dict[str, Any]:
    """Train in two processes, each with a device of its own."""
    if device == "cuda" and torch.cuda.device_count() < 2:
        return {"skipped": "there is one device"}
    with tempfile.TemporaryDirectory() as folder:
        command = (
            *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "mcevae", "fit", *TWO, "--out", str(Path(folder) / "run")),
        )
        found = called(command)
    return {"backend": "nccl" if device == "cuda" else "gloo", **found}


def check(chosen: argparse.Namespace, device: str) -> dict[str, Any]:
    """Make the checks that were asked for, in turn, and show each."""
    found: dict[str, Any] = {}

    def add(name: str, run: Callable[[], dict[str, Any]]) -> None:
        found[name] = attempt(run)
        print(name, found[name], flush=True)

    ranked = device == "cpu" or torch.cuda.device_count() > 1
    for file in (*chosen.tests, *([RANKED] if ranked and chosen.tests else [])):
        add(f"tests {file}", partial(called, ["-m", "pytest", "-q", "-n", "0", file]))
    for preset in chosen.presets:
        for precision in PRECISIONS:
            for name, part in (("step", training), ("answers", inference)):
                add(
                    f"{name} {preset} {precision}",
                    partial(part, chosen, device, preset, precision),
                )
    add("two processes", partial(two_processes, device))
    for model in FULL if chosen.full else ():
        command = ["benchmarks/full_budget.py", "--models", model, "--protocols", "se2"]
        add(f"full {model}", partial(called, command, None))
    return found


def main() -> None:
    """Check, and store what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=("auto", "cuda", "cpu"), default="auto", help="auto: CUDA")
    add("--tests", nargs="*", default=list(TESTS), help="files of tests; none: no tests")
    add("--presets", nargs="*", choices=list(PRESETS), default=list(PRESETS_MEASURED))
    add("--steps", type=int, default=30, help="of each measurement")
    add("--images", type=int, default=2000, help="that answers are given for; at most 10,000")
    add("--full", action="store_true", help="trainings at the paper's own budget as well")
    add("--results", type=Path, default=RESULTS, help="folder for gpu.json")
    chosen = parser.parse_args()
    device = chosen_device(chosen.device)
    found = check(chosen, device)
    failed = [name for name, one in found.items() if not one["ok"]]
    content = {"device": device, "devices": torch.cuda.device_count(), "checks": found}
    print(write_results("gpu", content, folder=chosen.results))
    if failed:
        sys.exit(f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
