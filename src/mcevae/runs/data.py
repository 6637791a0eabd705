"""Load the images that the settings of a run describe."""

from mcevae.images.loading import prepare
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.own_group import group_of


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


def prepare_for(config: Config, track: Track = iter, source: Source | None = None) -> Splits:
    """Load, split and pose the images that the settings of a run describe.

    Args:
        config: settings, filled in by `settle`.
        track: wraps the list of files, for example to show a progress bar.
        source: the source that `config.data` describes, if it is already open.

    Raises:
        UserError: as for `prepare`.
    """
    group = group_of(config.data_group or config.model.group, mirror=config.model.mirror)
    return prepare(
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
