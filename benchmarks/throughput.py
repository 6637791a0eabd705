"""Images a second of a training step: the published one, the paper preset's, the default preset's.

    python benchmarks/throughput.py

Each way has a process of its own; they take steps in turn, so that a machine whose speed drifts
treats them alike. First on one thread, by each process's own processor time, so that other programs
count for nothing; then on a thread for each of two cores, by the clock on the wall, for which the
machine must be idle. Batches as the presets have them (100; default: 200), images and targets
bundled digits. Writes results/throughput.json with medians and the ratios to the published step,
turn by turn.

    published       the published step (`published.py`): 25 draws one after another
    looped          the paper preset, its 25 targets encoded one after another
    paper           the paper preset with 25 draws, as `mcevae fit --preset paper --pose-draws 25`
    default         the default preset once it has clusters
    ...-bf16        the same with --precision bf16
    ...-400         the same with batches of 400
    ...-unfused     the same, Adam as several kernels
    ...-returning   the same, memory given back to the system between steps
    ...-compiled    the same, networks through torch.compile, which needs a compiler
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import write_results
from published import BATCH, DRAWS, LoopedObjective, looped, published

from mcevae.base.machine import keep_memory
from mcevae.images.arrays import to_float
from mcevae.models.config import PRESETS, Config
from mcevae.runs.data import prepare_for
from mcevae.training.schedule import BATCH as BATCH_OF_MANY
from mcevae.training.trainer import Trainer

WAYS = (
    *("published", "looped", "paper", "paper-bf16", "paper-compiled", "default", "default-bf16"),
    *("default-400", "default-unfused", "default-returning", "default-compiled"),
)
THREADS = (1, 2)
SMALL = {"source": "mnist-mini", "limit": 2000}


def published_step() -> Callable[[], int]:
    """A step of the published model in a process as it starts, memory settings and all."""
    torch.manual_seed(0)
    model, objective = published(), looped()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = to_float(prepare_for(PRESETS["paper"]().changed(data=SMALL)).train.images.pixels[:BATCH])

    def step() -> int:
        objective(model, model, x).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return BATCH

    return step


def trainer_step(config: Config, options: Sequence[str] = (), *, each_draw: bool = False) -> Any:
    """A step of the package's own trainer on one batch, clusters drawn at random."""
    if "returning" not in options:
        keep_memory()
    trainer = Trainer(config, prepare_for(config), Path(tempfile.mkdtemp()))
    state = trainer.teacher.state()
    if "cluster" in state:
        drawn = torch.randint(0, config.model.room, state["cluster"].shape)
        trainer.teacher.restore({**state, "cluster": drawn})
    if each_draw:
        support = config.support.half_widths(trainer.inner.group)
        model: Any = trainer.inner
        model.objective = LoopedObjective(config.objective, model.group, support)
    if "unfused" in options:
        for group in trainer.optimizer.param_groups:
            group["fused"] = False
    if "compiled" in options:
        for network in trainer.inner.children():
            network.compile()
    batch = next(iter(trainer.loader))
    trainer.model.train()

    def step() -> int:
        terms = trainer.terms(batch)
        trainer.accelerator.backward(terms.loss)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        return len(batch["pixels"])

    return step


def way(name: str) -> Callable[[], int]:
    """The step of a way, which gives how many images it took."""
    base, *options = name.split("-")
    if base == "published":
        return published_step()
    config = PRESETS[base if base in PRESETS else "paper"]().changed(data=SMALL)
    if base == "default":
        config = config.changed(train={"batch_size": BATCH_OF_MANY})
    if base == "paper":
        config = config.changed(objective={"draws": DRAWS})
    if "bf16" in options:
        config = config.changed(train={"precision": "bf16"})
    if "400" in options:
        config = config.changed(train={"batch_size": 400})
    return trainer_step(config, options, each_draw=base == "looped")


def work(name: str, threads: int, pipe: Connection) -> None:
    """Take a step for each message; answers with images and seconds."""
    torch.set_num_threads(threads)
    now = time.process_time if threads == 1 else time.perf_counter
    step = way(name)
    while pipe.recv():
        started = now()
        images = step()
        pipe.send((images, now() - started))


def measure(ways: list[str], rounds: int, threads: int) -> dict[str, list[float]]:
    """Images a second of every way and turn; the first two turns warm up."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    workers = []
    for name in ways:
        pipes[name], theirs = context.Pipe()
        workers.append(context.Process(target=work, args=(name, threads, theirs)))
        workers[-1].start()
        theirs.close()
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 2):
        for name, pipe in pipes.items():
            pipe.send(True)
            images, seconds = pipe.recv()
            if turn > 1:
                rates[name].append(images / seconds)
    for pipe in pipes.values():
        pipe.send(False)
    for worker in workers:
        worker.join()
    return rates


def row(rates: list[float], base: list[float]) -> dict[str, float]:
    """Medians of a way's images a second and of their ratios, with the least and the most."""
    ratios = [a / b for a, b in zip(rates, base, strict=True)]
    return {
        "images_per_second": round(median(rates), 1),
        "times_published": round(median(ratios), 2),
        "least_times": round(min(ratios), 2),
        "most_times": round(max(ratios), 2),
    }


def main() -> None:
    """Measure all ways and store them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    arguments = parser.parse_args()
    found = {}
    for threads in THREADS:
        rates = measure(arguments.ways, arguments.rounds, threads)
        base = rates["published"]
        found[threads] = {name: row(values, base) for name, values in rates.items()}
        for name, way in found[threads].items():
            print(
                f"{threads}  {name:20s} {way['images_per_second']:7.0f}  {way['times_published']}"
            )
    what = {"turns": arguments.rounds, "draws": DRAWS}
    print(write_results("throughput", what | {"by_threads": found}))


if __name__ == "__main__":
    main()
