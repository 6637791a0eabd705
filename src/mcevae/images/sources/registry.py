"""Which kind of source a name or path is. A new kind is a file of this folder and a line here."""

from mcevae.base.config import DataConfig
from mcevae.images.sources.archive import ArchiveSource
from mcevae.images.sources.contract import Source
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.named import NamedSource
from mcevae.images.sources.pack import PackSource

KINDS: list[type[Source]] = [NamedSource, PackSource, ArchiveSource, FileSource]
"""The first that takes a name has it."""


def open_source(name: str, settings: DataConfig | None = None) -> Source:
    """The source of a name or path.

    Args:
        name: of a built-in set, or the path of a folder, a file, a list or a pack.
        settings: how its images are read; None: as they suggest.

    Raises:
        UserError: there is no such source.
    """
    kind = next(kind for kind in KINDS if kind.takes(name))
    return kind(name, settings or DataConfig(source=name))
