"""How the cost of preset `default` grows: with the side of the images, with K, with their number.

    python benchmarks/growth.py

Side and K: microseconds of a training step (batch 200) and of inference (500 images), for each
image, of processor time on one thread; else as the preset has it, random pixels. Number: seconds
until a pack of so many images is open with its first window in memory, and of a further window,
5,000 images each; the packs are files with holes, which read as black pixels, so that 10^8 images
need no disk. The exponent is the slope of a straight line through logarithms. Writes
results/growth.json and docs/images/growth.png.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import torch
from common import processor_seconds, write_results
from pyarrow import parquet

from mcevae.base.machine import keep_memory
from mcevae.images.arrays import to_float
from mcevae.images.packs import ABOUT, FORMAT, INDEX, PIXELS
from mcevae.models.config import Config
from mcevae.models.default.model import DefaultModel
from mcevae.models.registry import build
from mcevae.runs.data import prepare_for, settle
from mcevae.runs.infer import outputs

SIDES = (28, 48, 64, 96, 128, 192, 256)
CLUSTERS = (10, 30, 100, 300, 1000)
NUMBERS = (10**4, 10**5, 10**6, 10**7, 10**8)
WINDOW = 5000
BATCH, INFERRED = 200, 500
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"


def model_costs(side: int, clusters: int, rounds: int) -> dict[str, float]:
    """Microseconds for an image of a training step and of inference."""
    torch.manual_seed(0)
    config: Config = Config().changed(model={"clusters": clusters})
    model = build(config, (1, side, side))
    assert isinstance(model, DefaultModel)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    pixels = torch.randint(0, 256, (INFERRED, 1, side, side)).byte()
    batch = {
        "cluster": torch.randint(0, clusters, (BATCH,)),
        "element": model.group.identity(BATCH),
        "weight": torch.ones(BATCH),
    }

    def step() -> None:
        model.terms(model, to_float(pixels[:BATCH]), batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer() -> None:
        for _ in outputs(model, pixels):
            pass

    trained = processor_seconds(step, rounds) / BATCH
    model.eval()
    model.at_once = 100
    return {"step": 1e6 * trained, "inference": 1e6 * processor_seconds(infer, rounds) / INFERRED}


def hollow(folder: Path, count: int) -> Path:
    """A pack of black 28 x 28 images that takes no room."""
    folder.mkdir()
    with (folder / PIXELS).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 784 * count)
    schema = pa.schema([("file", pa.string())])
    with parquet.ParquetWriter(folder / INDEX, schema) as index:
        for start in range(0, count, 10**6):
            names = pa.repeat("black.png", min(10**6, count - start))
            index.write_table(pa.table({"file": names}, schema))
    recipe = {"size": 28, "colour": "grey", "normalise": "none", "levels": None}
    about = {
        "format": FORMAT,
        "count": count,
        "shape": (1, 28, 28),
        "digest": "0" * 32,
        "recipe": recipe | {"background": 0.0, "fit": "pad"},
        "label_names": [],
        "faults": [],
    }
    (folder / ABOUT).write_text(json.dumps(about))
    return folder


def pack_costs(count: int, folder: Path) -> dict[str, float]:
    """Seconds until the first window is there, and of a further one, far into the file."""
    source = {"source": str(hollow(folder / str(count), count)), "window": WINDOW}
    config = settle(Config().changed(data=source))
    started = time.process_time()
    data = prepare_for(config)
    opened = time.process_time() - started
    further = data.window
    assert further is not None
    many = max(1, (count - len(data.test) - len(data.validation)) // (WINDOW))
    return {"open": opened, "window": processor_seconds(lambda: further(many - 1), 3)}


def exponent(x: list[int], y: list[float]) -> float:
    """Slope of log y over log x, least squares."""
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 3)


def draw(curves: dict[str, dict[str, Any]]) -> None:
    """A panel for each thing that grows, with its exponents."""
    figure, panels = plt.subplots(1, len(curves), figsize=(12, 3.6), layout="constrained")
    for panel, (name, curve) in zip(panels, curves.items(), strict=True):
        for line, values in curve["values"].items():
            label = f"{line}: exponent {curve['exponents'][line]:.2f}"
            panel.loglog(curve["at"], values, "o-", label=label)
        panel.minorticks_off()
        panel.set(xlabel=name, ylabel=curve["unit"])
        panel.set_xticks(curve["at"], [f"{n:g}" for n in curve["at"]])
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Measure, draw and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    measured: dict[str, tuple[tuple[int, ...], str, list[dict[str, float]]]] = {}
    unit = "microseconds an image"
    rows = [model_costs(side, 10, arguments.rounds) for side in SIDES]
    measured["side, pixels"] = (SIDES, unit, rows)
    rows = [model_costs(28, k, arguments.rounds) for k in CLUSTERS]
    measured["clusters K"] = (CLUSTERS, unit, rows)
    with tempfile.TemporaryDirectory() as name:
        rows = [pack_costs(count, Path(name)) for count in NUMBERS]
    measured["images of a pack"] = (NUMBERS, "seconds", rows)
    curves = {}
    for name, (at, unit, rows) in measured.items():
        values = {line: [round(row[line], 4) for row in rows] for line in rows[0]}
        exponents = {line: exponent(list(at), one) for line, one in values.items()}
        curves[name] = {"at": at, "unit": unit, "values": values, "exponents": exponents}
        print(name, exponents, values, flush=True)
    draw(curves)
    print(write_results("growth", {"threads": 1, "curves": curves}))


if __name__ == "__main__":
    main()
