"""Image sets of many kinds on which clusters and poses are measured, written as .npz files.

    MCEVAE_DATA=FOLDER python benchmarks/sets.py --out runs/sets --sets uneven mirrored

All sets are made if none is named. Those of digits and clothes read mnist.npz and
fashion-mnist.npz, and `cells` reads the folder cells, from the folder MCEVAE_DATA. `uneven` and
`textured` need the font Noto Color Emoji. Each NAME.npz holds x_train, y_train, x_test and y_test,
so that `mcevae fit runs/sets/NAME.npz` trains on it and scores its test images. NAME-truth.npz has
the true poses, if they are known (`sets_common.write`). The same seed gives the same images.
"""

import argparse
import csv
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from sets_common import Made, seventh, write
from sets_digits import (
    affnist_like,
    fashion_circle,
    fashion_se2,
    fashion_upright,
    mnist_n,
    mnist_u,
    se2_mnist,
    so2_mnist,
    unequal,
)
from sets_drawn import crowded, few_noisy, mirrored, noise, symbols30, uneven, wafers
from sets_letters import capitals
from sets_varied import VARIED

from mcevae.base.errors import UserError


def cells(seed: int) -> Made:
    """Windows about blood cells, 56 x 56, in colour: red and white cells, and the rare platelets.

    Args:
        seed: seed of their order.

    Raises:
        UserError: MCEVAE_DATA has no folder cells with labels.csv.
    """
    folder = Path(os.environ.get("MCEVAE_DATA", "")) / "cells"
    try:
        with (folder / "labels.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{folder}: has no labels.csv; set MCEVAE_DATA to the folder that holds cells/."
        ) from error
    images = np.stack([np.asarray(Image.open(folder / row["file"]).convert("RGB")) for row in rows])
    labels = np.unique([row["label"] for row in rows], return_inverse=True)[1]
    order = np.random.default_rng(seed).permutation(len(rows))
    return Made(images=images[order], labels=labels[order], test=seventh(len(rows)))


SETS: dict[str, Callable[[int], Made]] = {
    "uneven": uneven,
    "symbols30": symbols30,
    "mirrored": mirrored,
    "crowded": crowded,
    "noise-0.3": partial(noise, ratio=0.3),
    "noise-0.1": partial(noise, ratio=0.1),
    "noise-0.05": partial(noise, ratio=0.05),
    "few-noisy": few_noisy,
    "wafers": wafers,
    "unequal": unequal,
    "mnist-u": mnist_u,
    "mnist-n": mnist_n,
    "se2-mnist": se2_mnist,
    "so2-mnist": so2_mnist,
    "affnist-like": affnist_like,
    "fashion-upright": fashion_upright,
    "fashion-se2": fashion_se2,
    "fashion-circle": fashion_circle,
    "cells": cells,
    "capitals": capitals,
    **VARIED,
}
"""The sets by name: each makes its images from a seed."""


def main() -> None:
    """Write the sets that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the files")
    add("--sets", nargs="+", choices=list(SETS), default=list(SETS), help="which; all by default")
    add("--seed", type=int, default=0, help="0 by default")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.sets:
        try:
            made = SETS[name](chosen.seed)
        except UserError as error:
            sys.exit(str(error))
        path = chosen.out / f"{name}.npz"
        write(made, path)
        print(f"{path}: {len(made.images)} images {made.images.shape[1:]}, {made.test} for test")


if __name__ == "__main__":
    main()
