"""`mcevae evaluate` and `mcevae report`: what a run is worth, and what it has found."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from mcevae.cli.shared import Run, images_of, screen, tell_faults
from mcevae.models.config import Config

if TYPE_CHECKING:
    from mcevae.images.datasets import Splits
    from mcevae.runs.metrics import Scores


def evaluate(
    run: Run,
    /,
    *,
    split: Literal["test", "validation"] = "test",
    checkpoint: Literal["best", "last"] = "best",
) -> None:
    """Score a run: clusters, poses, reconstruction, invariance; writes metrics.json.

    Example: mcevae evaluate runs/first

    Args:
        run: Folder that `mcevae fit` made.
        split: Images to score; other scores than the default's go to files of their own.
        checkpoint: best has the lowest negative ELBO on the validation images.
    """
    score(run, None, split, checkpoint)


def report(run: Run, /) -> None:
    """Score a run and write its report.html anew.

    Example: mcevae report runs/first

    Args:
        run: Folder that `mcevae fit` made.
    """
    from mcevae.runs.checkpoint import load_model

    _, config, state = load_model(run)
    show_and_report(run, images_of(run, config, state))


def score(run: Path, data: "Splits | None", split: str, which: str) -> tuple[Config, "Scores"]:
    """Score a run's checkpoint, print the table, write metrics.json."""
    from mcevae.pages.report import write_scores
    from mcevae.runs.checkpoint import load_model
    from mcevae.runs.infer import default_device
    from mcevae.runs.metrics import evaluate

    model, config, state = load_model(run, which, default_device())
    data = data or images_of(run, config, state)
    with screen.status("scoring"):
        scores = evaluate(model, config, data, split)
    epoch = state["position"]["epoch"] + 1
    about = {"split": split, "checkpoint": which, "epoch": epoch}
    parts = ["metrics", split if split != "test" else "", which if which != "best" else ""]
    name = "-".join(filter(None, parts)) + ".json"
    write_scores(scores, run / name, **about)
    shown = Table(title=f"{run}: {split} images, {which} checkpoint, epoch {epoch}")
    for column in ("score", "value", "unit", "images"):
        shown.add_column(column, justify="right" if column in ("value", "images") else "left")
    for name, figure in scores.items():
        shown.add_row(name, f"{figure.value:.4g}", figure.unit, str(figure.n))
    screen.print(shown)
    return config, scores


def show_and_report(run: Path, data: "Splits") -> None:
    """Score the best checkpoint on the test split; write metrics.json, skipped.csv, report.html."""
    from mcevae.images.readers import write_faults
    from mcevae.pages.report import write_report
    from mcevae.runs.checkpoint import load_model
    from mcevae.runs.confidence import calibrate
    from mcevae.runs.infer import default_device

    config, scores = score(run, data, "test", "best")
    model, _, _ = load_model(run, "best", default_device())
    with screen.status("measuring confidence"):
        calibration = calibrate(model, config, data.validation.images.pixels)
        calibration.write(run)
    write_faults(data.faults, run / "skipped.csv")
    tell_faults(data.faults, run / "skipped.csv")
    with screen.status("drawing the report"):
        page = write_report(run, model, config, data, scores, calibration)
    screen.print(f"Open {page}")
