"""How fast training is if its threads wait at full speed, and if they sleep while they wait.

    python benchmarks/waiting.py

Threads that wait for each other keep their core (OMP_WAIT_POLICY ACTIVE, and nearly so without the
variable), or give it back (PASSIVE, which the command line sets). Steps of preset default on
mnist-mini with two threads, each way a process of its own, in turns; alone, and beside programs
that only compute. Writes results/waiting.json.
"""

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median

from common import write_results

WAYS = ("PASSIVE", "ACTIVE", "not set")
BESIDE = (0, 1, 2)
"""Programs that compute beside the training."""
BUSY = "while True: pass"


def main() -> None:
    """Measure and store, or take the steps of one way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10, help="10 by default")
    parser.add_argument("--rounds", type=int, default=3, help="3 by default")
    parser.add_argument("--take", action="store_true", help="only take the steps, as asked")
    chosen = parser.parse_args()
    if chosen.take:
        print(seconds_for_a_step(chosen.steps))
        return
    rows = []
    for beside in BESIDE:
        seen: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(chosen.rounds):
            for way in WAYS:
                seen[way].append(measured(way, beside, chosen.steps))
        row = {way: round(median(found), 4) for way, found in seen.items()}
        rows.append({"beside": beside, "seconds_a_step": row})
        print(rows[-1], flush=True)
    print(write_results("waiting", {"steps": chosen.steps, "rounds": chosen.rounds, "rows": rows}))


def measured(way: str, beside: int, steps: int) -> float:
    """Seconds for a step in a process of its own, while others compute."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["OMP_NUM_THREADS"] = "2"
    if way in ("ACTIVE", "PASSIVE"):
        environment["OMP_WAIT_POLICY"] = way
    with ExitStack() as running:
        for _ in range(beside):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            running.callback(busy.wait)
            running.callback(busy.kill)
        again = [sys.executable, __file__, "--take", "--steps", str(steps)]
        done = subprocess.run(again, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def seconds_for_a_step(steps: int) -> float:
    """Take steps of training, after three that warm up."""
    import torch

    from mcevae.images.arrays import to_float
    from mcevae.models.config import Config
    from mcevae.models.registry import MOST_WEIGHTS, build
    from mcevae.runs.data import prepare_for, settle
    from mcevae.training.schedule import planned

    config = settle(Config().changed(data={"source": "mnist-mini"}))
    data = prepare_for(config).train
    model = build(planned(config, len(data)), data.images.shape, MOST_WEIGHTS).train()
    batch = {
        "cluster": torch.arange(200) % 10,
        "element": model.group.identity(200),
        "weight": torch.ones(200),
    }
    x = to_float(data.images.pixels[:200])
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    started = 0.0
    for step in range(steps + 3):
        if step == 3:
            started = time.perf_counter()
        model.terms(model, x, batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    main()
