"""What several commands share: the screen, reading a source, naming what cannot be used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mcevae.models.config import Config

if TYPE_CHECKING:
    from mcevae.images.datasets import Splits
    from mcevae.images.readers import Fault


screen = Console(soft_wrap=True, markup=False)  # names of files may look like markup
FAULTS_SHOWN = 20
Run = tyro.conf.Positional[Path]


def reading() -> Progress:
    """A bar for files that are read, which goes when they are."""
    return Progress(TextColumn("reading images"), BarColumn(), console=screen, transient=True)


def images_of(run: Path, config: Config, state: dict[str, Any]) -> "Splits":
    """The images that a run was trained on, which are what they were."""
    from mcevae.runs.checkpoint import check_data, check_source
    from mcevae.runs.data import prepare_for

    check_source(run, config)
    with reading() as bar:
        data = prepare_for(config, bar.track)
    check_data(run, data, state)
    return data


def tell_faults(faults: "Sequence[Fault]", path: Path) -> None:
    """Name the first few of the files that could not be used, and the table of them all."""
    if not faults:
        return
    screen.print(f"{len(faults)} could not be used, all named in {path}:", highlight=False)
    for fault in faults[:FAULTS_SHOWN]:
        screen.print(f"  {fault.name} {fault.reason}", highlight=False, markup=False)
