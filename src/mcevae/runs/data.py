"""The images that the settings of a run describe."""

from pathlib import Path

from mcevae.geometry.groups import get_group
from mcevae.images.datasets import Splits, prepare
from mcevae.images.folder import Track, is_split_archive, look
from mcevae.images.packs import is_pack, open_pack
from mcevae.images.recipe import Survey
from mcevae.models.config import Config


def settle(config: Config) -> tuple[Config, Survey | None]:
    """Settings with everything chosen that the files of the source decide, and what they are like.

    Built-in sets need no choice. Settings that are settled already come back as they are.

    Raises:
        UserError: as `sample`.
    """
    source = Path(config.data.source)
    if not config.data.is_file or is_split_archive(source):
        return config, None
    if is_pack(source):
        return config.changed(data=open_pack(source).recipe), None
    found = look(Path(config.data.source), config.data)
    recipe = found.recipe
    return config.changed(
        data={
            "size": None if found.alike else recipe.shape[0],
            "colour": "rgb" if recipe.channels == 3 else "grey",
            "normalise": recipe.normalise,
            "levels": recipe.levels,
            "background": recipe.background,
        }
    ), found


def prepare_for(config: Config, track: Track = iter) -> Splits:
    """The posed splits that the settings of a run describe.

    Args:
        config: settings; `settle` fills in what files decide.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: as in `prepare`.
    """
    group = get_group(config.data_group or config.model.group)
    return prepare(
        config.data.source,
        group=group,
        support=config.support.half_widths(group),
        posed=config.data_group is not None,
        split=config.data.split,
        limit=config.data.limit,
        seed=config.data.data_seed,
        background=config.data.background_level,
        settings=config.data,
        track=track,
    )
