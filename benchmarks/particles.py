"""Particles that a STAR file names in random order over many stacks, against the same in a .npy.

    python benchmarks/particles.py --folder FOLDER --particles 1000000

Makes digits of 20 x 20 pixels (MNIST without its border) as floats in a .npy, and the same in
--stacks MRC stacks that a STAR file names in random order; trains a small model for seconds, so
that reading counts as much as it can; predicts the .npy, the STAR file to a Parquet table, and the
STAR file to a STAR file. Each is a process of its own with one thread, whose memory (resident set
less what it shares with files) is looked at twice a second. Rates are of processor seconds, since
other programs on the machine do not count there, with the start of the program. What is finished in
FOLDER is not made again. Writes results/particles.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from common import write_results
from large import watched

from mcevae.images.loading import load

DISTINCT, SIDE = 10_000, 20
FIT = """--normalise image --limit 400 --epochs 4 --batch-size 50 --clusters 3 --angles 24
--variation 4 --hidden 32 --templates 8 --subset 300"""
"""A model that is trained in seconds."""


def make(folder: Path, count: int, stacks: int) -> None:
    """The .npy, its stacks, the STAR file, and a few images to train on."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    digits = load("mnist-mini").train.pixels[:DISTINCT, 0, 4:-4, 4:-4].numpy().astype(np.float32)
    np.save(folder / "few.npy", digits[:1000])
    array = np.lib.format.open_memmap(folder / "half.npy", "w+", np.float32, (count, SIDE, SIDE))
    places = np.empty(count, np.int64)
    for stack, own in enumerate(np.array_split(rng.permutation(count), stacks)):
        pixels = digits[rng.integers(len(digits), size=len(own))]
        array[own] = pixels
        places[own] = stack * count + np.arange(len(own))
        with mrcfile.new(folder / f"stack_{stack:04}.mrcs", overwrite=True) as file:
            file.set_data(pixels)
            file.voxel_size = 1.5
    array.flush()
    with (folder / "particles.star").open("w") as file:
        file.write("data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnImagePixelSize #2\n1 1.5\n\n")
        file.write("data_particles\n\nloop_\n_rlnImageName #1\n_rlnOpticsGroup #2\n")
        for place in places.tolist():
            stack, section = divmod(place, count)
            file.write(f"{section + 1:06}@stack_{stack:04}.mrcs 1\n")
    os.replace(folder / "half.npy", folder / "particles.npy")  # last: all is made


def predicted(folder: Path, source: str, out: str, count: int) -> dict[str, Any]:
    """Predict a source, unless that was done before."""
    kept = folder / f"{source}-to-{out}.json"
    if not kept.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        arguments = (folder / "run", folder / source, "--out", folder / out)
        row = watched("predict", *arguments, "--overwrite", "--force")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        row |= {"processor_seconds": round(seconds, 1), "per_second": round(count / seconds)}
        kept.write_text(json.dumps(row))
    return json.loads(kept.read_text())


def main() -> None:
    """Make, train, predict, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--stacks", type=int, default=200)
    given = parser.parse_args()
    folder = given.folder / f"{given.particles}-{given.stacks}"
    os.environ["OMP_NUM_THREADS"] = "1"
    if not (folder / "particles.npy").exists():
        make(folder, given.particles, given.stacks)
    if not (folder / "run" / "report.html").exists():
        command = ("fit", folder / "few.npy", *FIT.split(), "--out", folder / "run")
        subprocess.run([sys.executable, "-m", "mcevae", *map(str, command)], check=True)
    rows = {
        name: predicted(folder, source, out, given.particles)
        for name, source, out in (
            (".npy", "particles.npy", "npy.parquet"),
            ("STAR", "particles.star", "star.parquet"),
            ("STAR to STAR", "particles.star", "new.star"),
        )
    }
    write_results(
        "particles",
        {
            "particles": given.particles,
            "stacks": given.stacks,
            "shape": [SIDE, SIDE],
            "star_times_npy": round(rows["STAR"]["per_second"] / rows[".npy"]["per_second"], 2),
            "rows": rows,
        },
        f"python benchmarks/particles.py --folder FOLDER --particles {given.particles}",
    )


if __name__ == "__main__":
    main()
