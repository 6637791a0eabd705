"""`mcevae fit` and `mcevae resume`: train, then score and report."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import tyro

from mcevae.base.errors import UserError
from mcevae.base.processes import place
from mcevae.cli.evaluate import show_and_report
from mcevae.cli.shared import Run, reading, screen
from mcevae.models.config import PRESETS, Config


def starting_point(arguments: Sequence[str]) -> Config:
    """Defaults of `fit`'s flags: the settings file or preset that the arguments name."""
    named = dict(pairwise(arguments))
    for argument in arguments:
        if argument.startswith("--") and "=" in argument:
            name, value = argument.split("=", 1)
            named[name] = value
    if "--settings" in named:
        return Config.read(Path(named["--settings"]))
    name = named.get("--preset", named.get("--model", ""))
    return PRESETS.get(name, PRESETS["default"])()


def fit_from(start: Config) -> Callable[..., None]:
    """The command `fit`, its flags' defaults taken from `start`."""

    def fit(
        config: tyro.conf.OmitArgPrefixes[Config] = start,
        *,
        out: Path,
        settings: Path | None = None,  # read by `starting_point`, before the flags
    ) -> None:
        """Learn clusters and poses from images; ends with scores and report.html.

        Example: mcevae fit mnist-mini --group se2 --clusters 10 --epochs 40 --out runs/first

        Ctrl-C saves; `mcevae resume RUN` goes on.

        Args:
            out: Folder to make for the run.
            settings: TOML file to take settings from, such as a run's settings.toml; flags win.
        """
        from mcevae.base.files import is_stale
        from mcevae.runs.data import settle

        begun = out.exists() and not (out.is_dir() and all(map(is_stale, out.iterdir())))
        if begun and place()[0] == 0:  # other ranks may find what rank 0 has written by then
            raise UserError(f"{out}: exists already; choose another --out, or `mcevae resume`.")

        with screen.status("looking at the images"):
            config, found = settle(config)
        if found:
            screen.print(found.in_words(), highlight=False)
        train(config, out, resume=False)

    return fit


def resume(
    run: Run,
    /,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
) -> None:
    """Go on with a run that was stopped, or train it longer.

    Example: mcevae resume runs/first --epochs 40

    Args:
        run: Folder that `mcevae fit` made.
        epochs: Train until this many epochs in all. Unset: as the run was started.
        minutes: Train until this many minutes in all. Unset: as the run was started.
        batch_size: Images per step and device from here on, for another number of devices say.
            Unset: as the run was started.
    """
    if not run.is_dir():
        raise UserError(f"{run}: no such run; give a folder that `mcevae fit` made.")
    config = Config.read(run / "settings.toml")
    given = {"epochs": epochs, "minutes": minutes, "batch_size": batch_size}
    changes = {k: v for k, v in given.items() if v is not None}
    try:
        settings = dataclasses.replace(config.train, **changes)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    train(dataclasses.replace(config, train=settings), run, resume=True)


def train(config: Config, run: Path, *, resume: bool) -> None:
    """Train, then score and report, which is rank 0's."""
    from mcevae.base.machine import keep_memory
    from mcevae.runs.checkpoint import check_source
    from mcevae.runs.data import prepare_for
    from mcevae.training.loop import fit
    from mcevae.training.schedule import advice

    keep_memory()
    if resume:
        check_source(run, config)
    with reading() as bar:
        data = prepare_for(config, bar.track)
    said = advice(config, len(data.train))
    if said and not resume:
        screen.print(said, highlight=False)
    if not fit(config, data, run, resume=resume, console=screen):
        screen.print(f"Stopped and saved. Go on with: mcevae resume {run}")
        sys.exit(0 if place()[0] else 130)  # or the launcher would end rank 0 before it says so
    if place()[0] == 0:
        show_and_report(run, data)
