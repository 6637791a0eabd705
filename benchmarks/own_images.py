"""Symbols of a font in files of many kinds, sorted from the command line as people would.

    python benchmarks/own_images.py --folder FOLDER

Makes 3,000 pictures of twelve kinds (five file types, mixed sizes, 5 broken), 1,200 16-bit TIFFs
and an MRC stack of 1,200 frames (`scripts/make_symbols.py`), and runs `mcevae fit` on each, with
its own choice of epochs and batches and with those of many images, which make few steps of these.
What is there already is not made again. Writes results/own_images.json; labels are used for the
scores alone. About 20 minutes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from common import write_results

from mcevae.training.schedule import BATCH, EPOCHS

ROOT = Path(__file__).parents[1]
SOURCES = {"pictures": 3000, "tiff": 1200, "mrc": 1200}
FLAGS = {"auto": (), "as-of-many": ("--epochs", str(EPOCHS), "--batch-size", str(BATCH))}
SHOWN = ("accuracy", "kmeans_accuracy", "nmi", "same_cluster", "bce")


def run(*arguments: object) -> None:
    """A command, shown, which must succeed."""
    words = [sys.executable, *map(str, arguments)]
    print(*words[1:], flush=True)
    subprocess.run(words, check=True)


def main() -> None:
    """Make what is not there, and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    rows = []
    for kind, images in SOURCES.items():
        source = folder / kind
        if not source.exists():
            script = ROOT / "scripts" / "make_symbols.py"
            run(script, "--out", source, "--kind", kind, "--images", images)
        labels = source / "labels.csv" if kind == "mrc" else "folders"
        for name, flags in FLAGS.items():
            made = folder / f"run-{kind}-{name}"
            if not (made / "metrics.json").exists():
                fit = ("fit", source, "--labels", labels, "--clusters", 12, *flags, "--out", made)
                run("-m", "mcevae", *fit)
            scores = json.loads((made / "metrics.json").read_text())["scores"]
            skipped = (made / "skipped.csv").read_text() if (made / "skipped.csv").exists() else ""
            rows.append(
                {
                    "source": kind,
                    "images": images,
                    "flags": " ".join(flags),
                    "broken_files_named": max(0, len(skipped.splitlines()) - 1),
                    "test_images": scores["accuracy"]["n"],
                    **{score: round(scores[score]["value"], 4) for score in SHOWN},
                }
            )
    command = "python benchmarks/own_images.py --folder FOLDER"
    write_results("own_images", {"seed": 0, "rows": rows}, command)


if __name__ == "__main__":
    main()
