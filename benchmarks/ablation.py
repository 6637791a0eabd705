"""The default preset with one piece off at a time, on posed MNIST.

    MCEVAE_DATA=folder/with/mnist.npz python benchmarks/ablation.py --rows tangent frames

Each cell, a piece and a seed, trains on 10,000 images and is scored on 5,000 validation images,
never on test ones. Cells that are done are not run again, a stopped one goes on where it was.
Rewrites results/ablation.json after every cell.
"""

from pathlib import Path
from typing import Any

from cells import parser_of, run_cells, score, train

from mcevae.models.config import Config
from mcevae.training.schedule import BATCH

PIECES: dict[str, dict[str, dict[str, Any]]] = {
    "none": {},
    "templates": {"start": {"poses": "moments"}},
    "support": {"support": {"rotation": 180.0}},
    "tangent": {"start": {"grouping": "euclidean"}},
    "graph": {"start": {"grouping": "kmeans"}},
    "frames": {"start": {"frames": "common"}},
    "draws": {"start": {"draw": "mode"}},
    "redraws": {"start": {"redraws": 0}},
    "firm": {"start": {"firm": 2.0}},
    "deformations": {"start": {"augment_strain": 0.0, "augment_elastic": 0.0}},
    "canonical": {"model": {"encode": "image"}},
}
"""What is off, and the settings that turn it off. Images are posed within 90 degrees in all."""


def posed(seed: int) -> Config:
    """Settings with nothing off, which the images are posed by."""
    return Config().changed(
        data={"source": "mnist", "limit": 10_000},
        start={"subset": 10_000},
        train={"epochs": 20, "batch_size": BATCH, "seed": seed},
    )


def settings(piece: str, seed: int) -> Config:
    """Settings with a piece off."""
    return posed(seed).changed(**PIECES[piece])


def cell(piece: str, seed: int, run: Path) -> dict[str, Any]:
    """Train with a piece off, and score."""
    data = train(settings(piece, seed), run, posed_by=posed(seed))
    return score(run, posed(seed), data, "validation")


if __name__ == "__main__":
    chosen = parser_of(__doc__, list(PIECES), "ablation").parse_args()
    run_cells("ablation", chosen, settings, cell)
