"""Open hostile runs with every command, with at most 1 GiB of memory and 20 seconds.

    python benchmarks/hostile_runs.py
    python benchmarks/hostile_runs.py --sample 20

A run is made for every setting of every preset at each of its extremes, with weights that fit, and
for every file of a run as a link, a pipe, a device, a folder, 10 GB without content, deep JSON or
nothing (`tests/hostile_runs.py`). A process of its own, forked from one that has done everything
once, opens it with every command and with Python. It may take 1 GiB more than it starts with, and
20 seconds of the processor for each command; what waits for anything longer than two minutes hangs.
Each must end with what it is for, or in one sentence. Nothing outside the run's folder may be read,
written or shown. Of settings that decide about the model, ONNX graphs are written as well, in 90
seconds: torch takes up to 30 for any model.

Anything else is a finding: it is printed, and the exit code is 1. `--sample N` opens N runs of each
kind, always the same ones. Writes results/hostile_runs.json, also on the way. Start the benchmark
again and it opens the runs that are still missing, and those with findings; `--anew` forgets what
the file has. Linux only.
"""

import argparse
import ctypes
import gc
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from common import RESULTS, cpu, unshare_locks, write_results

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the runs are shared with the tests

from tests.hostile_runs import (  # noqa: E402
    CANARY,
    KINDS,
    NAMES,
    PRESETS,
    SAVED_NAMES,
    SOURCE,
    Config,
    base,
    extremes,
    images,
    write_begun,
    write_run,
    write_saved,
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
GRAPHS = 90.0
"""Seconds of the processor for ONNX graphs."""
RUN, SAVED = "run", "saved"
COMMANDS: dict[str, list[str]] = {
    "evaluate": ["evaluate", RUN],
    "report": ["report", RUN],
    "predict": [
        *("predict", RUN, SOURCE, "--out", "out/table.csv", "--canonical", "out/pictures"),
        "--force",  # whatever images a stranger's run learned from
    ],
    "groups": ["groups", RUN, "--rename", "0", "zero"],
    "export": ["export", RUN, "--to", "embedding-atlas", "--out", "out/atlas"],
    "averages": ["averages", RUN, "--out", "out/averages.npy"],
    "serve": ["serve", RUN],
    "resume": ["resume", RUN],  # last: it changes the run
    "onnx": ["export", RUN, "--to", "onnx", "--out", "out/graphs"],
}
OPENINGS = (*(name for name in COMMANDS if name not in ("resume", "onnx")), "open_run")
OPENINGS += ("from_pretrained", "resume")
"""What every run is opened with."""
KINDS_OF_CASES = ("files", "saved models", "settings", "begun", "graphs")
SHAPING = ("model", "peer", "support")
"""Parts of the settings that decide what is in an ONNX graph."""
BEGINNING = ("model", "peer", "start")
"""Parts of the settings that decide how a training begins."""
PATHS = ("/", "/api/groups", "/api/images", "/api/images/0/strip.png", "/api/table.csv")
PATHS += ("/figures/curves.png", "/api/canonical.zip")


@dataclass(frozen=True)
class Case:
    """A hostile run.

    Attributes:
        kind: one of `KINDS_OF_CASES`. Of begun trainings and of graphs, settings are hostile.
        name: what is hostile about it.
        make: writes it, and says whether it can be made; it is given the folder around the run.
        openings: what it is opened with.
        late: whether it comes after the others, as runs of peers do.
    """

    kind: str
    name: str
    make: Callable[[Path], bool]
    openings: tuple[str, ...] = OPENINGS
    late: bool = False


@dataclass
class Found:
    """What came of the cases of a kind.

    Attributes:
        cases: how many there are.
        tried: how many were tried so far, in their order.
        not_made: of how many of them no run can be made.
        openings: how often each outcome was seen, of cases without findings.
        peak: the most memory that an opening took, bytes.
        seconds: the most time of the processor that one took.
        findings: what is wrong, by the name of the case.
    """

    cases: int = 0
    tried: int = 0
    not_made: int = 0
    openings: Counter = field(default_factory=Counter)
    peak: float = 0.0
    seconds: float = 0.0
    findings: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, other: "Found") -> None:
        """Add what came of one case."""
        self.findings.pop(name, None)
        if other.findings:
            self.findings |= other.findings
            return
        self.not_made += other.not_made
        self.openings += other.openings
        self.peak, self.seconds = max(self.peak, other.peak), max(self.seconds, other.seconds)


def settings_cases(presets: list[str]) -> Iterator[Case]:
    """Runs of these presets with a setting at an extreme."""
    for preset in presets:
        late = preset not in ("default", "quick", "paper")
        for name, configs in extremes(preset):
            case, part, first = f"{preset}: {name}", name.split(".")[0], configs[0]
            made = partial(written, configs=configs)
            yield Case("settings", case, made, late=late)
            if part in BEGINNING:
                begun = partial(begun_at, config=first)
                yield Case("begun", case, begun, ("resume",), late)
            if part in SHAPING and len(configs) > 1:
                yield Case("graphs", case, made, ("onnx",), late)


def begun_at(place: Path, config: Config) -> bool:
    """Write a run that has nothing but settings."""
    return write_begun(place / RUN, config)


def written(place: Path, configs: list[Config]) -> bool:
    """Write a run with the first of these settings with which one can be made, and a saved model.

    Those with more weights than a stranger's small file holds cannot be made.
    """
    if any(write_run(place / RUN, config) for config in configs):
        return write_saved(place / SAVED, place / RUN)
    return False


def file_cases() -> Iterator[Case]:
    """Runs and saved models with a file that is something else."""
    for kind in KINDS:
        for name in NAMES:
            yield Case(
                "files", f"{name}: {kind}", lambda p, n=name, k=kind: replaced(p / RUN, n, k)
            )
        for name in SAVED_NAMES:
            make = partial(saved_and_replaced, name=name, kind=kind)
            yield Case("saved models", f"{name}: {kind}", make, ("from_pretrained",))
    for kind in ("link to /dev/zero", "pipe", "device", "folder", "sparse", "deep JSON"):
        for setting in ("labels", "features", "source"):
            make = partial(named, setting=setting, kind=kind)
            yield Case("files", f"data.{setting}: {kind}", make)
    for kind in KINDS:
        yield Case("files", f"joined sources: {kind}", partial(joined, kind=kind))


def usual_run(place: Path, preset: str = "paper") -> Path:
    """A run that is not hostile, with a first answer."""
    write_run(place, base(preset))
    write_run(place / "first-answer", base("quick"))
    return place


def replaced(run: Path, name: str, kind: str) -> bool:
    """Write a run with a file that is something else."""
    return put(usual_run(run) / name, kind)


def saved_and_replaced(place: Path, name: str, kind: str) -> bool:
    """Write a saved model with a file that is something else."""
    write_run(place / RUN, base("default"))
    write_saved(place / SAVED, place / RUN)
    return put(place / SAVED / name, kind)


def put(path: Path, kind: str) -> bool:
    """Put something else in the place of a file or folder of a run or saved model."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    return attempted(lambda: KINDS[kind](path, Path.cwd() / "outside"))


def named(place: Path, setting: str, kind: str) -> bool:
    """Write a run whose table of labels, features or images is something else."""
    path = (place / f"{setting}.npy").resolve()
    run, preset = place / RUN, "paper" if setting == "labels" else "default"
    write_run(run, base(preset))
    with_setting(run, setting, path)
    return put(path, kind)


def joined(place: Path, kind: str) -> bool:
    """Write a run of several sources, whose file that names them is something else."""
    run = place / RUN
    write_run(run, base("default"))
    with_setting(run, "source", run / "sources.json")
    return put(run / "sources.json", kind)


def with_setting(run: Path, setting: str, path: Path) -> None:
    """Give a run another path among the settings of its images."""
    config = Config.read(run / "settings.toml").changed(data={setting: str(path)})
    from mcevae.runs.checkpoint import load, run_file, save

    for which in ("best", "last"):
        tensors, state = load(run_file(run, which))
        state.pop("format")
        save(run_file(run, which), tensors, {**state, "config": config.to_dict()})
    (run / "settings.toml").write_text(config.to_toml())


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


def warm_up() -> None:
    """Do everything once, so that processes forked from this one need not begin with it.

    What is left of it must not count as memory that others may use.
    """
    import torch

    from mcevae.teaching import layout

    unshare_locks()
    torch.set_num_threads(1)
    layout.LEAST = 1_000_000  # a map by principal components, which needs no compiler
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, log_in(Path(folder) / "log.txt") as log:
        os.chdir(folder)
        images(Path(folder))
        for preset in ("paper", "default"):
            shutil.rmtree(RUN, ignore_errors=True)
            written(Path(folder), [base(preset)])
            for name in OPENINGS:
                outcome = opened(name)
                assert outcome.startswith("exit") or preset == "paper", outcome + log.read_text()
        os.chdir(before)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def log_in(path: Path) -> Iterator[Path]:
    """Let all that this process says go into a file."""
    kept = [os.dup(stream) for stream in (1, 2)]
    with path.open("a") as file:  # to append: it is emptied on the way
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    try:
        yield path
    finally:
        sys.stdout.flush()
        for stream, old in zip((1, 2), kept, strict=True):
            os.dup2(old, stream)
            os.close(old)


def live(place: Path, openings: tuple[str, ...], to: Connection) -> None:
    """Open a run in every way, in a process of its own, and send what came of each."""
    os.chdir(place)
    held = numbers_of("/proc/self/status")
    most = held["VmData"] + RESERVED
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = held["VmRSS"]
    with log_in(place / "log.txt") as log:
        for name in openings:
            to.send(("begin", name, 0, 0))
            os.truncate(log, 0)
            started = time.process_time()
            Path("/proc/self/clear_refs").write_text("5")  # of the largest size so far
            outcome = opened(name)
            sys.stdout.flush()
            said = log.read_text(errors="replace")
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
            # A run, too, but the estimator takes only those of preset default.
            MCEVAE.from_pretrained(SAVED).predict(pixels)
        elif name == "open_run":
            open_run(RUN).predict(pixels)
        elif name == "serve":
            served([*COMMANDS[name]])
        elif name == "resume":
            alarm = threading.Timer(STOP, os.kill, (os.getpid(), signal.SIGTERM))
            alarm.start()
            try:
                with patch("mcevae.cli.fit.show_and_report"):  # it does what `report` does
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


def open_case(case: Case, place: Path) -> Found:
    """Make a run, open it in every way, and return what came of it."""
    found, told = Found(), []
    (place / "outside").mkdir(parents=True)
    images(place)
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()
    maker = context.Process(target=make, args=(case, place, other))
    maker.start()
    other.close()
    try:
        made = mine.recv()
    except EOFError:
        made, told = False, ["could not be made"]
    maker.join()
    found.not_made = int(not made)
    if made:
        for path in (place / "outside").rglob("*"):
            if path.is_file():
                os.utime(path, (1, time.time()))  # reading it would change the first
        before = state_of(place / "outside")
        told = watch(case, place, found)
        if state_of(place / "outside") != before:
            told.append("another folder was read or written")
        told += [f"{name} shows another folder's file" for name in showing(place)]
    found.findings = {case.name: told} if told else {}
    return found


def showing(place: Path) -> Iterator[str]:
    """The files that hold text of files outside the run."""
    for path in place.rglob("*"):
        inside = path.is_file() and not path.is_symlink() and "outside" not in path.parts
        small = inside and path.stat().st_size < 2**27
        if small and path.name != "log.txt" and CANARY.encode() in path.read_bytes():
            yield path.name


def watch(case: Case, place: Path, found: Found) -> list[str]:
    """Let a process open a run, end it if a command takes too long, and return what is wrong."""
    context = multiprocessing.get_context("fork")
    mine, other = context.Pipe()
    process = context.Process(target=live, args=(place, case.openings, other))
    process.start()
    other.close()
    command, begun, used, told = "start", time.monotonic(), 0.0, []
    while True:
        if mine.poll(0.2):
            try:
                what, name, peak, seconds = mine.recv()
            except EOFError:
                process.join()
                told.append(f"{command} ended the process")
                break
            if what == "end":
                break
            if what == "begin":
                command, begun, used = name, time.monotonic(), cpu(process.pid)
                continue
            found.peak, found.seconds = max(found.peak, peak), max(found.seconds, seconds)
            usual = what in ("answered", "refused")
            if usual:
                found.openings[what] += 1
            if not usual or peak > MEMORY:
                told.append(f"{name}: {what} ({peak / 2**20:.0f} MiB)")
        elif late(command, cpu(process.pid) - used, time.monotonic() - begun):
            told.append(f"{command} took too long")
            break
    process.kill()
    process.join()
    return told


def late(command: str, used: float, passed: float) -> bool:
    """Whether a command has had enough seconds of the processor, and by the clock."""
    return used > (GRAPHS if command == "onnx" else SECONDS) or passed > PATIENCE


def row_of(kind: str, one: Found) -> dict[str, Any]:
    """What came of the cases of a kind, as values for JSON."""
    return {
        "kind": kind,
        "runs": one.cases,
        "tried": one.tried,
        "not made": one.not_made,
        "openings": sum(one.openings.values()),
        **dict(sorted(one.openings.items())),
        "largest_mib": round(one.peak / 2**20),
        "longest_seconds": round(one.seconds, 1),
        "findings": one.findings,
    }


def read(path: Path) -> dict[str, Found]:
    """What earlier starts of the benchmark have found; see `row_of`."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return {
        row["kind"]: Found(
            cases=row["runs"],
            tried=row["tried"],
            not_made=row["not made"],
            openings=Counter({k: row[k] for k in ("answered", "refused") if k in row}),
            peak=row["largest_mib"] * 2**20,
            seconds=row["longest_seconds"],
            findings=row["findings"],
        )
        for row in rows
    }


def all_cases(sample: int | None) -> dict[str, list[Case]]:
    """All cases by kind; for a sample, of so many presets, since finding extremes takes a while."""
    found: dict[str, list[Case]] = {}
    presets = list(PRESETS) if sample is None else random.Random(0).sample([*PRESETS], sample)
    for case in (*file_cases(), *settings_cases(presets)):
        found.setdefault(case.kind, []).append(case)
    return found


def chosen_of(cases: list[Case], text: str | None, sample: int | None) -> list[Case]:
    """The cases with this text in their name, in order, or a sample, always the same one."""
    some = [case for case in cases if (text or "") in case.name]
    if sample is not None:
        some = random.Random(0).sample(some, min(sample, len(some)))
    return sorted(some, key=lambda case: case.late)


def main() -> None:
    """Open all runs, and write down what came of it."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sample", type=int, help="runs of each kind; all if it is not given")
    parser.add_argument("--kinds", nargs="+", choices=KINDS_OF_CASES, default=KINDS_OF_CASES)
    parser.add_argument("--only", help="only runs with this text in their name; writes nothing")
    parser.add_argument("--anew", action="store_true", help="forget what was found before")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the results")
    arguments = parser.parse_args()
    path = arguments.results / "hostile_runs.json"
    found = {} if arguments.anew or arguments.only or arguments.sample else read(path)
    cases = all_cases(arguments.sample and min(arguments.sample, len(PRESETS)))
    warm_up()
    chosen = {kind: chosen_of(cases[kind], arguments.only, arguments.sample) for kind in cases}
    for kind in arguments.kinds:
        if found.setdefault(kind, Found()).cases != len(chosen[kind]):  # other cases than before
            found[kind] = Found(cases=len(chosen[kind]))
    places = [(kind, i) for kind in arguments.kinds for i in range(len(chosen[kind]))]
    for n, (kind, i) in enumerate(sorted(places, key=lambda at: chosen[at[0]][at[1]].late)):
        one, case = found[kind], chosen[kind][i]
        if i < one.tried and case.name not in one.findings:
            continue
        with tempfile.TemporaryDirectory() as folder:
            one.add(case.name, open_case(case, Path(folder).resolve() / "place"))
        one.tried = max(one.tried, i + 1)
        for finding in one.findings.get(case.name, []):
            print(f"FOUND {kind}: {case.name}: {finding}", flush=True)
        if n % 20 == 19 and not arguments.only:
            print(f"{n + 1} of {len(places)}", flush=True)
            store(found, arguments.sample, arguments.results)
    if not arguments.only:
        store(found, arguments.sample, arguments.results)
    print(json.dumps([{**row_of(*one), "findings": len(one[1].findings)} for one in found.items()]))
    sys.exit(any(one.findings for one in found.values()))


def store(found: dict[str, Found], sample: int | None, folder: Path) -> None:
    """Write down what was found so far."""
    content = {
        "memory_gib": MEMORY / 2**30,
        "seconds": SECONDS,
        "sample": sample,
        "rows": [row_of(kind, found[kind]) for kind in KINDS_OF_CASES if kind in found],
    }
    write_results("hostile_runs", content, folder=folder)


if __name__ == "__main__":
    main()
