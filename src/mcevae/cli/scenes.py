"""`mcevae fit --scenes`: a run from frames that show many things, without boxes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from mcevae.base.choosing import Keeping
from mcevae.base.errors import Terminated, UserError
from mcevae.base.processes import place
from mcevae.cli.shared import screen
from mcevae.models.config import Config
from mcevae.scenes.settings import SceneConfig

if TYPE_CHECKING:
    from mcevae.runs.run import TrainedRun


@dataclass(frozen=True, kw_only=True)
class SceneFlags(SceneConfig):
    """For frames that show many things each, and have no boxes."""

    scenes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """SOURCE has frames that show many things: find these, sort them, and find them again with what
    was learned. --size is the side of the box around one thing, in pixels of the frames; without
    it, it is guessed from the frames. If this is stopped, give the command again."""

    @property
    def searching(self) -> SceneConfig:
        """How frames are searched."""
        return SceneConfig(searches=self.searches, thing_size=self.thing_size)


def check_frames(frames: SceneFlags, parent: Path | None, keeping: Keeping, rounds: int) -> None:
    """Refuse flags that do not go together.

    Raises:
        UserError: there are some, or several processes share the work.
    """
    if not frames.scenes:
        if frames != SceneFlags():
            raise UserError("--searches and --thing-size are of frames; give --scenes with them.")
        return
    if parent is not None or keeping != Keeping() or rounds > 1:
        raise UserError(
            "--scenes makes a new run from frames, in rounds of its own (--searches); leave out "
            "--from, --rounds and what goes with them."
        )
    if place()[1] > 1:
        raise UserError("--scenes needs a single process; start mcevae fit without torchrun.")


def fit_frames(config: Config, searching: SceneConfig, out: Path) -> None:
    """Make a run from frames; the same call continues one that was stopped.

    Args:
        config: settings; the source are the frames.
        searching: how they are searched.
        out: folder of the run.

    Raises:
        UserError: the folder has something else, or nothing can be learned from the frames.
    """
    from mcevae.cli.fit import prepare_and_train, refuse_begun, resume
    from mcevae.scenes.learning import Learner, is_begun
    from mcevae.scenes.telling import Telling
    from mcevae.training.loop import training_alone

    if not is_begun(out):
        refuse_begun(out)
    with training_alone(out):
        learner = Learner(config, searching, out, Telling(screen))
        if (out / "settings.toml").exists():
            resume(out)
        else:
            with saved():
                found = learner.learn()
            prepare_and_train(found, out)


def ended_here(run: Path) -> bool:
    """Do what is left of a run that is trained, if that is the last search of its frames.

    Args:
        run: folder of a run.

    Returns:
        True if nothing is left, False if it is to be trained.

    Raises:
        UserError: its frames are still searched for the first time, or cannot be read.
    """
    from mcevae.runs.run import TrainedRun
    from mcevae.scenes.learning import is_begun, is_trained

    if is_begun(run) and not (run / "settings.toml").exists():
        raise UserError(
            f"{run}: its frames are still searched; give `mcevae fit` with the same flags again."
        )
    if not is_trained(run):
        return False
    search_again(TrainedRun.open(run))
    return True


def search_again(run: "TrainedRun") -> None:
    """Search the frames of a finished run for its table of places, if it was made from frames."""
    from mcevae.scenes.learning import PLACES, finish
    from mcevae.scenes.telling import Telling

    with saved():
        bound = finish(run, Telling(screen))
    if bound is not None:
        screen.print(f"In the frames, {bound.in_words()}: {run.folder / PLACES}", highlight=False)


@contextmanager
def saved() -> Iterator[None]:
    """Say how to continue, if somebody asks to stop."""
    try:
        yield
    except (KeyboardInterrupt, Terminated) as error:
        screen.print("Stopped and saved. Continue with the same command.", highlight=False)
        sys.exit(143 if isinstance(error, Terminated) else 130)
