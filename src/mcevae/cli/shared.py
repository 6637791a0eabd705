"""What several commands share: the screen, reading a source, naming what cannot be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from mcevae.images.readers.frames import Fault
    from mcevae.images.splits import Splits
    from mcevae.runs.run import TrainedRun


screen = Console(soft_wrap=True, markup=False)  # names of files may look like markup
FAULTS_SHOWN = 20
RunFolder = tyro.conf.Positional[Path]


def reading() -> Progress:
    """A bar for files that are read, which goes when they are."""
    return Progress(TextColumn("reading images"), BarColumn(), console=screen, transient=True)


def images_of(run: "TrainedRun") -> "Splits":
    """The images that a run was trained on, with a bar while they are read."""
    with reading() as bar:
        return run.data(bar.track)


def tell_faults(faults: "Sequence[Fault]", path: Path) -> None:
    """Name the first few of the files that could not be used, and the table of them all."""
    if not faults:
        return
    screen.print(f"{len(faults)} could not be used, all named in {path}:", highlight=False)
    for fault in faults[:FAULTS_SHOWN]:
        screen.print(f"  {fault.name} {fault.reason}", highlight=False, markup=False)
