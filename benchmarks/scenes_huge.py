"""Find things in one frame of 30,000 x 30,000 pixels, with the memory that it takes.

    python benchmarks/scenes_huge.py --folder FOLDER --data FOLDER

The frame is a .npy of bytes, 0.9 GB, with 300 MNIST test digits at any place without overlap,
within 90 degrees, on noise of a tenth of the range. They are drawn --size pixels a side. The run
`digits` of `scenes.py` finds them, trained unless FOLDER has it. Then the page of the finds is
written. Both are commands of their own on one thread, whose memory (resident set less what it
shares with files, as the system counts it) is looked at twice a second. The frame is deleted at the
end. Writes results/scenes_huge.json.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import in_folder, write_results
from large import watched
from pyarrow import parquet
from scenes import FITS, trained
from scenes_learned import children
from scenes_made import Drawn, Scene, digits, spots
from scenes_scored import Tally
from tqdm import tqdm

SIDE, THINGS = 30_000, 300
LEVEL, NOISE = 50, 25
"""Mean and standard deviation of the background, of 255."""
BAND = 500
"""Rows that are written at a time."""


def made(path: Path, size: int, side: int) -> Scene:
    """Write a frame; what is in it, without the frame."""
    rng, draw = np.random.default_rng(7), digits()
    frame = np.lib.format.open_memmap(path, "w+", np.uint8, (side, side))
    for top in tqdm(range(0, side, BAND), desc="noise"):
        rows = frame[top : top + BAND]
        noise = rng.standard_normal(rows.shape, np.float32)
        rows[:] = (LEVEL + NOISE * noise).clip(0, 255)
    things: list[Drawn] = [draw(rng) for _ in range(THINGS)]
    places, across = [], np.arange(size) + 0.5
    for (x, y), one in zip(spots(rng, side, size, THINGS, 0.0), things, strict=True):
        small = torch.from_numpy(one.picture)[None, None]
        large = F.interpolate(small, size=(size, size), mode="bilinear")[0, 0].numpy()
        own = frame[y : y + size, x : x + size]
        own[:] = (own + (255 - LEVEL) * large).clip(0, 255)
        total = large.sum()
        places.append((x + large.sum(0) @ across / total, y + large.sum(1) @ across / total))
    frame.flush()
    return Scene(
        frame=np.zeros((1, 1)),
        place=np.array(places),
        kind=np.array([one.kind for one in things]),
        angle=np.array([one.angle for one in things]),
    )


def measured(*arguments: object) -> dict[str, Any]:
    """Run a command of mcevae; its time, that of the processor, and its memory."""
    before = children()
    return watched(*arguments) | {"processor_seconds": round(children() - before)}


def main() -> None:
    """Make the frame, find, write the page, and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", type=int, default=56, help="side of a digit, pixels")
    parser.add_argument("--side", type=int, default=SIDE, help="of the frame, pixels")
    arguments = in_folder(parser)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the commands that it runs
    run = trained(arguments.folder, "digits").folder
    own = arguments.folder / "huge"
    own.mkdir(exist_ok=True)
    frame, table = own / "frame.npy", own / "finds.parquet"
    try:
        truth = made(frame, arguments.size, arguments.side)
        flags = ("--size", arguments.size, "--overwrite")
        found = measured("find", run, frame, "--out", table, *flags)
        page = measured("report", run, "--finds", table, "--frames", frame)
        rows = parquet.read_table(table)
        tally = Tally()
        place = np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], 1).reshape(-1, 2)
        tally.add(truth, place, rows["cluster"].to_numpy(), rows["rotation_deg"].to_numpy())
        page["megabytes"] = round(table.with_suffix(".html").stat().st_size / 1e6, 1)
        content = {
            "fit": FITS["digits"],
            "side": arguments.side,
            "things": THINGS,
            "size": arguments.size,
            "scores": tally.scores(),
            "find": found,
            "report": page,
        }
        command = "python benchmarks/scenes_huge.py --folder FOLDER --data FOLDER"
        print(write_results("scenes_huge", content, f"{command} --size {arguments.size}"))
    finally:
        shutil.rmtree(own)


if __name__ == "__main__":
    main()
