"""What belongs to the images of a source, by their places in it: features and hints."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mcevae.images.arrays import Images, ImageSet
from mcevae.images.features import Features
from mcevae.images.hints import read_hints
from mcevae.images.reckoning import unused

if TYPE_CHECKING:
    from mcevae.images.sources.contract import Source


def placed(source: "Source", loaded: ImageSet) -> ImageSet:
    """Give images their places in the whole source, where `load` numbers those of each part.

    Args:
        source: the source.
        loaded: its images.
    """
    if loaded.test is None:
        return replace(loaded, train=at(loaded.train, 0))
    first = source.total("train") or len(loaded.train)
    return replace(loaded, train=at(loaded.train, 0), test=at(loaded.test, first))


def at(images: Images, first: int) -> Images:
    """Give images places that are counted from the first one's on."""
    own = np.arange(len(images)) if images.places is None else images.places
    return replace(images, places=first + own)


def with_features(source: "Source", loaded: ImageSet) -> ImageSet:
    """Add to images, which have places, their rows of the features that settings name, if any.

    Args:
        source: the source.
        loaded: its images.

    Raises:
        UserError: there is not one row for each image.
    """
    if source.settings.features is None:
        return loaded
    features = Features.read(source.settings.features)
    total = source.total()
    known = len(loaded.train) + len(unused(loaded.faults)) if total is None else total
    features.check_count(known, source.name)

    def featured(images: Images) -> Images:
        assert images.places is not None
        return replace(images, features=features.rows(images.places, source.name))

    test = None if loaded.test is None else featured(loaded.test)
    return replace(loaded, train=featured(loaded.train), test=test)


def with_hints(source: "Source", loaded: ImageSet) -> ImageSet:
    """Add to images, which have places, the hints that settings name, if any.

    Args:
        source: the source.
        loaded: its images.

    Raises:
        UserError: as for `read_hints`.
    """
    if source.settings.hints is None:
        return loaded
    parts = [loaded.train] if loaded.test is None else [loaded.train, loaded.test]
    train, *test = read_hints(source.settings.hints, parts)
    return replace(loaded, train=train, test=test[0] if test else None)
