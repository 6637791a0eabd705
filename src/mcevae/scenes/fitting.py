"""Make a run from frames without boxes, from Python."""

from pathlib import Path

from mcevae.base.errors import UserError
from mcevae.models.config import Config
from mcevae.run import Run
from mcevae.scenes.learning import Learner, finish, is_begun, is_trained, with_crops
from mcevae.scenes.settings import SceneConfig
from mcevae.scenes.telling import Telling
from mcevae.training.loop import fit, is_free, training_alone


def fit_scenes(
    config: Config,
    out: str | Path,
    scenes: SceneConfig | None = None,
    *,
    telling: Telling | None = None,
) -> Run:
    """Learn from frames that show many things, as `mcevae fit --scenes` does; return the run.

    Its images are crops around the things that were found. The folder has a table of these crops
    (crops.csv), and of the places, poses and groups in all frames (places.parquet). If this is
    stopped, the same call continues it.

    Args:
        config: settings. `config.data.source` are the frames, and `config.data.size` is the side of
            the box around one thing, pixels; None: it is guessed from the frames.
        out: folder of the run, new or empty.
        scenes: how the frames are searched; None: as `SceneConfig` has it.
        telling: shows the progress; None: nothing is shown.

    Raises:
        UserError: the folder has something else, no frame can be used, they do not tell
            the size of things, or nothing is found.
        KeyboardInterrupt: somebody asked to stop.
    """
    folder = Path(out)
    if not is_begun(folder) and not is_free(folder):
        raise UserError(f"{folder}: already exists; choose another folder.")
    with training_alone(folder):
        learner = Learner(config, scenes or SceneConfig(), folder, telling)
        if not is_trained(folder):
            train(learner, folder)
        finish(Run.open(folder), telling)
    return Run.open(folder)


def train(learner: Learner, folder: Path) -> None:
    """Train the run of the places that are found, or continue that; write its report.

    Raises:
        KeyboardInterrupt: somebody asked to stop.
    """
    begun = (folder / "settings.toml").exists()
    config = Config.read(folder / "settings.toml") if begun else learner.learn()
    config, data = with_crops(config)
    if not fit(config, data, folder, resume=begun):
        raise KeyboardInterrupt
    Run.open(folder).report()
