"""Reading a source in one call, as many tests do."""

from pathlib import Path

from mcevae.base.config import DataConfig
from mcevae.images.arrays import Images
from mcevae.images.readers.frames import Fault
from mcevae.images.sources.registry import open_source
from mcevae.images.survey import Survey


def read(source: Path, settings: DataConfig) -> tuple[Images, list[Fault]]:
    """All images of a source, and what could not be used."""
    loaded = open_source(str(source), settings).load()
    return loaded.train, list(loaded.faults)


def look(source: Path, settings: DataConfig) -> Survey:
    """What the images of a source are like."""
    survey = open_source(str(source), settings).survey
    assert survey is not None
    return survey
