"""The default preset's figures on many kinds of images: clusters, poses, reconstructions.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/quality.py --rows se2 --seeds 0 1 2
    python benchmarks/quality.py --sets runs/sets --rows uneven mirrored

`quality_rows.py` has the rows. Those of built-in sets train on 55,000 images (or as many as the
name says), choose their checkpoint on 5,000 and are scored once on the 10,000 test images. The
others train on the files that `sets.py` wrote into the folder of sets, and are scored once on
their test images. Beside each run stand the scores of an invariant graph without training
(`graph_alone.py`). Labels and true poses are read by scores alone. Cells, each a
row and a seed, that are done are not run again, a stopped one goes on where it was. Rewrites
results/quality.json after every cell.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import parser_of, run_cells, score, train
from quality_rows import ROWS
from sets_common import with_truth

from mcevae.models.config import Config
from mcevae.runs.data import settle
from mcevae.training.schedule import planned


def settings(sets: Path, row: str, seed: int) -> Config:
    """The default preset with a row's changes, and with all that depends on its images.

    Args:
        sets: folder of the sets.
        row: name of the row.
        seed: seed of the training.
    """
    config = Config().changed(**ROWS[row].settings).changed(train={"seed": seed})
    if not config.data.is_file:
        return config
    name = config.data.source
    path = sets / f"{name}.npz"
    if not path.exists():
        sys.exit(f"{path}: no such set; run `python benchmarks/sets.py --out {sets} --sets {name}`")
    config = settle(config.changed(data={"source": str(path)}))
    with np.load(path) as arrays:
        images = len(arrays["y_train"])
    plan = planned(config, images - max(1, images // 12)).train  # the rest is for validation
    return config.changed(train={"epochs": plan.epochs, "batch_size": plan.batch_size})


def cell(sets: Path, row: str, seed: int, run: Path) -> dict[str, Any]:
    """Train and score one row with one seed.

    Args:
        sets: folder of the sets.
        row: name of the row.
        seed: seed of the training.
        run: folder of the run.
    """
    config = settings(sets, row, seed)
    data = train(config, run)
    if config.data.is_file:
        data = with_truth(data, Path(config.data.source))
    return score(run, config, data, "test")


if __name__ == "__main__":
    parser = parser_of(__doc__, list(ROWS), "quality")
    parser.add_argument(
        "--sets", type=Path, default=Path("runs/sets"), help="folder of sets; runs/sets by default"
    )
    chosen = parser.parse_args()
    run_cells("quality", chosen, partial(settings, chosen.sets), partial(cell, chosen.sets))
