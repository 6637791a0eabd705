"""Scores with their units, and the file that keeps them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import write_text


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score: value, unit ("" if it has none), and the number of images."""

    value: float
    unit: str
    n: int


Scores = dict[str, Score]


def write_scores(scores: Scores, path: Path, **about: object) -> None:
    """Write scores with their units and n to a JSON file, and the facts in `about` beside them."""
    content = {**about, "scores": {name: asdict(score) for name, score in scores.items()}}
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_scores(run: Path) -> Scores:
    """Read the scores of a run's test images from metrics.json.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = run / "metrics.json"
    try:
        kept = json.loads(path.read_text("utf-8"))["scores"]
        return {
            name: Score(value=float(one["value"]), unit=str(one["unit"]), n=int(one["n"]))
            for name, one in kept.items()
        }
    except DAMAGE as error:
        raise UserError(
            f"{path}: cannot be read ({error}); `mcevae report` writes it again."
        ) from error
