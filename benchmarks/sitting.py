"""One sitting: from images to a clean, named set, in the explorer and in Embedding Atlas, counted.

    python benchmarks/sitting.py --folder FOLDER

10,000 symbols of ten kinds in any direction, 3 % of them junk. `mcevae fit --quick` is asked for
nine clusters, so two kinds come out as one group. Then a script sits before the explorer in
Chromium: it splits, names, throws away, takes away. It sees what images show, as a person would,
but selects them by what the page has. The same in Embedding Atlas, from `mcevae export`, is
counted. A set, a fit and an export that FOLDER has already are taken as they are. Writes
results/sitting.json.
"""

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sitting_atlas
import sitting_explorer
from common import write_results
from playwright.sync_api import Browser, sync_playwright
from sitting_hand import PACE, Hand
from sitting_set import JUNK, KINDS, write_set

COMMAND = "python benchmarks/sitting.py --folder FOLDER"
FIT = "mcevae fit symbols/images --clusters 9 --rotation 180 --quick --out run"
SERVE = "mcevae serve run --port 9123"
EXPORT = "mcevae export run --to embedding-atlas --out atlas"
VIEW = "embedding-atlas atlas/images.parquet --x map_x --y map_y --image image"
CHROMIUM = "/usr/bin/chromium"


def run(command: str, folder: Path) -> float:
    """Run `mcevae` in a folder; seconds."""
    started = time.perf_counter()
    words = [sys.executable, "-m", *shlex.split(command)]
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - started, 1)


@contextmanager
def served(words: list[str], folder: Path, ready: str) -> Iterator[float]:
    """Have a server until it prints `ready`; gives the seconds until then."""
    log, started = folder / "server.txt", time.perf_counter()
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(words, cwd=folder, stdout=file, stderr=file, env=environment)
        try:
            while ready not in log.read_text():
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.2)
            yield round(time.perf_counter() - started, 1)
        finally:
            server.terminate()
            server.wait()


def fitted(folder: Path) -> dict[str, Any]:
    """Fit, unless that was done in this folder before; the command and its seconds."""
    note = folder / "fit.json"
    if not note.exists():
        note.write_text(json.dumps({"command": FIT, "seconds": run(FIT, folder)}))
    return json.loads(note.read_text())


def scored(clean: Path, eye: dict[str, str]) -> dict[str, Any]:
    """What came out: folders with the names of kinds, and the images in them."""
    found = {path.name: path.parent.name for path in clean.glob("*/*.png")}
    junk = {name for name, kind in eye.items() if kind in JUNK}
    return {
        "kinds_named": sum(kind in KINDS for kind in set(found.values())),
        "images": len(found),
        "junk_left": len(junk & set(found)),
        "good_lost": len(set(eye) - junk - set(found)),
        "in_wrong_group": sum(
            eye[name] != kind for name, kind in found.items() if name not in junk
        ),
    }


def explored(browser: Browser, folder: Path, eye: dict[str, str]) -> dict[str, Any]:
    """The sitting in the explorer."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    words = [sys.executable, "-m", *shlex.split(SERVE)]
    steps: dict[str, Any] = {}
    with served(words, folder, "Open http") as opening:
        page = context.new_page()
        hand = Hand(page)
        for command in (FIT, SERVE):
            hand.write(command + "\n")
        hand.waited(
            lambda: page.goto("http://127.0.0.1:9123"), page.locator(".group").first.wait_for
        )
        sitter = sitting_explorer.Sitter(hand, eye)
        for step in ("split", "name", "heaps", "unsure", "lists"):
            getattr(sitter, step)()
            steps[step] = {**hand.told(), **sitter.state()}
            page.screenshot(path=folder / f"explorer-{step}.png")
        command = sitter.take()
        page.screenshot(path=folder / "explorer-take.png")
        hand.counts["keys"] += 3  # paste, Enter
    writing = run(command, folder)
    (folder / "selected").rename(folder / "clean-explorer")
    seconds = {"serve": opening, "write": writing}
    result = scored(folder / "clean-explorer", eye)
    return {**hand.told(), "commands_seconds": seconds, "log": sitter.log, **result, "steps": steps}


def main() -> None:
    """Make the set, fit, sit, and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder for all files")
    parser.add_argument("--images", type=int, default=10_000, help="10,000 by default")
    chosen = parser.parse_args()
    folder = chosen.folder
    if not (folder / "symbols").exists():
        (folder / "symbols").mkdir(parents=True)
        write_set(folder / "symbols", chosen.images, 0.03, 0)
    with (folder / "symbols" / "truth.csv").open(newline="") as file:
        eye = {row["file"]: row["shows"] for row in csv.DictReader(file)}
    content: dict[str, Any] = {
        "images": len(eye),
        "junk": sum(kind in JUNK for kind in eye.values()),
        "kinds": len(KINDS),
        "shown": dict(sorted(Counter(eye.values()).items())),
        "pace_seconds": PACE,
        "fit": fitted(folder),
        "load": round(os.getloadavg()[0], 1),
    }
    atlas = folder / "atlas" / "images.parquet"
    if not atlas.exists():  # of the groups as they were found
        run(EXPORT, folder)
    content["embedding_atlas"] = sitting_atlas.counted(atlas, eye, [FIT, EXPORT, VIEW])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        content["explorer"] = explored(browser, folder, eye)
        browser.close()
    print(write_results("sitting", content, COMMAND))


if __name__ == "__main__":
    main()
