"""How long the first answer takes, from the command to a page that opens, and how long the last.

    MCEVAE_DATA=data python benchmarks/first_answer.py

Three sets: 1,500 colour pictures of 80 x 80 pixels on uneven paper, and 10,000 and 20,000 digits in
any direction. Two ways: `--quick` (the page of the quick answer, with averages at full resolution)
and a training, which is ended once its first page is there. Each way is a process of its own, so
imports count, with --threads threads. The page counts when a browser shows its groups (without one:
when the file is there); the browser's own time is not counted. The load of the machine is stored
too, because other programs make all times longer; processor seconds do not depend on it as much.

Two more sets, mnist-mini and 10,000 digits in 128 x 128 pixels, are trained to the end, with
scores, and averages at full resolution.

--before FOLDER measures, on the same sets and in the same run, the first page of an older version
whose sources lie there: it has one when its training has ended. Writes results/first_answer.json,
in which rows of sets that are not measured stay.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import RESULTS, write_results
from sets_digits import posed, within
from sets_drawn import uneven

from mcevae.images.loading import load

COUNTS = (10_000, 20_000)
LEAST_BYTES = 10_000
"""A page has more bytes than this."""
TURNS = ["--rotation", "180", "--clusters", "10"]
SETS = {"pictures-1500": ["--rotation", "180", "--clusters", "8"], "digits-10000": TURNS}
SETS |= {"digits-20000": TURNS}
LARGE, SIDE = "digits-10000-128", 128
WHOLE = {"mnist-mini": [], LARGE: ["--clusters", "10"]}
"""Sets that are trained to the end."""


def write_sets(folder: Path, wanted: list[str]) -> None:
    """Write the sets that are wanted as NAME.npy, or NAME.npz with labels."""
    if "pictures-1500" in wanted:
        np.save(folder / "pictures-1500.npy", uneven(0).images)
    if any(SETS.get(name) is TURNS for name in wanted):
        digits = posed(load("mnist"), 0, within(180, 0.1)).images
        for count in COUNTS:
            np.save(folder / f"digits-{count}.npy", digits[:count])
    if LARGE in wanted:
        source = load("mnist")
        few = replace(source, train=source.train.subset(slice(10_000)))
        made = posed(few, 0, within(90, 0.25))
        some = torch.from_numpy(made.images[:10_000])[:, None].float()
        large = F.interpolate(some, size=SIDE, mode="bicubic")[:, 0].clamp(0, 255).byte()
        np.savez(folder / f"{LARGE}.npz", images=large.numpy(), labels=made.labels[:10_000])


def cards(page: Path) -> int | None:
    """Number of groups that a browser shows of a page; None: there is no browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = opened.new_page()
        shown.goto(page.as_uri())
        shown.wait_for_selector(".group")
        count = shown.locator(".group").count()
        opened.close()
    return count


def timed(
    arguments: list[str],
    run: Path,
    sources: Path | None,
    most: float,
    threads: int,
    *,
    whole: bool = False,
) -> dict[str, Any]:
    """Start a command, and wait for the page of its run; then end it.

    Args:
        arguments: of `mcevae fit`, without --out.
        run: folder of the run.
        sources: folder of the package; None: the one that is installed here.
        most: seconds to wait.
        threads: of the process.
        whole: wait until it ends by itself.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    if sources is not None:
        environment["PYTHONPATH"] = str(sources)
    command = [sys.executable, "-m", "mcevae", "fit", *arguments, "--out", str(run)]
    page = run / "report.html"
    load_before, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    while process.poll() is None and time.perf_counter() - started < most:
        if page.exists() and not whole:
            break
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    found = page.exists() and page.stat().st_size > LEAST_BYTES
    if whole:
        found = found and process.poll() == 0
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    scores = json.loads((run / "metrics.json").read_text())["scores"] if whole and found else {}
    accuracy = {"accuracy": scores["accuracy"]["value"]} if "accuracy" in scores else {}
    return accuracy | {
        "threads": threads,
        "seconds": round(seconds, 1) if found else None,
        "processor_seconds": round(used, 1),
        "groups_shown": cards(page) if found else None,
        "load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    sets = [*SETS, *WHOLE]
    add("--sets", nargs="+", choices=sets, default=sets, help="which; all by default")
    add("--before", type=Path, help="folder `src` of an older version to measure as well")
    add("--most", type=float, default=1800, help="seconds to wait for each; 1800 by default")
    add("--threads", type=int, default=2, help="of each process; 2 by default")
    chosen = parser.parse_args()
    kept = RESULTS / "first_answer.json"
    rows: dict[str, Any] = json.loads(kept.read_text())["rows"] if kept.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_sets(folder, chosen.sets)
        for name in [name for name in chosen.sets if name in WHOLE]:
            run, path = folder / name, folder / f"{name}.npz"
            given = [str(path) if path.exists() else name, *WHOLE[name]]
            rows[name] = timed(given, run, None, chosen.most, chosen.threads, whole=True)
            print(name, rows[name], flush=True)
        for name in [name for name in chosen.sets if name in SETS]:
            given = [str(folder / f"{name}.npy"), *SETS[name]]
            ways = {"quick": ([*given, "--quick"], None), "training": (given, None)}
            if chosen.before:
                ways["before"] = (given, chosen.before)
            for way, (arguments, sources) in ways.items():
                run = folder / f"{name}-{way}"
                rows[f"{name} {way}"] = timed(arguments, run, sources, chosen.most, chosen.threads)
                print(f"{name} {way}", rows[f"{name} {way}"], flush=True)
                shutil.rmtree(run, ignore_errors=True)
    print(write_results("first_answer", {"rows": rows}))


if __name__ == "__main__":
    main()
