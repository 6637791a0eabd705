"""`mcevae evaluate` and `mcevae report`: score a run, and show what it found."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table

from mcevae.cli.shared import (
    BEGAN,
    Checkpoint,
    RunFolder,
    album_of,
    averaging,
    check_finds,
    images_of,
    screen,
    tell_faults,
)

if TYPE_CHECKING:
    from mcevae.images.splits import Splits
    from mcevae.runs.run import TrainedRun
    from mcevae.runs.scores import Scores


def evaluate(
    run: RunFolder,
    /,
    *,
    split: Literal["test", "validation"] = "test",
    checkpoint: Checkpoint = "best",
) -> None:
    """Score a run's clusters, poses, reconstructions and invariance. Writes metrics.json.

    Example: mcevae evaluate runs/first

    Args:
        run: Folder that `mcevae fit` made.
        split: Images to score. Each choice but the default writes a scores file with another name.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.
    """
    from mcevae.runs.run import TrainedRun

    opened = TrainedRun.open(run, checkpoint)
    score(opened, images_of(opened), split)


def report(
    run: RunFolder,
    /,
    *,
    checkpoint: Checkpoint = "best",
    images: str | None = None,
    finds: Path | None = None,
    frames: str | None = None,
) -> None:
    """Score a run and write its report.html again (report-last.html for the last checkpoint).

    Or write a page about a table of finds.

    Example: mcevae report runs/first

    Args:
        run: Folder that `mcevae fit` made, or in which an estimator was saved.
        checkpoint: best: the lowest negative ELBO on the validation images, of all epochs with
            clusters. last: the end of training.
        images: Images to show, for a folder of `save_pretrained`, which has none. It is a run then.
        finds: Table of `mcevae find` or `mcevae track`. The page is about this table then, and
            written beside it, with the ending .html: frames with their finds and their residuals, a
            slider through them, how many things each group has, and the paths of tracks.
        frames: With --finds: the frames that the table was made from.

    Raises:
        UserError: the run or the table cannot be read.
    """
    from mcevae.estimator.as_run import saved_as_run
    from mcevae.runs.run import TrainedRun

    check_finds(finds, frames)
    saved_as_run(run, images)
    opened = TrainedRun.open(run, checkpoint)
    if finds and frames:
        from mcevae.pages.finds.board import Board
        from mcevae.pages.finds.sheet import write_sheet

        page = write_sheet(Board(opened, finds, album_of(opened, frames)))
        screen.print(f"Open {page}", highlight=False)
        return
    show_and_report(opened, images_of(opened))


def score(run: "TrainedRun", data: "Splits", split: str = "test") -> "Scores":
    """Score a run, print the scores as a table and write metrics.json."""
    from mcevae.runs.scores import for_people

    with screen.status("scoring"):
        scores = run.scores(data, split)
    kept = run.keep(scores, split)
    shown = Table(title=f"{run.folder}: {split} images, {run.in_words}")
    for column in ("score", "value", "unit", "images"):
        shown.add_column(column, justify="right" if column in ("value", "images") else "left")
    for words, figure in for_people(scores):
        shown.add_row(words, f"{figure.value:.4g}", figure.unit, str(figure.n))
    screen.print(shown)
    screen.print(f"All {len(scores)} scores are in {kept}.", highlight=False)
    return scores


def show_and_report(run: "TrainedRun", data: "Splits") -> None:
    """Score a run on the test split; write metrics.json, skipped.csv and report.html."""
    from mcevae.pages.report import SKIPPED, write_report
    from mcevae.training.clock import Clock
    from mcevae.training.first import end_first_answer

    clock = Clock()
    screen.print("Scoring the run and writing its report ...", highlight=False)
    with screen.status("measuring confidence"):
        run.calibrate(data)  # first: scores use what features say
    scores = score(run, data)
    with averaging() as tell:
        page = write_report(run, data, scores, tell)
    screen.print(f"Scored and reported in {clock.seconds:.0f} seconds.", highlight=False)
    tell_faults(data.faults, run.folder / SKIPPED, data.reckoned)
    end_first_answer(run.folder)
    tell_trust(run)
    tell_found(run, page)


def tell_trust(run: "TrainedRun") -> None:
    """Print whether to believe the run, and what makes it doubtful."""
    from mcevae.runs.trust.advice import in_words

    if run.trust is None:
        return
    words = in_words(run.trust)
    screen.print(f"{words[0].upper()}{words[1:]}.", highlight=False)
    for sentence in run.advice:
        screen.print(f"  {sentence}", highlight=False)


def tell_found(run: "TrainedRun", page: Path) -> None:
    """Print what a run found, and what to do next."""
    from mcevae.pages.closing import found_in, next_steps
    from mcevae.pages.report import TABLE
    from mcevae.pages.stage import trained

    groups = [entry.name for entry in run.collections.entries]
    screen.print(found_in(run.file(TABLE), groups).in_words(), highlight=False)
    screen.print(f"Open {page}", highlight=False)
    for step in next_steps(run.folder, run.settings.data.source, trained=trained(run)):
        screen.print(step, highlight=False)


def show_first(folder: Path, data: "Splits", total: int) -> str:
    """Write the page of a first answer as report.html of its run; return a sentence about it.

    Args:
        folder: Folder of the first answer, in that of the run.
        data: The images to show.
        total: Number of images of the run.
    """
    from mcevae.pages.closing import found_in
    from mcevae.pages.report import TABLE, write_report
    from mcevae.pages.stage import FirstAnswer
    from mcevae.runs.checkpoint import REPORT
    from mcevae.runs.naming import name_by
    from mcevae.runs.run import TrainedRun
    from mcevae.runs.trust.advice import in_words

    opened = TrainedRun.open(folder)
    name_by(folder, opened.clusters, data.train.images.hints)
    opened.calibrate(data)
    scores = opened.scores(data)
    opened.keep(scores)
    page = folder.parent / REPORT
    write_report(opened, data, scores, first=FirstAnswer(page=page, total=total))
    found = found_in(opened.file(TABLE), [entry.name for entry in opened.collections.entries])
    seconds = time.perf_counter() - BEGAN
    groups = f"{len(found.sizes)}"
    if opened.trust is not None:
        groups += f", {in_words(opened.trust)}"
    return f"{groups}; first answer after {seconds:.0f} s: {page}; still improving"
