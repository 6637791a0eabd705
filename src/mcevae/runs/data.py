"""The images that the settings of a run describe."""

from mcevae.images.loading import prepare
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.own_group import group_of


def settle(config: Config, source: Source | None = None) -> Config:
    """Settings with everything chosen that the images of the source decide.

    Settings that are settled already come back as they are.

    Args:
        config: settings.
        source: of `config.data`, if it is open already.

    Raises:
        UserError: there is no such source, or no image of it can be used.
    """
    source = source or open_source(config.data.source, config.data)
    return config.changed(data=source.settled())


def prepare_for(config: Config, track: Track = iter, source: Source | None = None) -> Splits:
    """The posed splits that the settings of a run describe.

    Args:
        config: settings; `settle` fills in what files decide.
        track: wraps the files, a progress bar say.
        source: of `config.data`, if it is open already.

    Raises:
        UserError: as in `prepare`.
    """
    group = group_of(config.data_group or config.model.group)
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
