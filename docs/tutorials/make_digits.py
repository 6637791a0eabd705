"""Write handwritten digits as pictures, turned by up to 30 degrees, and labels for a few of them.

    python make_digits.py

Writes the folder scans, with a PNG of 40 x 40 pixels for each digit, hints.csv, which names five
digits of each kind, as a person would after a minute with the pictures, and truth-scans.csv, which
names all (nothing but this page's figures reads it). The digits come with mcevae, and are a part of
MNIST (CC BY-SA 3.0).
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from mcevae import load


def written(digit: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A digit in blue ink on paper, turned and shifted."""
    ink = Image.fromarray(digit).resize((36, 36), Image.Resampling.BICUBIC)
    wide = Image.new("L", (40, 40))
    wide.paste(ink, (2, 2))
    ink = wide.rotate(
        rng.uniform(-30, 30), Image.Resampling.BICUBIC, translate=tuple(rng.uniform(-3, 3, 2))
    )
    paper = np.array((246, 242, 230)) + rng.normal(0, 2, (40, 40, 3))
    page = Image.fromarray(paper.clip(0, 255).astype(np.uint8))
    page.paste((30, 45, 110), mask=ink)
    return page


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("scans"), help="folder to make")
    parser.add_argument("--images", type=int, default=2000, help="at most 10,000")
    parser.add_argument("--hints", type=int, default=5, help="labels of each kind in hints.csv")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    bundled = load("mnist-mini").train
    assert bundled.labels is not None
    given.out.mkdir(parents=True)
    truth = [("file", "label")]
    for i in range(given.images):
        written(bundled.pixels[i, 0].numpy(), rng).save(given.out / f"scan{i:04}.png")
        truth.append((f"scan{i:04}.png", str(int(bundled.labels[i]))))
    kinds = [[row for row in truth if row[1] == str(kind)] for kind in range(10)]
    few = [row for own in kinds for row in own[: given.hints]]
    named = [truth[0], *few]
    for name, rows in ((f"truth-{given.out.stem}.csv", truth), ("hints.csv", named)):
        with Path(name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    print(f"{given.out}: {given.images} digits; hints.csv names {len(few)} of them")


if __name__ == "__main__":
    main()
