"""Load the images that the settings of a run describe."""

from mcevae.images.loading import prepare
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.own_group import group_of
from mcevae.runs.naming import check_names
from mcevae.teaching.graph import describe_pixels, reach_of
from mcevae.teaching.handedness import handedness

MIRROR_SAMPLE = 3000
"""Number of training images in which mirror images are looked for, at most."""


def settle(config: Config, source: Source | None = None) -> Config:
    """Fill in the settings that depend on the images, such as their size and colours.

    Settings that are already filled in do not change.

    Args:
        config: settings to fill in.
        source: the source that `config.data` describes, if it is already open.

    Raises:
        UserError: there is no such source, or none of its images can be used.
    """
    source = source or open_source(config.data.source, config.data)
    return config.changed(data=source.settled())


def decide_mirror(config: Config, data: Splits) -> tuple[Config, str]:
    """Settle --mirror auto: find out from the training images whether mirror images occur.

    Other settings of --mirror do not change, and nothing is looked at.

    Args:
        config: settings, filled in by `settle`.
        data: its images.

    Returns:
        The settings, with yes or no, and what was found in one line; "" if nothing was looked for.
    """
    if config.model.mirror != "auto":
        return config, ""
    group = group_of(config.model.group)
    half_width = config.support.half_widths(group)[0]
    pixels = data.train.images.pixels[:MIRROR_SAMPLE]
    rings = describe_pixels(pixels, group, config.data.background_level).rings
    found = handedness(rings, reach=reach_of(half_width))
    return config.changed(model={"mirror": found.occurs}), found.in_words()


def prepare_for(config: Config, track: Track = iter, source: Source | None = None) -> Splits:
    """Load, split and pose the images that the settings of a run describe.

    Args:
        config: settings, filled in by `settle`.
        track: wraps the list of files, for example to show a progress bar.
        source: the source that `config.data` describes, if it is already open.

    Raises:
        UserError: as for `prepare`.
    """
    group = group_of(config.data_group or config.model.group, mirror=config.model.mirror is True)
    splits = prepare(
        source or open_source(config.data.source, config.data),
        group=group,
        support=config.support.half_widths(group),
        posed=config.data_group is not None,
        split=config.data.split,
        limit=config.data.limit,
        seed=config.data.data_seed,
        background=config.data.background_level,
        track=track,
    )
    check_names(splits.train.images.hints)
    return splits
