"""Find the kind of source for a name or path. A new kind needs a file here and a line below."""

import os

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.readers.inside import parted
from mcevae.images.readers.mrc import MRC
from mcevae.images.sources.archive import ArchiveSource
from mcevae.images.sources.contract import Source
from mcevae.images.sources.crops import CropSource
from mcevae.images.sources.files import FileSource
from mcevae.images.sources.joined import JoinedSource
from mcevae.images.sources.members import members_in
from mcevae.images.sources.named import NamedSource
from mcevae.images.sources.objects import ObjectSource
from mcevae.images.sources.pack import PackSource
from mcevae.images.sources.particles import ParticleSource

KINDS: list[type[Source]] = [
    *(NamedSource, JoinedSource, PackSource, ArchiveSource, ParticleSource, FileSource)
]
"""Kinds of sources. The first kind that takes a name or path is used; the last takes all."""
WITH_CTF: list[type[Source]] = [ParticleSource, PackSource, JoinedSource]
"""Kinds of sources whose particles can have their phases flipped."""


def kind_of(name: str) -> type[Source]:
    """The kind of a name or path."""
    return next(kind for kind in KINDS if kind.takes(name))


def is_there(name: str) -> bool:
    """Whether there is a source of this name or path."""
    return kind_of(name) is not FileSource or os.path.exists(parted(path_of(name))[0])


def open_particles(name: str, settings: DataConfig) -> Source:
    """The same as `open_source`, but each section of an MRC file is a particle with a name.

    Args:
        name, settings: as for `open_source`.

    Raises:
        UserError: as for `open_source`.
    """
    path = path_of(name)
    if path.suffix.lower() in MRC and path.is_file() and not settings.cuts:
        return ParticleSource(name, settings)
    return open_source(name, settings)


def open_source(name: str, settings: DataConfig | None = None) -> Source:
    """The source of a name or path.

    Args:
        name: of a built-in set, or the path of a folder, a file, a list or a pack.
        settings: how its images are read; None: as they suggest.

    Raises:
        UserError: there is no such source.
    """
    settings = settings or DataConfig(source=name)
    kind = kind_of(name)
    if settings.phase_flip and kind not in WITH_CTF:
        raise UserError(
            f"{name}: --phase-flip, of this command or of the run, needs the CTF parameters of a "
            "STAR or .cs file; give one."
        )
    if settings.cuts:
        if kind is not FileSource:
            flag = "--boxes" if settings.boxes else "--objects"
            raise UserError(f"{name}: {flag} cuts crops from image files; this is none of them.")
        kind = CropSource if settings.boxes else ObjectSource
    if kind is JoinedSource:
        return open_joined(name, settings)
    return kind(name, settings)


def open_joined(name: str, settings: DataConfig) -> Source:
    """The source of a file that names several, each of which is opened.

    Args:
        name, settings: as for `open_source`.

    Raises:
        UserError: as for `open_source`, or the file is damaged.
    """
    members = members_in(path_of(name))
    try:
        own = [member.settings(settings) for member in members]
    except ValueError as error:
        raise UserError(f"{name}: {error}.") from error
    sources = [open_source(one.source, one) for one in own]
    return JoinedSource(name, settings, members, sources)
