"""Time and memory of the explorer of a million images: to make it, to open it, and to use it.

    python benchmarks/large_page.py --folder FOLDER --data DATA

A small model is trained on 400 digits, and looks, on one thread, at --images digits of MNIST, some
of them many times: that is all that `mcevae serve` does before it says that the page can be opened,
besides reading the files and the averages. Then these images are taken --copies times, each copy in
a slightly different place on the map, and a headless Chromium opens their page and uses it. Memory
is the most that was used so far, with all of the images. Writes results/large_page.json.
"""

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import in_folder, write_results
from map_frames import MOTIONS
from playwright.sync_api import Page, sync_playwright

from mcevae.images.loading import load
from mcevae.images.splits import Posed, Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import Gallery, hang
from mcevae.pages.serve import application
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit

COMMAND = "python benchmarks/large_page.py --folder FOLDER --data DATA"
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the server and the settings are shared with the tests

from tests.conftest import served  # noqa: E402
from tests.sizes import taught  # noqa: E402

USES = {
    "select what is in sight": "pick(inSight())",
    "lasso": "((at) => pick(everyImage().filter((id) => inside(at(id), "
    "[[300, 100], [800, 100], [800, 500], [300, 500]]))))(placer())",
    "colour by rotation": "(document.getElementById('colour').value = 'rotation', recolour())",
    "20,000 images are junk": "(pick(everyImage().slice(0, 20000)), "
    "decide({ mark: 'junk' }, 'junk', true))",
    "undo": "regroup('undo', {}, 'undone')",
    "more like this": "showAlike(7)",
}


def gigabytes() -> float:
    """The most memory that this program had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, and what it gives."""
    start = time.perf_counter()
    found = act()
    return round(time.perf_counter() - start, 1), found


def many(data: Splits, count: int) -> Splits:
    """So many digits of MNIST in the parts of a run's data."""
    digits = load("mnist").train.pixels
    ends = np.cumsum([0, *(round(share * count) for share in (0.9, 0.05))])

    def part(like: Posed, rows: range) -> Posed:
        names = np.array([f"plate{i % 97:02}/{i:07}.png" for i in rows])
        pixels = digits[torch.tensor(rows) % len(digits)]
        images = replace(like.images, pixels=pixels, labels=None, names=names, places=None)
        return replace(like, images=replace(images, sizes=None), elements=None)

    begins, stops = ends, [*ends[1:], count]
    rows = [range(a, b) for a, b in zip(begins, stops, strict=True)]
    parts = [data.train, data.validation, data.test]
    train, validation, test = (part(*one) for one in zip(parts, rows, strict=True))
    return Splits(train=train, validation=validation, test=test)


def copied(gallery: Gallery, copies: int) -> Gallery:
    """The images of a gallery several times, each with a name of its own."""
    count, made = len(gallery), {}
    for name in (one.name for one in fields(gallery)):
        value = getattr(gallery, name)
        if isinstance(value, np.ndarray | torch.Tensor) and len(value) == count:
            many_times = (copies, *[1] * (value.ndim - 1))
            made[name] = (
                value.repeat(many_times) if torch.is_tensor(value) else np.tile(value, many_times)
            )
    moved = np.random.default_rng(0).normal(0, 0.004, made["where"].shape)
    made["where"] = np.clip(made["where"] + moved, 0, 1)
    assert gallery.originals.sizes is not None
    sizes = np.tile(gallery.originals.sizes, (copies, 1))
    names = [f"plate{i % 97:02}/{i:07}.png" for i in range(count * copies)]
    originals = replace(gallery.originals, sizes=sizes)
    return replace(gallery, **made, names=names, originals=originals, total=count * copies)


def used(page: Page, address: str) -> dict[str, Any]:
    """Seconds to open the page, and of each use until it is drawn; frames a second on the map."""

    def opened() -> None:
        page.goto(address)
        page.locator(".group").first.wait_for()
        page.locator("#said").wait_for(state="hidden")

    rows: dict[str, Any] = {"open": timed(opened)[0]}
    drawn = "await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame)"
    for name, use in USES.items():
        rows[name] = timed(
            lambda use=use: page.evaluate(f"async () => {{ await {use}; {drawn} }}")
        )[0]
    page.keyboard.press("Escape")
    frames = (
        "async () => {{ let n = 0; const from = performance.now(); "
        "for (; performance.now() - from < 3000; n += 1) {{ "
        "const t = (performance.now() - from) / 500; {}; moves(); "
        "await new Promise(requestAnimationFrame); }} return n / 3; }}"
    )
    rows["frames a second"] = {
        name: round(page.evaluate(frames.format(does))) for name, does in MOTIONS.items()
    }
    rows["browser_heap_gb"] = round(page.evaluate("performance.memory.usedJSHeapSize") / 2**30, 2)
    return rows


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--copies", type=int, default=10)
    chosen = in_folder(parser)
    settings, folder, before = taught(mirror=True), chosen.folder / "run", os.getloadavg()[0]
    shutil.rmtree(folder, ignore_errors=True)
    own = prepare_for(settings)
    fit(settings, own, folder)
    run = TrainedRun.open(folder)
    run.calibrate(own)
    data = many(own, chosen.images)
    empty = gigabytes()
    start = time.process_time()
    gallery = hang(run, data, most=None)
    spent = round(time.process_time() - start, 1)
    made = {
        "images": len(gallery),
        "processor_seconds": spent,
        "gb": gigabytes(),
        "gb_before": empty,
    }
    gallery = copied(gallery, chosen.copies)
    explorer = Explorer(run=run, gallery=gallery)
    app = application(explorer, data, {})
    with served(app) as (host, port), sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(300_000)
        uses = used(page, f"http://{host}:{port}")
        browser.close()
    opened = {"images": len(gallery), "seconds": uses, "server_gb": gigabytes()}
    busy = [round(load, 1) for load in (before, os.getloadavg()[0])]
    print(made, opened, busy)
    print(write_results("large_page", {"made": made, "opened": opened, "busy": busy}, COMMAND))


if __name__ == "__main__":
    main()
