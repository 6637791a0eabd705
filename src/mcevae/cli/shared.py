"""Parts that several commands use: the screen, progress bars, the list of unusable files."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mcevae.base.errors import UserError

if TYPE_CHECKING:
    from mcevae.images.readers.frames import Fault
    from mcevae.images.splits import Splits
    from mcevae.pages.finds.album import Album
    from mcevae.runs.run import TrainedRun


BEGAN = time.perf_counter()
"""When this command began."""
screen = Console(soft_wrap=True, markup=False, emoji=False)  # names may look like markup
FAULTS_SHOWN, NOTES_SHOWN = 20, 20
RunFolder = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
SourceText = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SOURCE")]
Checkpoint = Literal["best", "last"]
"""Which weights of a run a command uses; see `open_run`."""


def reading() -> Progress:
    """A progress bar for reading files. It disappears at the end."""
    return Progress(TextColumn("reading images"), BarColumn(), console=screen, transient=True)


@contextmanager
def averaging() -> Iterator[Callable[[float, int], None]]:
    """A progress bar for averaging images, and what moves it. It disappears at the end."""
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("drawing", total=1.0)

        def tell(done: float, images: int) -> None:
            bar.update(task, completed=done, description=f"averaging images: {images}")

        yield tell


@contextmanager
def telling(what: str) -> Iterator[Callable[[float, int], None]]:
    """A progress bar for a pass over images, and what moves it. It disappears at the end.

    Args:
        what: is done with the images.
    """
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda done, _: bar.update(task, completed=done)


@contextmanager
def searching() -> Iterator[tuple[Progress, Callable[[float, str, int], None]]]:
    """Show a bar while frames are searched.

    Yields:
        The bar, and what is called with the share of a frame that is done, the frame's name and
        its things so far.
    """
    with Progress(console=screen, transient=True) as bar:
        task = bar.add_task("finding", total=1.0)

        def tell(done: float, frame: str, things: int) -> None:
            bar.update(task, completed=done, description=f"{things} things in {frame}")

        yield bar, tell


def images_of(run: "TrainedRun") -> "Splits":
    """Read the images that a run was trained on, and show a progress bar meanwhile."""
    with reading() as bar:
        return run.data(bar.track)


def check_finds(finds: Path | None, frames: str | None, *others: str) -> None:
    """Refuse flags that need others.

    Args:
        finds, frames: What --finds and --frames say.
        others: Names of flags that were given, and need --finds.

    Raises:
        UserError: there are such flags.
    """
    if finds and not frames:
        raise UserError(f"--finds {finds}: give --frames as well, the frames of this table.")
    alone = [*(["frames"] if frames else []), *others]
    if alone and not finds:
        raise UserError(f"--{alone[0]}: give --finds as well, a table of `mcevae find` or `track`.")


def album_of(run: "TrainedRun", frames: str) -> "Album":
    """List the frames of a path, and show meanwhile which file is counted."""
    from mcevae.pages.finds.album import Album

    with screen.status("counting frames") as status:
        return Album(
            frames, run.settings.data, lambda name: status.update(f"counting frames: {name}")
        )


def tell_notes(notes: "Sequence[str]") -> None:
    """Print the first remarks on files that were read."""
    for sentence in notes[:NOTES_SHOWN]:
        screen.print(sentence, highlight=False)
    if len(notes) > NOTES_SHOWN:
        screen.print(f"... and {len(notes) - NOTES_SHOWN} more remarks.", highlight=False)


def tell_faults(faults: "Sequence[Fault]", path: Path, reckoned: str = "") -> None:
    """Print the first files that could not be used, and the table that lists all of them.

    Args:
        faults: what could not be used, and what was passed over.
        path: the table.
        reckoned: how many files were read, in one sentence; "": all were, or it is not known.
    """
    unused = [fault for fault in faults if not fault.passed]
    if reckoned:
        screen.print(reckoned, highlight=False)
    if unused:
        screen.print(f"{len(unused)} could not be used:", highlight=False)
    for fault in unused[:FAULTS_SHOWN]:
        screen.print(f"  {fault.name} {fault.reason}", highlight=False, markup=False)
    if faults:
        screen.print(f"All {len(faults):,} that were not read are in {path}.", highlight=False)
