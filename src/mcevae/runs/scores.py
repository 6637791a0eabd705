"""Scores with their units, and the file that keeps them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import read_text, write_text
from mcevae.runs.checkpoint import file_about


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score: value, unit ("" if it has none), and the number of images."""

    value: float
    unit: str
    n: int


Scores = dict[str, Score]


SHOWN = {
    "accuracy": "images whose cluster is that of their label",
    "nmi": "information that clusters share with labels (NMI), 0 to 1",
    "clusters": "clusters",
    "empty_clusters": "clusters without images",
    "largest_cluster": "images in the largest cluster",
    "same_cluster": "images that keep their cluster when they are moved",
    "bce": "error of the reconstructions (BCE)",
    "rotation_error_median": "error of the rotation, median",
    "shift_error_median": "error of the shift, median",
    "mirror_right": "images that are rightly taken for mirrored or not",
}
"""The scores that people read first, and what a screen calls them."""


def for_people(scores: Scores) -> list[tuple[str, Score]]:
    """The scores that people read first, in words. A file has all of them (`write_scores`)."""
    return [(words, scores[name]) for name, words in SHOWN.items() if name in scores]


def effective_number(sizes: Sequence[int] | Int[np.ndarray, " k"]) -> float:
    """The number of equally large clusters with the same entropy as clusters of these sizes."""
    share = np.asarray(sizes) / sum(sizes)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def write_scores(scores: Scores, path: Path, **about: object) -> None:
    """Write scores with their units and n to a JSON file, and the facts in `about` beside them."""
    content = {**about, "scores": {name: asdict(score) for name, score in scores.items()}}
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_scores(run: Path, which: str = "best") -> Scores:
    """Read the scores of a run's test images from metrics.json.

    Args:
        run: folder of the run.
        which: checkpoint that was scored, best or last.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = file_about(run, "metrics.json", which)
    try:
        kept = json.loads(read_text(path))["scores"]
        return {
            name: Score(value=float(one["value"]), unit=str(one["unit"]), n=int(one["n"]))
            for name, one in kept.items()
        }
    except DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read ({error}); "
            f"`mcevae report` with --checkpoint {which} writes it again."
        ) from error
