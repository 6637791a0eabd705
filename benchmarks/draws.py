"""What 25 Monte-Carlo draws of M cost in one training step of the paper preset.

    python benchmarks/draws.py

Three ways to take a step (forward, backward, Adam) on a batch of 100 images of mnist-mini are
timed in turn, so that a machine whose speed drifts treats them alike:

    batched      25 draws in one batch, as `mcevae` does
    looped       the same step, its 25 targets encoded one after another
    separate     25 passes one after another, each with a draw and gradients of its own

Writes results/draws.json with the medians and the ratios, pair by pair.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable
from statistics import median

import torch
from common import write_results
from published import DRAWS, LoopedObjective

from mcevae.base.config import ObjectiveConfig
from mcevae.geometry.groups import get_group
from mcevae.images.arrays import to_float
from mcevae.models.config import paper
from mcevae.models.objective import Objective
from mcevae.models.registry import gaussian
from mcevae.runs.data import prepare_for


def main() -> None:
    """Time the three ways in turn."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = paper()
    x = to_float(prepare_for(config).train.images.pixels[:100])
    model = gaussian(config, (1, 28, 28), get_group("se2")).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.train.lr)
    support = config.support.half_widths(model.group)
    one = dataclasses.replace(config.objective, draws=1)

    def step(objective: Objective, passes: int = 1) -> Callable[[], None]:
        def run() -> None:
            for _ in range(passes):
                (objective(model, model, x).loss / passes).backward()
            optimizer.step()
            optimizer.zero_grad()

        return run

    ways = {
        "batched": step(Objective(ObjectiveConfig(draws=DRAWS), model.group, support)),
        "looped": step(LoopedObjective(one, model.group, support)),
        "separate": step(Objective(one, model.group, support), DRAWS),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(arguments.rounds + 1):
        for name, run in ways.items():
            started = time.perf_counter()
            run()
            if turn > 0:  # the first turn warms up
                seconds[name].append(time.perf_counter() - started)
    ratios = {
        f"batched / {name}": median(
            a / b for a, b in zip(seconds["batched"], seconds[name], strict=True)
        )
        for name in ("looped", "separate")
    }
    path = write_results(
        "draws",
        {
            "what": f"one step, {DRAWS} draws, batch 100, median of {arguments.rounds}",
            "seconds": {name: round(median(times), 4) for name, times in seconds.items()},
            "ratios": {name: round(value, 3) for name, value in ratios.items()},
        },
    )
    for name, times in seconds.items():
        print(f"{name:9s} {1000 * median(times):8.1f} ms a step")
    for name, value in ratios.items():
        print(f"{name:18s} {value:.3f}")
    print(path)


if __name__ == "__main__":
    main()
