"""Open hostile runs with every command, with at most 1 GiB of memory and 20 seconds.

    python benchmarks/hostile_runs.py
    python benchmarks/hostile_runs.py --sample 20

A run is made for every setting of every preset at each of its extremes, with weights that fit, and
for every file of a run as a link, a pipe, a device, a folder, 10 GB without content, deep JSON or
nothing (`tests/hostile_runs.py`). A process of its own, forked from one that has imported torch,
opens it with every command and with Python. It may take 1 GiB more than it starts with, and 20
seconds of the processor for each command; what waits for anything longer than two minutes hangs.
Each must end with what it is for, or in one sentence. Nothing outside the run's folder may be read,
written or shown. `--sample N` opens N runs of each kind, always the same ones. Anything else is a
finding: it is printed, and the exit code is 1. Writes results/hostile_runs.json. Linux only.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from common import RESULTS, write_results

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the runs are shared with the tests

from tests.hostile_runs import (  # noqa: E402
    CANARY,
    KINDS,
    NAMES,
    PRESETS,
    SOURCE,
    Config,
    base,
    extremes,
    images,
    write_run,
)

MEMORY = 2**30
"""Bytes that a command may take."""
RESERVED = 4 * MEMORY
"""Bytes that it may reserve, which spares the machine: stacks and allocators reserve what they may
never use. What counts is what is in memory."""
SECONDS = 20.0
"""Seconds of the processor for a command."""
PATIENCE = 120.0
"""Seconds by the clock, after which a command hangs."""
STOP = 5.0
"""Seconds after which `resume` is told to stop; how long it trains is up to its owner."""
LOADED = ["tests.hostile_runs", "mcevae.cli", "mcevae.estimator", "mcevae.pages.serve"]
LOADED += ["mcevae.pages.report", "mcevae.pages.listen", "mcevae.predicting.engines"]
LOADED += ["mcevae.training.loop", "mcevae.exporting.interchange", "torch._dynamo", "tensorboardX"]
"""What the process that all others are forked from has imported."""
RUN = "run"
COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", RUN],
    "report": ["report", RUN],
    "predict": [
        *("predict", RUN, SOURCE, "--out", "out/table.csv", "--canonical", "out/pictures"),
        "--force",  # whatever images a stranger's run learned from
    ],
    "groups": ["groups", RUN, "--rename", "0", "zero"],
    "export": ["export", RUN, "--to", "embedding-atlas", "--out", "out/atlas"],
    "serve": ["serve", RUN],
    "resume": ["resume", RUN],
}
PATHS = ("/", "/api/groups", "/api/images", "/api/images/0/strip.png", "/api/table.csv")
PATHS += ("/figures/curves.png", "/api/canonical.zip")


@dataclass(frozen=True)
class Case:
    """A hostile run.

    Attributes:
        kind: settings or files.
        name: what is hostile about it.
        make: writes it, and says whether it can be made; it is given the folder around the run.
    """

    kind: str
    name: str
    make: Callable[[Path], bool]


@dataclass
class Found:
    """What came of the cases of a kind."""

    runs: int = 0
    not_made: int = 0
    openings: Counter = field(default_factory=Counter)
    peak: float = 0.0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


def settings_cases() -> Iterator[Case]:
    """Runs with a setting at an extreme."""
    for preset in PRESETS:
        for name, config in extremes(preset):
            yield Case("settings", name, lambda place, c=config: write_run(place / RUN, c))


def file_cases() -> Iterator[Case]:
    """Runs with a file that is something else."""
    for name in NAMES:
        for kind in KINDS:
            yield Case("files", f"{name}: {kind}", lambda p, n=name, k=kind: replaced(p, n, k))
    for kind in ("link to /dev/zero", "pipe", "device", "folder", "sparse", "deep JSON"):
        yield Case("files", f"labels: {kind}", lambda place, k=kind: labelled(place, k))


def replaced(place: Path, name: str, kind: str) -> bool:
    """A run of preset paper with a file that is something else."""
    write_run(place / RUN, base("paper"))
    path = place / RUN / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    return attempted(lambda: KINDS[kind](path, place / "outside"))


def labelled(place: Path, kind: str) -> bool:
    """A run whose table of labels is something else."""
    path = (place / "labels.csv").resolve()
    write_run(place / RUN, base("paper"))
    config = Config.read(place / RUN / "settings.toml").changed(data={"labels": str(path)})
    from mcevae.runs.checkpoint import load, run_file, save

    for which in ("best", "last"):
        tensors, state = load(run_file(place / RUN, which))
        state.pop("format")
        save(run_file(place / RUN, which), tensors, {**state, "config": config.to_dict()})
    (place / RUN / "settings.toml").write_text(config.to_toml())
    return attempted(lambda: KINDS[kind](path, place / "outside"))


def attempted(make: Callable[[], object]) -> bool:
    """Whether something could be made; only root makes devices."""
    try:
        make()
    except PermissionError:
        return False
    return True


def make(case: Case, place: Path, to: Connection) -> None:
    """Write a run, in a process of its own; no memory is limited."""
    os.chdir(place)
    to.send(case.make(place))


def live(place: Path, to: Connection) -> None:
    """Open a run with every command, in a process of its own, and send what came of each."""
    import torch

    from mcevae.teaching import layout

    os.chdir(place)
    log = Path("log.txt").open("w+")  # noqa: SIM115  until the process ends
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    torch.set_num_threads(1)
    layout.LEAST = 1_000_000  # a map by principal components, which needs no compiler
    held = numbers_of("/proc/self/status")
    most = held["VmData"] + RESERVED
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = held["VmRSS"]
    for name in (*COMMANDS, "from_pretrained", "open_run"):
        to.send(("begin", name, 0, 0))
        log.truncate(0)
        started = time.process_time()
        Path("/proc/self/clear_refs").write_text("5")  # of the largest size so far
        outcome = opened(name)
        sys.stdout.flush()
        said = Path("log.txt").read_text(errors="replace")
        peak = numbers_of("/proc/self/status")["VmHWM"] - before
        to.send((judged(outcome, said), name, peak, time.process_time() - started))
    to.send(("end", "", 0, 0))


def numbers_of(path: str) -> dict[str, int]:
    """The sizes in a status file of the kernel, in bytes."""
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[-1:] == ["kB"]}


def opened(name: str) -> str:
    """Open the run in one way; what it ended with."""
    from mcevae import MCEVAE, cli, open_run

    pixels = __import__("numpy").load(SOURCE)[:3]
    try:
        if name == "from_pretrained":
            MCEVAE.from_pretrained(RUN).predict(pixels)
        elif name == "open_run":
            open_run(RUN).predict(pixels)
        elif name == "serve":
            served([*COMMANDS[name]])
        elif name == "resume":
            alarm = threading.Timer(STOP, os.kill, (os.getpid(), signal.SIGTERM))
            alarm.start()
            try:
                cli.main(COMMANDS[name])
            finally:
                alarm.cancel()
        else:
            cli.main(COMMANDS[name])
    except SystemExit as stopped:
        return f"exit {stopped.code or 0}"
    except BaseException as error:
        if type(error).__name__ in ("UserError", "ValueError") and "pretrained" in name + "-open":
            return "refused"
        if name == "open_run" and type(error).__name__ == "UserError":
            return "refused"
        frames = traceback.extract_tb(error.__traceback__)[-2:]
        where = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        return f"{type(error).__name__} at {where}: {error}"
    return "exit 0"


def served(arguments: list[str]) -> None:
    """Serve the run, ask for everything, and end the server by TERM."""
    from mcevae import cli

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    over = threading.Event()

    def ask() -> None:
        import httpx

        while not over.is_set():
            try:
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as web:
                    for path in PATHS:
                        answer = web.get(path)
                        if answer.status_code >= 500:
                            print(f"SERVER ERROR {path}", flush=True)
                        if CANARY.encode() in answer.content:
                            print(CANARY, flush=True)
                break
            except httpx.HTTPError:
                over.wait(0.1)
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        cli.main([*arguments, "--port", str(port)])
    finally:
        over.set()
        asking.join()


def judged(outcome: str, said: str) -> str:
    """answered, refused, or what is wrong."""
    last = said.strip().splitlines()[-1] if said.strip() else ""
    for word in ("not enough memory", "Traceback", "SERVER ERROR", CANARY):
        if word in said:
            return f"{word}: {last[:300]}"
    if outcome in ("exit 0", "exit 143"):
        return "answered"
    told = last.startswith("mcevae: ") and "Errno" not in last
    if outcome == "refused" or (outcome in ("exit 2", "exit 1") and told):
        return "refused"
    return f"{outcome}: {last}"[:400]


def state_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size and times of all files of a folder."""
    states = {str(path): path.lstat() for path in [folder, *folder.rglob("*")]}
    return {
        name: (one.st_size, one.st_mtime_ns, one.st_atime_ns if Path(name).is_file() else 0)
        for name, one in states.items()
    }


def open_case(case: Case, place: Path, found: Found) -> None:
    """Make a run, open it in every way, and note what came of it."""
    (place / RUN).mkdir(parents=True)
    (place / "outside").mkdir()
    images(place)
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()
    maker = context.Process(target=make, args=(case, place, other))
    maker.start()
    other.close()
    try:
        made = mine.recv()
    except EOFError:
        made = None
    maker.join()
    if made is None:
        found.findings.append(f"{case.name}: could not be made")
    if not made:
        found.not_made += 1
        return
    for path in (place / "outside").rglob("*"):
        if path.is_file():
            os.utime(path, (1, time.time()))  # reading it would change the first
    before = state_of(place / "outside")
    found.runs += 1
    watch(case, place, found)
    if state_of(place / "outside") != before:
        found.findings.append(f"{case.name}: another folder was read or written")
    for path in place.rglob("*"):
        inside = path.is_file() and not path.is_symlink() and "outside" not in path.parts
        small = inside and path.stat().st_size < 2**27
        if small and path.name != "log.txt" and CANARY.encode() in path.read_bytes():
            found.findings.append(f"{case.name}: {path.name} shows another folder's file")


def watch(case: Case, place: Path, found: Found) -> None:
    """Let a process open a run, and end it if a command takes too long."""
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()
    process = context.Process(target=live, args=(place, other))
    process.start()
    other.close()
    command, begun, used = "start", time.monotonic(), 0.0
    while True:
        if mine.poll(0.2):
            try:
                what, name, peak, seconds = mine.recv()
            except EOFError:
                process.join()
                found.findings.append(f"{case.name}: {command} ended the process")
                break
            if what == "end":
                break
            if what == "begin":
                command, begun, used = name, time.monotonic(), cpu(process.pid)
                continue
            found.peak, found.seconds = max(found.peak, peak), max(found.seconds, seconds)
            usual = what in ("answered", "refused")
            found.openings[what if usual else "wrong"] += 1
            if not usual or peak > MEMORY:
                more = "" if usual else f": {what}"
                found.findings.append(f"{case.name}: {name}{more} ({peak / 2**20:.0f} MiB)")
        elif cpu(process.pid) - used > SECONDS or time.monotonic() - begun > PATIENCE:
            found.openings["wrong"] += 1
            found.findings.append(f"{case.name}: {command} took too long")
            break
    process.kill()
    process.join()


def cpu(pid: int | None) -> float:
    """Seconds of the processor that a process has taken."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def report(found: dict[str, Found]) -> list[dict[str, Any]]:
    """What came of all cases, as values for JSON."""
    return [
        {
            "kind": kind,
            "runs": one.runs,
            "not made": one.not_made,
            "openings": sum(one.openings.values()),
            **dict(sorted(one.openings.items())),
            "largest_mib": round(one.peak / 2**20),
            "longest_seconds": round(one.seconds, 1),
            "findings": one.findings,
        }
        for kind, one in found.items()
    ]


def main() -> None:
    """Open all runs, and write down what came of it."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sample", type=int, help="runs of each kind; all if it is not given")
    parser.add_argument("--only", help="only runs with this text in their name")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    arguments = parser.parse_args()
    for module in LOADED:
        __import__(module)
    found: dict[str, Found] = {}
    for cases in (list(file_cases()), list(settings_cases())):
        chosen = [case for case in cases if arguments.only is None or arguments.only in case.name]
        if arguments.sample and len(chosen) > arguments.sample:
            chosen = random.Random(0).sample(chosen, arguments.sample)
        for i, case in enumerate(chosen):
            one = found.setdefault(case.kind, Found())
            before = len(one.findings)
            with tempfile.TemporaryDirectory() as folder:
                open_case(case, Path(folder).resolve() / "place", one)
            for finding in one.findings[before:]:
                print(f"FOUND {finding}", flush=True)
            if i % 20 == 19:
                print(f"{case.kind}: {i + 1} of {len(chosen)}", flush=True)
    content = {
        "memory_gib": MEMORY / 2**30,
        "seconds": SECONDS,
        "sample": arguments.sample,
        "rows": report(found),
    }
    print(write_results("hostile_runs", content, folder=arguments.results))
    print(json.dumps([{**row, "findings": len(row["findings"])} for row in content["rows"]]))
    sys.exit(any(one.findings for one in found.values()))


if __name__ == "__main__":
    main()
