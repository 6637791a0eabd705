"""`mcevae fit --from`: which images of another run a new run is made from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcevae.base.choosing import Keeping
from mcevae.base.errors import UserError
from mcevae.base.processes import place
from mcevae.cli.shared import screen, telling
from mcevae.models.config import PRESETS, Config

if TYPE_CHECKING:
    from mcevae.predicting.family import Family

MOST_ROUNDS = 20


def parent_in(named: dict[str, str]) -> Path | None:
    """The run that the flag --from names; None: there is none.

    Args:
        named: what follows each flag.

    Raises:
        UserError: there is a settings file as well.
    """
    if "--from" in named and "--settings" in named:
        raise UserError("--from takes the settings of a run; leave out --settings, or --from.")
    return Path(named["--from"]) if "--from" in named else None


def defaults_from(run: Path, preset: str) -> Config:
    """The defaults of `fit --from RUN`: settings of the run, epochs chosen anew.

    Args:
        run: the run.
        preset: preset to train with; "": that of the run.

    Raises:
        UserError: the run has no settings that can be read, or the preset cannot have them.
    """
    config = Config.read(run / "settings.toml")
    if preset not in PRESETS or preset == config.preset:
        return config.changed(train={"epochs": "auto", "batch_size": "auto"})
    parts = {name: vars(getattr(config, name)) for name in ("data", "support")}
    model = {name: getattr(config.model, name) for name in ("group", "mirror", "clusters")}
    try:
        return PRESETS[preset]().changed(model=model, **parts)
    except ValueError as error:
        raise UserError(f"--preset {preset} does not fit {run}: {error}.") from error


def gives(arguments: Sequence[str], flag: str) -> bool:
    """Return whether a flag is among the arguments."""
    return any(one == flag or one.startswith(f"{flag}=") for one in arguments)


def alone(keeping: Keeping, group: str | None) -> Keeping:
    """What is kept if one group is to be split further.

    Args:
        keeping: what else people said of the images to keep.
        group: name of the group; None: none is split.

    Raises:
        UserError: other groups are to be kept as well.
    """
    if group is None:
        return keeping
    if keeping.keep or keeping.without:
        raise UserError(
            f"--split-group {group} keeps this group alone; leave out --keep and --without."
        )
    return replace(keeping, keep=(group,))


def family_for(run: Path | None, keeping: Keeping, source: str) -> "Family | None":
    """Choose the images of a new run; None: it is made from all images of its source.

    Args:
        run: the run that it is made from, or None.
        keeping: which images of it are kept.
        source: of the new run's images.

    Raises:
        UserError: it does not fit the run, or something is to be kept without any run.
    """
    if run is None:
        if keeping != Keeping():
            raise UserError(
                f"to keep some images only ({keeping.in_words()}) needs the run that knows them; "
                "give it with --from."
            )
        return None
    from mcevae.predicting.family import family_of
    from mcevae.runs.run import TrainedRun

    parent = TrainedRun.open(run)
    if parent.settings.data.source != source:
        raise UserError(
            f"{source}: --from {run} takes the images of that run, which are those of "
            f"{parent.settings.data.source}; leave out the source."
        )
    with telling("choosing") as tell:
        found = family_of(parent, keeping, tell)
    screen.print(f"Made from {found.parents[-1].in_words()}.", highlight=False)
    return found


def check_rounds(rounds: int) -> None:
    """Refuse a number of rounds that cannot be.

    Raises:
        UserError: it is below 1, or too large, or several processes share the work.
    """
    if not 1 <= rounds <= MOST_ROUNDS:
        raise UserError(f"--rounds is {rounds}; use 1 to {MOST_ROUNDS}.")
    if rounds > 1 and place()[1] > 1:
        raise UserError(
            "--rounds needs a single process, since each round waits for the whole of the one "
            "before; leave it out, and use --from for the next round."
        )


def clean(run: Path) -> "Family | None":
    """Call junk what looks like nothing else in a run; return the family of the next round.

    Args:
        run: the run of a round.

    Returns:
        The family. None: there is no junk, so the next round would be the same.

    Raises:
        UserError: nothing is left.
    """
    from mcevae.predicting.rounds import cleaned
    from mcevae.runs.run import TrainedRun

    with telling("looking for junk") as tell:
        found = cleaned(TrainedRun.open(run), tell)
    if not found.images:
        screen.print(f"No image of {run} is junk, so there are no more rounds.", highlight=False)
        return None
    screen.print(f"{run}: {found.in_words()}.", highlight=False)
    return found.family
