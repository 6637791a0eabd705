"""What every benchmark does: write its results beside the machine they were measured on."""

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch
from tqdm import tqdm

from mcevae.base.files import write_text
from mcevae.base.machine import machine

RESULTS = Path(__file__).parent / "results"


def write_results(
    name: str, content: dict[str, Any], command: str | None = None, folder: Path = RESULTS
) -> Path:
    """Write results/NAME.json with the machine and the command that made it, this one if unsaid."""
    command = command or " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    path = folder / f"{name}.json"
    document = {"command": command, "machine": machine(), **content}
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path


def in_folder(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Take the arguments of a benchmark that works in --folder on one thread, with --data.

    Args:
        parser: has the benchmark's other arguments.
    """
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with mnist.npz")
    chosen = parser.parse_args()
    if chosen.data:
        os.environ["MCEVAE_DATA"] = str(chosen.data)
    torch.set_num_threads(1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    return chosen


def processor_seconds(run: Callable[[], Any], rounds: int) -> float:
    """Median of one call, after two that warm up; other programs on the machine do not count."""
    times = []
    for turn in range(rounds + 2):
        started = time.process_time()
        run()
        if turn > 1:
            times.append(time.process_time() - started)
    return median(times)


def unshare_locks() -> None:
    """Let processes that are forked from this one, and may be killed, share no lock.

    Call it before UMAP runs. UMAP shows progress by tqdm, whose lock all forks of a process share:
    if one is killed while it holds the lock, the others wait forever.
    """
    tqdm.monitor_interval = 0  # no thread, which a fork would not have
    tqdm.set_lock(threading.RLock())


def cpu(pid: int | None) -> float:
    """Seconds of the processor that a process has taken; 0 if it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system
