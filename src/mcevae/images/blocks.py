"""Images that a source had before it grew, and those that are new: told apart by their places."""

import numpy as np
from jaxtyping import Bool, Int

from mcevae.images.arrays import Images
from mcevae.images.kept import LEAST
from mcevae.images.splits import Splits

PARTS = tuple(LEAST)
"""Of the images of a run: train, validation, test."""


def images_in(data: Splits) -> list[Images]:
    """The images of each part; where some stand in for others, each once."""
    train, validation, test = (getattr(data, part).images for part in PARTS)
    same = np.array_equal(places_of(validation), places_of(test))
    return [train, validation] if same else [train, validation, test]


def places_of(images: Images) -> Int[np.ndarray, " n"]:
    """The number of each image in its source, which sources of files know."""
    assert images.places is not None
    return images.places


def is_new(images: Images, first: int) -> Bool[np.ndarray, " n"]:
    """Which images are new, if the first new one is at this place."""
    return places_of(images) >= first
