"""Change the groups of a run from two browsers and the command line at once, and lose nothing.

    python benchmarks/hands.py --changes 500

Two clients of one explorer rename, merge, split and undo at random, each from the groups that it
has seen last, while `mcevae groups` changes others in processes of its own. Every answer is
noted. In the end all accepted changes are made again, one after the other, on plain groups: each
must lead to the version that its answer had, and the last one to what is in groups.json. Every
other change must have been told 409. Clients leave two groups to the command line, which finds its
groups by name; all groups are in one file. Writes results/hands.json.
"""

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import RESULTS, write_results

from mcevae import cli
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.listen import bind, server
from mcevae.pages.serve import application
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import read_scores
from mcevae.teaching import layout

FIT = """fit mnist-mini --preset paper --filters 4 8 8 8 --hidden 32 --pose-hidden 16
--decoder-hidden 32 --limit 100 --epochs 1 --batch-size 50"""
"""A run that is trained in seconds."""
CHANGES = ("rename", "rename", "merge", "split", "undo")
CLUSTERS = 12
APART = ("10", "11")
"""Groups that only the command line changes."""
PAUSE = 0.2
"""Seconds that a client waits at most between two changes."""
AHEAD = 10
"""Changes that the clients ask for, at most, for each one of the command line: it is slower."""
LOADED = ["mcevae.cli", "mcevae.runs.run", "mcevae.runs.infer", "mcevae.pages.serve"]
LOADED += ["mcevae.pages.gallery", "mcevae.pages.listen", "mcevae.teaching.layout", "httpx"]
LOADED += ["mcevae.models.default", "mcevae.models.paper", "torch._dynamo", "sklearn.mixture"]
"""What the process that the commands are forked from has imported."""

Change = Callable[[Collections], Collections]


@dataclass
class Ledger:
    """What was asked for and answered.

    Attributes:
        accepted: changes of the clients by the version that they were made from, each with the
            version that the answer had.
        commands: changes of the command line, in order.
        told: answers, counted.
    """

    accepted: dict[str, list[tuple[Change | str, str]]] = field(default_factory=dict)
    commands: list[Change] = field(default_factory=list)
    told: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keeps_up(self) -> bool:
        """Whether the command line has made enough changes beside those of the clients."""
        with self.lock:
            return sum(self.told.values()) < AHEAD * (len(self.commands) + 1)

    def note(self, old: str, change: Change | str, new: str) -> None:
        """Write down an accepted change of a client; a change is a version if it is an undo."""
        with self.lock:
            self.accepted.setdefault(old, []).append((change, new))


@dataclass
class Client:
    """A browser: it knows the groups of its last answer, and asks for changes of those."""

    number: int
    address: str
    explorer: Explorer
    ledger: Ledger
    draws: random.Random
    failed: list[BaseException] = field(default_factory=list)

    def work(self, left: Callable[[], bool]) -> None:
        """Change groups until enough is done."""
        try:
            with httpx.Client(base_url=self.address, timeout=60) as web:
                state = web.get("/api/groups").json()
                while left():
                    state = self.step(web, state)
                    time.sleep(self.draws.uniform(0, PAUSE))
                    while left() and not self.ledger.keeps_up():
                        time.sleep(PAUSE)
        except BaseException as error:
            self.failed.append(error)
            raise

    def step(self, web: httpx.Client, state: dict[str, Any]) -> dict[str, Any]:
        """Ask for a change; the groups of the answer."""
        path, content, change = self.drawn(state)
        answer = web.post(f"/api/groups/{path}", json={**content, "version": state["version"]})
        found = answer.json()
        with self.ledger.lock:
            self.ledger.told[f"{path} {answer.status_code}"] += 1
        if answer.status_code == 409:
            return found["now"]
        if answer.status_code == 422:  # such as an undo with nothing to undo
            return web.get("/api/groups").json()
        assert answer.status_code == 200, answer.text
        if found["version"] != state["version"]:
            self.ledger.note(state["version"], change, found["version"])
        return found

    def drawn(self, state: dict[str, Any]) -> tuple[str, dict[str, Any], Change | str]:
        """A change of the groups: path, content, and what it does."""
        ids = [one["id"] for one in state["groups"] if one["id"] not in APART]
        path = self.draws.choice(CHANGES)
        if path == "undo":
            return path, {}, "undo"
        if path == "merge" and len(ids) > 4:
            two = self.draws.sample(ids, 2)
            return path, {"groups": two}, lambda old: old.merged([*map(old.identified, two)])
        one = self.draws.choice(ids)
        if path == "split":
            found = self.explorer.gallery
            return (
                path,
                {"group": one},
                lambda old: old.split(old.identified(one), found.cluster, found.z),
            )
        name = f"client {self.number} {self.draws.random():.12f}"
        return (
            "rename",
            {"group": one, "name": name},
            lambda old: old.renamed(old.identified(one), name),
        )


def live(arguments: list[str], log: Path) -> None:
    """Be `mcevae` with these arguments, in a process of its own."""
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    cli.main(arguments)


def command(run: Path, ledger: Ledger, draws: random.Random) -> None:
    """Rename, merge or split the groups of `APART` with `mcevae groups`."""
    groups = Collections.read(run, CLUSTERS)
    mine = [one.name for one in groups.entries if one.id in APART]
    flags, change = drawn_command(mine, draws)
    context = multiprocessing.get_context("forkserver")
    log = run.with_name("log.txt")
    process = context.Process(target=live, args=(["groups", str(run), *flags], log))
    process.start()
    process.join()
    assert process.exitcode == 0, log.read_text()[-2000:]
    with ledger.lock:
        ledger.told[f"command {flags[0]}"] += 1
        ledger.commands.append(change)


def drawn_command(mine: list[str], draws: random.Random) -> tuple[list[str], Change]:
    """Flags of `mcevae groups` for the groups with these names, and what they do."""
    if len(mine) == 1 and draws.random() < 0.5:
        nothing = np.zeros(0, int), np.zeros((0, 1), np.float32)  # it splits into its clusters
        return ["--split", mine[0]], lambda old: old.split(old.named(mine[0]), *nothing)
    if len(mine) > 1 and draws.random() < 0.5:
        return ["--merge", *mine], lambda old: old.merged([*map(old.named, mine)])
    name, new = draws.choice(mine), f"command {draws.random():.12f}"
    return ["--rename", name, new], lambda old: old.renamed(old.named(name), new)


def again(ledger: Ledger, final: Collections) -> int:
    """Make all accepted changes again; their number.

    Raises:
        AssertionError: a change is missing, or leads elsewhere.
    """
    now, commands = Collections.plain(final.clusters), list(ledger.commands)
    states, done = {now.version: now}, 0
    left = sum(map(len, ledger.accepted.values()))
    while left or commands:
        if ledger.accepted.get(now.version):
            change, new = ledger.accepted[now.version].pop(0)
            left -= 1
            now = states[new] if isinstance(change, str) else change(now)
            assert now.version == new, f"after {done} changes, one leads elsewhere"
        else:
            assert commands, f"after {done} changes, {left} are missing"
            now = commands.pop(0)(now)
        states[now.version] = now
        done += 1
    assert now == final, "groups.json has other groups than the changes lead to"
    return done


def main() -> None:
    """Change groups, and look whether all changes are there."""
    raw = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for hands.json")
    arguments = parser.parse_args()
    layout.LEAST = 1_000_000  # a map by principal components, which is quick
    ledger, started = Ledger(), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        cli.main([*FIT.split(), "--clusters", str(CLUSTERS), "--out", str(run)])
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        opened = TrainedRun.open(run)
        data = opened.data()
        explorer = Explorer(run=opened, gallery=hang(opened, data))
        with bind("127.0.0.1", 0) as listening:
            web = server(application(explorer, data, read_scores(run)))
            serving = threading.Thread(target=web.run, kwargs={"sockets": [listening]})
            serving.start()
            address = f"http://127.0.0.1:{listening.getsockname()[1]}"

            def asked() -> int:
                return sum(ledger.told.values())

            clients = [
                Client(i, address, explorer, ledger, random.Random(arguments.seed + i))
                for i in (1, 2)
            ]
            own = [
                threading.Thread(
                    target=one.work, args=(lambda: asked() < arguments.changes,), daemon=True
                )
                for one in clients
            ]
            for thread in own:
                thread.start()
            draws = random.Random(arguments.seed)
            while asked() < arguments.changes and not any(one.failed for one in clients):
                command(run, ledger, draws)
            for thread in own:
                thread.join()
            web.should_exit = True
            serving.join()
        assert not any(one.failed for one in clients), [one.failed for one in clients]
        done = again(ledger, Collections.read(run, CLUSTERS))
    content = {
        "what": "changes of the groups of one run, by two clients and the command line at once",
        "seed": arguments.seed,
        "asked": sum(ledger.told.values()),
        "accepted, and all there": done,
        "answers": dict(sorted(ledger.told.items())),
        "seconds": round(time.perf_counter() - started),
    }
    print(write_results("hands", content, folder=arguments.results))
    print(json.dumps(content["answers"]))


if __name__ == "__main__":
    main()
