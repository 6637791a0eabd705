"""Kill commands at random moments, go on, and compare with what was never stopped.

    python benchmarks/kills.py --kills 100

Every life of a command is a process of its own, forked from one that has imported torch, which runs
the command line and is ended by SIGKILL: some at a moment drawn at random, others within the
next write of a file after one. Commands that search frames get Ctrl-C (SIGINT) as often, and must
then end by themselves, with exit code 130. Settings are tiny and writes frequent. After every kill,
what is on the disk is read and checked; then the command goes on. In the end weights, losses and
tables must be those of the unbroken command, number by number. The first thing that is not as it
must be ends the benchmark with an error.

Each command is killed so often, and results/kills.json says into what. It is written whenever a
run or a table has come to its end and was compared. Start the benchmark again and it makes the
kills that are still missing; `--anew` forgets what the file has. `--only "fit"` kills that command
alone.
"""

import argparse
import faulthandler
import filecmp
import importlib
import json
import multiprocessing
import os
import random
import re
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, cpu, unshare_locks, write_results
from PIL import Image
from pyarrow import csv, parquet
from scipy import sparse

from mcevae.images.loading import load as load_images
from mcevae.models.config import Config
from mcevae.predicting.parts import known_part, whole_part
from mcevae.runs.checkpoint import load, load_model, run_file
from mcevae.teaching.layout import laid_out
from mcevae.training.log import read_log

LOADED = [
    *(
        f"mcevae.{name}"
        for name in ("cli", "training.loop", "pages.report", "predicting.predictor", "runs.metrics")
    ),
    *(f"mcevae.{name}" for name in ("finding.finder", "tracking.sources", "scenes.learning")),
    *("mcevae.models.default", "mcevae.models.paper", "mcevae.models.neighbours"),
    *("torch._dynamo", "tensorboardX"),  # the optimizer and the log import them
    *("umap.umap_", "sklearn.mixture", "matplotlib.backends.backend_agg"),
]
"""What the process that all others are forked from imports."""
PART = 100
"""Images of a part of `predict`, so that there are many."""
AIMED = 0.6
"""Share of the kills that are aimed at a write."""
EARLY = 0.2
"""Share of the lives of a training that have a first answer: it takes as long as all the rest."""
PATIENCE = 600.0
"""Seconds by the clock, after which a command hangs: it says where, and ends with an error."""
LONGEST = 0.001
"""Seconds that a kill waits at most once a write that it is aimed at has begun."""
ON_FRAMES = ("fit --scenes", "find", "track")
COMMANDS = ("fit --preset paper", "fit", "predict", "predict --canonical", *ON_FRAMES)
FEW = 200
"""Images that trainings learn from, and are scored on. The time of a life is that of its start."""
TINY = "--batch-size 20 --checkpoint-minutes 0.0002"
PAPER = "--preset paper --filters 4 8 8 8 --hidden 32 --pose-hidden 16 --decoder-hidden 32"
DEFAULT = """--angles 8 --hidden 32 --templates 8 --subset 100 --neighbours 8 --restarts 2
--redraws 2"""
SCENES = """--scenes --size 28 --quick --clusters 3 --group so2 --rotation 40 --mirror False
--restarts 1 --searches 1"""
FRAMES, SIDE, THINGS = 6, 112, 9
"""Frames that are searched, their side in pixels, and the things in each."""


def warm_up() -> None:
    """Import and compile what all commands need, so that none begins with it."""
    for name in LOADED:
        importlib.import_module(name)
    unshare_locks()
    torch.set_num_threads(1)
    edges = sparse.csr_matrix(np.ones((8, 8)) - np.eye(8))
    laid_out(edges, np.eye(8), 2, init="random", seed=0, epochs=1)


def live(arguments: list[str], log: Path, early: bool) -> None:
    """Be `mcevae` with these arguments, in a process of its own.

    Args:
        arguments: of the command line.
        log: gets what it says.
        early: whether a training of few images has a first answer, too.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # until the command takes over
    from mcevae import cli
    from mcevae.images.sources.contract import Source
    from mcevae.teaching import layout
    from mcevae.training import first

    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.dump_traceback_later(PATIENCE, exit=True)  # it hangs
    Source.part_size = PART
    layout.LEAST = 1_000_000  # a map by principal components: UMAP takes longer than all the rest
    if early:
        first.LEAST_IMAGES = FEW // 2
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main(arguments)


@dataclass
class Task(ABC):
    """A command that is killed, gone on with and compared.

    Attributes:
        folder: of all that it writes.
        reach: share of the time of the unbroken command in which a kill is due, from its start.
        attempt: number of the run or table that is being made.
        killed: how many kills fell where: into the write of a file, or between writes.
        stages: how many kills fell into which stage, of a training that has stages.
        signals: a kill is one of these, drawn at random.
    """

    folder: Path
    reach: float = 0.5
    attempt: int = 0
    killed: Counter = field(default_factory=Counter)
    stages: Counter = field(default_factory=Counter)
    compared: Counter = field(default_factory=Counter)
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)

    @property
    def made(self) -> Path:
        """What the present attempt makes."""
        return self.named(str(self.attempt))

    @abstractmethod
    def named(self, name: str) -> Path:
        """What an attempt makes."""

    @abstractmethod
    def arguments(self, made: Path) -> list[str]:
        """The command that makes it, or goes on with it."""

    @abstractmethod
    def check(self) -> bool:
        """Look at what a kill has left; whether all is done that there is to compare."""

    @abstractmethod
    def compare(self) -> None:
        """What was made is what the unbroken command made."""

    def start(self, made: Path, early: bool = False) -> BaseProcess:
        """Begin a life of the command."""
        log = self.folder / "log.txt"
        process = multiprocessing.get_context("fork").Process(
            target=live, args=(self.arguments(made), log, early)
        )
        process.start()
        return process

    def finish(self, made: Path) -> float:
        """Let the command come to its end; the seconds of the processor that it took."""
        process, taken = self.start(made), 0.0
        while process.is_alive():
            taken = max(taken, cpu(process.pid))
            time.sleep(0.02)
        process.join()
        said = (self.folder / "log.txt").read_text()[-2000:]
        assert process.exitcode == 0, f"{self.arguments(made)} ended with {said}"
        return taken

    def half_written(self) -> dict[str, Path]:
        """Temporary files by the name of the file they would become; never two for one."""
        found: dict[str, Path] = {}
        for path in self.folder.rglob(".*.tmp"):
            match = re.fullmatch(r"\.(.+)\.\d+\.tmp", path.name)
            assert match, path
            name = str(path.with_name(match[1]).relative_to(self.folder))
            assert name not in found, f"{path} and {found[name]}"
            found[name] = path
        return found

    def kill(
        self, aimed: bool, moment: float, wait: float, early: bool, by: signal.Signals
    ) -> bool:
        """Begin a life and end it; whether it had not come to its end before.

        Args:
            aimed: whether to wait for the next write after the moment.
            moment: seconds of the processor after the start, whatever else the machine does.
            wait: seconds between the beginning of that write and the kill.
            early: see `live`.
            by: the signal.
        """
        process = self.start(self.made, early)
        mine = f".{process.pid}.tmp"
        due = False
        while process.is_alive():
            due = due or cpu(process.pid) >= moment
            if not due:
                time.sleep(0.002)
            elif not aimed or any(name.endswith(mine) for name in self.written_now()):
                time.sleep(wait * aimed)
                assert process.pid is not None
                os.kill(process.pid, by)
                break
        process.join()
        if process.exitcode == 0:
            return False
        said = (self.folder / "log.txt").read_text()[-2000:]
        asked = 130 if by == signal.SIGINT else -by
        assert process.exitcode == asked, f"{self.arguments(self.made)} ended with {said}"
        if len(self.signals) > 1:
            self.stages[by.name] += 1
        within = [n for n, path in self.half_written().items() if path.name.endswith(mine)]
        self.killed[kind(within[0]) if within else "between writes"] += 1
        self.note_stage()
        return True

    def note_stage(self) -> None:  # noqa: B027  most commands have none
        """Count the stage that a kill fell into."""

    def written_now(self) -> list[str]:
        """Names of the files where the command writes."""
        found = []
        for folder in self.places():
            with suppress(FileNotFoundError):
                found += os.listdir(folder)
        return found

    @abstractmethod
    def places(self) -> list[Path]:
        """Folders that the command writes into."""


def kind(name: str) -> str:
    """What a file is, whatever its attempt and number."""
    path = Path(name)
    if path.parent.name.endswith(".parts"):
        return "mark of the parts" if path.name == "identity" else "part of a table"
    return "table" if path.name.startswith("table") else path.name


@dataclass
class Training(Task):
    """`fit` and `resume`.

    Attributes:
        flags: of `fit`.
        source: of the images.
        staged: whether it learns poses before clusters.
        seen: epoch and step that the last checkpoint of the present attempt had.
    """

    flags: str = ""
    source: Path = Path()
    staged: bool = False
    seen: tuple[int, int] = (0, 0)

    def named(self, name: str) -> Path:
        """See `Task`."""
        return self.folder / name

    def places(self) -> list[Path]:
        """See `Task`."""
        return [self.made, self.made / "figures"]

    def arguments(self, made: Path) -> list[str]:
        """See `Task`."""
        if (made / "settings.toml").exists():
            return ["resume", str(made)]
        return ["fit", str(self.source), "--out", str(made), *TINY.split(), *self.flags.split()]

    def note_stage(self) -> None:
        """See `Task`. The last checkpoint says how far the training had come."""
        if self.staged:
            last = run_file(self.made, "last")
            position = load(last)[1]["position"] if last.exists() else {"epoch": 0, "step": 0}
            self.stages[stage(position)] += 1

    def check(self) -> bool:
        """Every file is whole, and no saved step is lost."""
        run, last = self.made, run_file(self.made, "last")
        self.half_written()
        if not last.exists():
            assert self.seen == (0, 0), f"{last} is gone"
            return False
        position = load(last)[1]["position"]
        now = (position["epoch"], position["step"])
        assert now >= self.seen, f"{last}: from {self.seen} back to {now}"
        self.seen = now
        if run_file(run, "best").exists():
            load_model(run)
        rows = [(row["epoch"], row["split"]) for row in read_log(run)]
        assert rows == [(e, s) for e in range(len(rows) // 2) for s in ("train", "validation")]
        assert len(rows) // 2 in (now[0], now[0] + 1), f"{run}: {len(rows)} rows at {now}"
        if now[0] < Config.read(run / "settings.toml").train.epochs:
            return False
        self.seen = (0, 0)
        return True

    def compare(self) -> None:
        """See `Task`."""
        unbroken = self.named("unbroken")
        assert losses(self.made) == losses(unbroken), f"{self.made}: other losses"
        for which in ("last", "best"):
            ours, about = load(run_file(self.made, which))
            theirs, _ = load(run_file(unbroken, which))
            assert ours.keys() == theirs.keys()
            same = [name for name in ours if ours[name].equal(theirs[name])]
            assert len(same) == len(ours), f"{self.made}, {which}: other {set(ours) - set(same)}"
            self.compared["tensors"] += len(same)
        self.compared["epochs"] += about["position"]["epochs"]
        self.compared["runs"] += 1


def stage(position: dict[str, Any]) -> str:
    """What a training of preset default was doing after this position."""
    if (position["epoch"], position["step"]) == (0, 0):
        return "first poses"
    if not position["warmup"]:
        return "learning poses, or first clusters"
    if position["epoch"] >= position["epochs"]:
        return "scores and report"
    return "learning both, or redraws"


def losses(run: Path) -> list[dict[str, Any]]:
    """The log without times."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(run)]


@dataclass
class Prediction(Task):
    """`predict`.

    Attributes:
        run: whose model predicts.
        source: of the images.
        ending: of the table.
        pictures: whether canonical and upright images are asked for.
    """

    run: Path = Path()
    source: Path = Path()
    ending: str = ".parquet"
    pictures: bool = False

    def named(self, name: str) -> Path:
        """See `Task`."""
        return self.folder / f"table-{name}{self.ending}"

    def places(self) -> list[Path]:
        """See `Task`."""
        return [self.folder, self.folder / f".{self.made.name}.parts"]

    def arguments(self, made: Path) -> list[str]:
        """See `Task`."""
        drawn = ["--canonical", str(made.with_suffix(""))] if self.pictures else []
        return ["predict", str(self.run), str(self.source), "--out", str(made), *drawn]

    def check(self) -> bool:
        """The table is whole or not there, and its parts follow one another."""
        self.half_written()
        ids = [
            number
            for path in sorted((self.folder / f".{self.made.name}.parts").glob("*.part"))
            for number in whole_part(path)["id"].to_pylist()
        ]
        assert ids == list(range(len(ids))), f"{self.made}: rows {ids}"
        if self.made.exists():
            assert self.rows(self.made).equals(self.rows(self.named("unbroken"))), self.made
        return False

    def rows(self, table: Path) -> Any:
        """A table as it was written."""
        return parquet.read_table(table) if self.ending == ".parquet" else csv.read_csv(table)

    def compare(self) -> None:
        """See `Task`."""
        unbroken = self.named("unbroken")
        ours, theirs = self.rows(self.made), self.rows(unbroken)
        assert ours.equals(theirs), f"{self.made}: {len(ours)} rows, not the {len(theirs)} it has"
        named = (path.with_suffix(".skipped.csv").read_text() for path in (self.made, unbroken))
        assert len(set(named)) == 1
        assert not (self.folder / f".{self.made.name}.parts").exists()
        self.compared["tables"] += 1
        self.compared["rows"] += len(ours)
        if self.pictures:
            left, right = unbroken.with_suffix(""), self.made.with_suffix("")
            names = [p.relative_to(left) for p in left.rglob("*.png")]
            same, other, missing = filecmp.cmpfiles(left, right, map(str, names), shallow=False)
            assert not other and not missing, f"{right}: {other} {missing}"
            self.compared["pictures"] += len(same)


BOTH = (signal.SIGKILL, signal.SIGINT)


@dataclass
class Search(Task):
    """`find` and `track`.

    Attributes:
        command: its name.
        run: whose things are found.
        source: of the frames.
    """

    command: str = "find"
    run: Path = Path()
    source: Path = Path()

    def named(self, name: str) -> Path:
        """See `Task`."""
        return self.folder / f"table-{name}.parquet"

    def parts(self) -> Path:
        """Where the parts of the present table are; those of tracks are finds."""
        ending = ".finds.parquet" if self.command == "track" else ".parquet"
        return self.folder / f".{self.made.stem}{ending}.parts"

    def places(self) -> list[Path]:
        """See `Task`."""
        return [self.folder, self.parts()]

    def arguments(self, made: Path) -> list[str]:
        """See `Task`."""
        return [self.command, str(self.run), str(self.source), "--out", str(made)]

    def check(self) -> bool:
        """The table is whole or not there, and so are its parts."""
        self.half_written()
        for path in self.parts().glob("*.part"):
            whole_part(path)
        if self.made.exists():
            self.same()
        return self.made.exists() and not (self.parts() / "identity").exists()

    def same(self) -> int:
        """Rows of the table, which is that of the unbroken command."""
        ours, theirs = (parquet.read_table(p) for p in (self.made, self.named("unbroken")))
        assert ours.equals(theirs), f"{self.made}: {len(ours)} rows, not the {len(theirs)} it has"
        return len(ours)

    def compare(self) -> None:
        """See `Task`."""
        self.compared["rows"] += self.same()
        self.compared["tables"] += 1


@dataclass
class Scenes(Task):
    """`fit --scenes`.

    Attributes:
        source: of the frames.
    """

    source: Path = Path()

    def named(self, name: str) -> Path:
        """See `Task`."""
        return self.folder / name

    def places(self) -> list[Path]:
        """See `Task`."""
        return [self.made, *(path for path in self.made.glob("scenes/**") if path.is_dir())]

    def arguments(self, made: Path) -> list[str]:
        """See `Task`."""
        return ["fit", str(self.source), "--out", str(made), *SCENES.split()]

    def check(self) -> bool:
        """Everything that is there is whole; the folder of its steps goes last."""
        self.half_written()
        for path in self.made.glob("scenes/**/*.part"):
            assert known_part(path) is not None, path
        if run_file(self.made, "best").exists():
            load_model(self.made)
        return (self.made / "scenes.json").exists() and not (self.made / "scenes/identity").exists()

    def compare(self) -> None:
        """See `Task`."""
        ours, theirs = self.made, self.named("unbroken")
        for name in ("crops.csv", "scenes.json"):
            before, after = ((run / name).read_text() for run in (theirs, ours))
            assert before.replace(str(theirs), "") == after.replace(str(ours), ""), ours / name
        one, other = (parquet.read_table(run / "places.parquet") for run in (ours, theirs))
        assert one.equals(other), f"{ours}: other places"
        one, other = (load(run_file(run, "best"))[0] for run in (ours, theirs))
        same = [name for name in one if one[name].equal(other[name])]
        assert len(same) == len(one) == len(other), f"{ours}: other weights"
        self.compared["places"] += len(parquet.read_table(ours / "places.parquet"))
        self.compared["runs"] += 1


def harass(task: Task, kills: int, moments: random.Random) -> Iterator[dict[str, Any]]:
    """Kill a task so often, and compare whatever comes to an end.

    Yields:
        What was done so far, whenever something has come to its end.
    """
    started = time.perf_counter()
    seconds = task.finish(task.named("unbroken"))
    done = 0
    while done < kills:
        aimed = moments.random() < AIMED
        moment, wait = moments.uniform(0, task.reach * seconds), moments.uniform(0, LONGEST)
        early, by = moments.random() < EARLY, moments.choice(task.signals)
        killed = task.kill(aimed, moment, wait, early, by)
        done += killed
        complete = task.check() or not killed
        if not complete and done < kills:
            continue
        if not complete:
            task.finish(task.made)
        task.compare()
        left = [path for path in task.half_written().values() if path.is_relative_to(task.made)]
        assert complete or not left, f"{left} are left of processes that are no more"
        task.attempt += 1
        yield {
            "kills": done,
            "into": dict(task.killed),
            "stages": dict(task.stages),
            "same as unbroken": dict(task.compared),
            "seconds": round(time.perf_counter() - started),
        }


def added(one: Any, other: Any) -> Any:
    """Two counts, or two trees of counts, added up. None is nothing."""
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, dict):
        return {key: added(one.get(key), other.get(key)) for key in one | other}
    return one + other


def people_s_files(folder: Path, stacks: int) -> Path:
    """A folder of stacks of 200 images and of 100 single ones, and of two broken files."""
    pixels = load_images("mnist-mini").train.pixels[: 200 * stacks + 100, 0].numpy()
    folder.mkdir()
    for i, stack in enumerate(np.split(pixels[100:], stacks)):
        np.save(folder / f"stack{i}.npy", stack)
    for i, image in enumerate(pixels[:100]):
        Image.fromarray(image).save(folder / f"single{i:02}.png")
    (folder / "broken.png").write_bytes(b"none")
    (folder / "zero.jpg").write_bytes(b"")
    return folder


def frames_of_things() -> np.ndarray:
    """Frames with nine things each, one in each cell of a grid, of three kinds."""
    rng, digits = np.random.default_rng(0), load_images("mnist-mini").train.pixels[:3, 0].numpy()
    frames = rng.normal(25, 8, (FRAMES, SIDE, SIDE))
    for frame in frames:
        for cell in range(THINGS):
            left, top = (37 * n + int(rng.integers(0, 9)) for n in (cell % 3, cell // 3))
            frame[top : top + 28, left : left + 28] += 0.8 * digits[rng.integers(3)]
    return frames.clip(0, 255).astype(np.uint8)


def main() -> None:
    """Harass all tasks and write down what came of it."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--kills", type=int, default=100, help="of each command")
    parser.add_argument("--only", action="append", choices=COMMANDS, help="may be given again")
    parser.add_argument(
        "--anew", action="store_true", help="forget the kills that were made before"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for kills.json")
    arguments = parser.parse_args()
    warm_up()
    kept = arguments.results / "kills.json"
    old = json.loads(kept.read_text())["commands"] if kept.exists() and not arguments.anew else {}
    with tempfile.TemporaryDirectory() as name:
        tasks = tasks_in(Path(name))
        chosen = [what for what in COMMANDS if what in (arguments.only or COMMANDS)]
        for what, needed in MAKERS.items():
            if what not in chosen and needed & set(chosen):
                tasks[what].finish(tasks[what].named("unbroken"))
        for what in chosen:
            before = old.get(what, {})
            made = before.get("kills", 0)
            if made >= arguments.kills:
                continue
            moments = random.Random(f"{arguments.seed} {what} {made}")
            for found in harass(tasks[what], arguments.kills - made, moments):
                old[what] = added(before, found)
                store(old, arguments.seed, arguments.results)
            print(f"{what}: {json.dumps(old[what])}", flush=True)


MAKERS = {
    "fit --preset paper": {"predict", "predict --canonical"},
    "fit --scenes": {"find", "track"},
}
"""Commands whose unbroken run other commands read."""


def tasks_in(base: Path) -> dict[str, Task]:
    """All commands, with their files in a folder. Tables are made by unbroken runs (`MAKERS`)."""
    for name in ("paper", "default", "table", "pictures", "scenes", "find", "track"):
        (base / name).mkdir()
    learned = base / "learned.npy"
    np.save(learned, load_images("mnist-mini").train.pixels[:FEW, 0].numpy())
    source, few = people_s_files(base / "source", 7), people_s_files(base / "few", 1)
    run = base / "paper" / "unbroken"
    scenes, frames = base / "scenes", base / "frames.npy"
    np.save(frames, frames_of_things())
    searching: dict[str, Any] = dict(run=scenes / "unbroken", source=frames, signals=BOTH)
    paper, default = f"{PAPER} --clusters 4 --epochs 4", f"{DEFAULT} --clusters 3 --epochs 4"
    return {
        "fit --preset paper": Training(base / "paper", flags=paper, source=learned),
        # Of this one, the first half is needed before there is anything to go on with.
        "fit": Training(base / "default", 0.9, flags=default, source=learned, staged=True),
        "predict": Prediction(base / "table", run=run, source=source),
        "predict --canonical": Prediction(
            base / "pictures", run=run, source=few, ending=".csv", pictures=True
        ),
        "fit --scenes": Scenes(scenes, 0.9, source=frames, signals=BOTH),
        "find": Search(base / "find", 0.9, command="find", **searching),
        "track": Search(base / "track", 0.9, command="track", **searching),
    }


def store(commands: dict[str, Any], seed: int, folder: Path) -> None:
    """Write down what was done so far."""
    total = sum(one["kills"] for one in commands.values())
    within = total - sum(one["into"].get("between writes", 0) for one in commands.values())
    content = {
        "what": f"Kills of tiny runs on {FEW} digits, of predict on 1,500 images, and on {FRAMES} "
        f"frames of {THINGS} things (half of these by SIGINT)",
        "seed": seed,
        "kills": total,
        "kills within a write": within,
        "seconds": sum(one["seconds"] for one in commands.values()),
        "commands": {what: commands[what] for what in COMMANDS if what in commands},
    }
    write_results("kills", content, folder=folder)


if __name__ == "__main__":
    main()
