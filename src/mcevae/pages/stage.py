"""Which answer a page shows: the first one of a training, one without a network, or the last."""

from dataclasses import dataclass
from pathlib import Path

from mcevae.models.registry import spec_of
from mcevae.runs.run import TrainedRun
from mcevae.training.first import FIRST, first_folder


@dataclass(frozen=True, kw_only=True)
class FirstAnswer:
    """That a page shows the first answer of a training, and where it is written.

    Attributes:
        page: path of the page.
        total: number of images of the run, of which the page shows a part.
    """

    page: Path
    total: int


def trained(run: TrainedRun) -> bool:
    """Return whether a run has a network that was trained."""
    return spec_of(run.settings.model.kind).trained


def is_first(run: TrainedRun) -> bool:
    """Return whether an open run is the first answer of another one, which is not finished."""
    within = run.folder.name == FIRST and (run.folder.parent / "settings.toml").is_file()
    return within and not trained(run)


def latest(folder: Path) -> Path:
    """The folder of the answer that a run has now: its own, or that of its first answer.

    Raises:
        UserError: the first answer is a link or no folder.
    """
    first = first_folder(folder)
    return first if (first / "calibration.json").is_file() else folder


def stage_of(run: TrainedRun, *, shown: int, total: int) -> dict[str, str]:
    """Say which answer a page shows, as a title and a sentence.

    Args:
        run: the run of the page.
        shown: number of images on the page.
        total: number of images of the run.
    """
    if is_first(run):
        part = f"This page shows {shown:,} of the {total:,} images. " if shown < total else ""
        return {
            "kind": "first",
            "title": "First answer.",
            "text": f"The images were compared with each other; the network has not learned yet. "
            f"{part}The report of the trained network replaces this page when training ends.",
        }
    if not trained(run):
        return {
            "kind": "quick",
            "title": "Quick answer.",
            "text": "The images were compared, and no network was trained. New images are placed "
            "by what they are nearest to. With preset default, mcevae fit trains a network, which "
            "often sorts better, and draws each image.",
        }
    return {"kind": "last", "title": "Final answer.", "text": "It is that of the trained network."}
