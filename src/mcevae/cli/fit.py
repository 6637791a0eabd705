"""`mcevae fit` and `mcevae resume`: train a model, score it and write its report."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mcevae.base.choosing import Keeping
from mcevae.base.errors import UserError
from mcevae.base.flags import setting_of
from mcevae.base.processes import place
from mcevae.cli.again import (
    alone,
    check_rounds,
    clean,
    defaults_from,
    family_for,
    gives,
    parent_in,
)
from mcevae.cli.evaluate import show_and_report, show_first
from mcevae.cli.scenes import SceneFlags, check_frames, ended_here, fit_frames, search_again
from mcevae.cli.shared import RunFolder, reading, screen, tell_notes
from mcevae.models.config import PART_TYPES, PRESETS, Config
from mcevae.models.own import unread
from mcevae.models.registry import readers

if TYPE_CHECKING:
    from mcevae.images.sources.contract import Source
    from mcevae.images.splits import Splits
    from mcevae.predicting.family import Family


def starting_point(arguments: Sequence[str]) -> Config:
    """The defaults of `fit`'s flags, from the settings file or preset that the arguments name."""
    named = dict(pairwise(arguments))
    for argument in arguments:
        if argument.startswith("--") and "=" in argument:
            name, value = argument.split("=", 1)
            named[name] = value
    quick, parent = asks_quick(arguments), parent_in(named)
    if "--settings" in named:
        return Config.read(Path(named["--settings"]).resolve())
    name = named.get("--preset", named.get("--model", "quick" if quick else ""))
    config = PRESETS.get(name, Config)() if parent is None else defaults_from(parent, name)
    if arguments[:1] == ["fit"]:
        refuse_flags_of_other_models(arguments, config)
    return config


def asks_quick(arguments: Sequence[str]) -> bool:
    """Return whether `--quick` is among the arguments.

    Raises:
        UserError: there is another preset, or a settings file, as well.
    """
    if "--quick" not in arguments:
        return False
    for flag in ("--preset", "--model", "--settings"):
        if gives(arguments, flag):
            raise UserError(f"--quick is a preset of its own; leave {flag} out, or --quick.")
    return True


def refuse_flags_of_other_models(arguments: Sequence[str], config: Config) -> None:
    """Refuse a flag that only other presets have, and say which presets have it.

    Raises:
        UserError: there is such a flag.
    """
    known = {"out", "settings", "quick", "help", "preset", "model"}
    for part in PART_TYPES:
        known |= {field.name for field in dataclasses.fields(getattr(config, part))}
    for argument in arguments:
        name = setting_of(argument.partition("=")[0].removeprefix("--"))
        if argument.startswith("--") and name not in known and readers(f"peer.{name}"):
            raise UserError(f"{unread(config.model.kind, f'peer.{name}')}.")


def fit_from(start: Config, *, clusters: bool = False) -> Callable[..., None]:
    """Make the command `fit`.

    Args:
        start: the defaults of its flags.
        clusters: whether the number of clusters is among its arguments.
    """

    def fit(
        config: tyro.conf.OmitArgPrefixes[Config] = start,
        *,
        out: Path,
        parent: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
        keeping: tyro.conf.OmitArgPrefixes[Keeping] = Keeping(),  # noqa: B008
        split_group: str | None = None,
        rounds: int = 1,
        settings: Path | None = None,  # both are read by `starting_point`, before the flags
        quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False,
        frames: tyro.conf.OmitArgPrefixes[SceneFlags] = SceneFlags(),  # noqa: B008
    ) -> None:
        """Learn clusters and poses from images, then write scores and report.html.

        Example: mcevae fit mnist-mini --group se2 --clusters 10 --epochs 40 --out runs/first

        To stop, press Ctrl-C: the run is saved. To continue it, use `mcevae resume RUN`.

        Args:
            out: Folder to create for the run. It must be new or empty.
            parent: Run whose images to train on again, without junk and with its settings. Other
                flags say which of its images to keep. There are as many clusters as groups are
                kept, unless you say how many; one group is split into a number that is found.
            keeping: Which images of --from to keep.
            split_group: Name of a group of --from to classify further: only its images are kept,
                and sorted into a number of clusters that is found, unless you say how many.
            rounds: How many times to train, 1 to 20. After each round, images that look like
                nothing else are junk, and the next round is made from the others. Each round is a
                run, in the folders round-1, round-2 and so on of --out.
            settings: TOML file to read settings from, such as a run's settings.toml. A flag on the
                command line replaces the file's value.
            quick: Train no network: find clusters, poses and averages by comparing the images, and
                end there. The same as --preset quick.
            frames: Whether SOURCE has frames that show many things each.
        """
        check_frames(frames, parent, alone(keeping, split_group), rounds)
        if frames.scenes:
            fit_frames(config, frames.searching, out)
            return
        refuse_begun(out)
        check_rounds(rounds)
        family = family_for(parent, alone(keeping, split_group), config.data.source)
        first = family.settled(config, clusters=clusters) if family else config
        begin_rounds(first, out, family, rounds)

    return fit


def begin_rounds(config: Config, out: Path, family: "Family | None", rounds: int) -> None:
    """Begin a run, or several rounds of it, each without the junk of the one before.

    Args:
        config: settings of the first.
        out: its folder, or that of all rounds.
        family: the runs before it; None: there are none.
        rounds: how many there are at most.

    Raises:
        UserError: as for `begin`.
    """
    if rounds == 1:
        begin(config, out, family)
        return
    for number in range(1, rounds + 1):
        folder = out / f"round-{number}"
        screen.print(f"Round {number} of {rounds}: {folder}", highlight=False)
        begin(config, folder, family)
        if number == rounds or (family := clean(folder)) is None:
            break
        config = family.settled(config, clusters=False)


def begin(config: Config, out: Path, family: "Family | None" = None) -> None:
    """Begin a run, train it and write its report.

    Args:
        config: its settings.
        out: its folder, new or empty.
        family: the runs before it; None: there are none.

    Raises:
        UserError: the folder is not empty, or the images cannot be used.
    """
    from mcevae.training.loop import training_alone

    refuse_begun(out)
    with training_alone(out):
        refuse_begun(out)  # again, now that nobody else can begin it
        prepare_and_train(config, out, family)


def prepare_and_train(config: Config, out: Path, family: "Family | None" = None) -> None:
    """Read the images of a new run, train it and write its report.

    Args:
        config, out, family: as for `begin`.

    Raises:
        UserError: the images cannot be used.
    """
    from mcevae.images.sources.registry import open_source
    from mcevae.runs.data import settle

    with screen.status("listing the images"):
        source = open_source(config.data.source, config.data)
        settled = settle(config, source)
    if source.survey:
        screen.print(source.survey.in_words(), highlight=False)
    settled, data = with_images(settled, source)
    tell_notes(source.notes)
    if data.reckoned:
        screen.print(data.reckoned, highlight=False)
    del source  # it may hold all images as they are in their file
    if family and place()[0] == 0:
        family.begin(out, settled)
    train(settled, data, out, resume=False)


def refuse_begun(out: Path) -> None:
    """Refuse a folder that holds anything but what killed processes leave behind.

    Raises:
        UserError: it does.
    """
    from mcevae.training.loop import is_free

    if place()[0] == 0 and not is_free(out):  # it may write there before the other ranks look
        raise UserError(
            f"{out}: already exists; choose another --out, or continue it with `mcevae resume`."
        )


def resume(
    run: RunFolder,
    /,
    *,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
) -> None:
    """Continue a run that was stopped, or train a finished run longer.

    Example: mcevae resume runs/first --epochs 40

    A stopped run continues as if it had never stopped. A finished run has saved only its weights:
    it continues from the last ones, with a new optimizer.

    Args:
        run: Folder that `mcevae fit` made.
        epochs: Total number of epochs, including those already done. Default: the run's own.
        minutes: Total minutes of training, including those already done. Default: the run's own.
        batch_size: Images per step and device from now on. Change it, for example, if the number
            of devices changes. Default: the run's own.

    Raises:
        UserError: there is no such run, or a setting is out of range.
    """
    from mcevae.runs.checkpoint import check_source
    from mcevae.training.loop import training_alone

    if not run.is_dir():
        raise UserError(f"{run}: no such run; give a folder that `mcevae fit` made.")
    if ended_here(run):
        return
    config = Config.read(run / "settings.toml")
    if config.model.mirror == "auto":  # `fit` has settled it before it writes them
        raise UserError(f"{run / 'settings.toml'}: mirror is 'auto'; give true or false there.")
    given = {"epochs": epochs, "minutes": minutes, "batch_size": batch_size}
    changes = {k: v for k, v in given.items() if v is not None}
    try:
        settings = dataclasses.replace(config.train, **changes)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    check_source(run, config)
    config = dataclasses.replace(config, train=settings)
    with training_alone(run):
        train(config, images_for(config), run, resume=True, limited=batch_size is None)


def with_images(config: Config, source: "Source") -> "tuple[Config, Splits]":
    """Read the images of a new training, and settle what depends on all of them.

    Args:
        config: Settings of the run.
        source: The images.
    """
    from mcevae.runs.data import decide_mirror

    data = images_for(config, source)
    with screen.status("looking for mirror images"):
        config, told = decide_mirror(config, data)
    if told:
        screen.print(told, highlight=False)
    if told and config.model.mirror and config.data_group is not None:
        data = images_for(config, source)  # images that we move ourselves are now mirrored as well
    return config, data


def images_for(config: Config, source: "Source | None" = None) -> "Splits":
    """Read the images of a training, and show a progress bar meanwhile.

    Args:
        config: Settings of the run.
        source: The images, if they are open already.
    """
    from mcevae.runs.data import prepare_for

    with reading() as bar:
        return prepare_for(config, bar.track, source)


def train(
    config: Config, data: "Splits", run: Path, *, resume: bool, limited: bool = False
) -> None:
    """Train; then rank 0 scores the run and writes the report.

    Args:
        config: Settings of the run.
        data: The images.
        run: Folder of the run.
        resume: Continue a run, instead of starting a new one.
        limited: Limit the memory, since the run can be a stranger's.
    """
    from mcevae.base.machine import keep_memory
    from mcevae.runs.naming import name_by
    from mcevae.runs.run import TrainedRun
    from mcevae.training.loop import fit
    from mcevae.training.schedule import advice

    keep_memory()
    hint = advice(config, len(data.train))
    if hint and not resume:
        screen.print(hint, highlight=False)
    signals: list[int] = []
    told: dict[str, Any] = {"console": screen, "signals": signals, "first": show_first}
    if not fit(config, data, run, resume=resume, limited=limited, replaceable=True, **told):
        screen.print(f"Stopped and saved. Continue with: mcevae resume {run}")
        code = 128 + signals[0] if signals else 130
        # Of the other ranks, any code but 0 makes the launcher end rank 0 too early.
        sys.exit(0 if place()[0] else code)
    if place()[0] == 0:
        opened = TrainedRun.open(run)
        name_by(run, opened.clusters, data.train.images.hints)
        show_and_report(opened, data)
        search_again(opened)
