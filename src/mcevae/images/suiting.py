"""Suit the recipe of a run to new images that hold another kind or range of numbers, or refuse."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mcevae.base.errors import UserError
from mcevae.images.numbers import LOW, Numbers, largest_of
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.readers.reading import Notes
from mcevae.images.recipe import Recipe
from mcevae.images.survey import border

ALIKE = (0.1, 2.5)
"""Two kinds hold the same numbers if the largest ones have a ratio between these."""
FAR = 50.0
"""Numbers of one kind are others if their ranges differ by more than this factor."""
INVERTED = 0.3
"""Contrast is thought to be inverted if the border is so near to the other end of the range."""


def suited(
    recipe: Recipe, frames: Sequence[Frame], name: str, notes: Notes | None = None
) -> Recipe:
    """The recipe for images that may hold other numbers than those of the training.

    If the numbers are the same in another type, they are taken as they are. If both kinds have a
    white of their own, such as 255 of bytes and 1 of floats, shares of white are compared.

    Args:
        recipe: of a run, with the numbers that it saw.
        frames: a sample of the new images that can be used.
        name: what errors and remarks call the images.
        notes: gets a remark where numbers are converted, or contrast seems inverted.

    Raises:
        UserError: neither is so, and the images would be read wrongly.
    """
    if recipe.numbers in (None, "mixed") or recipe.seen is None or not frames:
        return recipe
    frames = [recipe.fitted(frame) for frame in frames]
    theirs, notes = Numbers.of(frames), notes or Notes()
    low, high = recipe.seen
    if not (same(recipe, theirs) or recipe.normalise == "image" or theirs.dtype == "mixed"):
        white = white_for(recipe, theirs)
        ours = f"{recipe.numbers} from {low:.6g} to {high:.6g}"
        if white is None:
            raise UserError(
                f"{name}: the images hold {theirs.in_words()}, but the run was trained on {ours}; "
                "give images of that kind, or train with --normalise image."
            )
        recipe = replace(recipe, white=white)
        notes.add(
            name, f"holds {theirs.in_words()}, read as the {ours} of the training ({white:g} is 1)"
        )
    check_contrast(recipe, frames, name, notes)
    return recipe


def same(recipe: Recipe, theirs: Numbers) -> bool:
    """Whether images hold numbers of the kind and about the range of the training."""
    assert recipe.seen is not None
    if recipe.numbers != theirs.dtype:
        return False
    ours, others = recipe.seen[1] - recipe.seen[0], theirs.high - theirs.low
    narrow = theirs.dtype in ("bool", "uint8") or not (ours and others)  # dark, or of one value
    return narrow or min(ours, others) * FAR >= max(ours, others)


def white_for(recipe: Recipe, theirs: Numbers) -> float | None:
    """The number of new images that counts as 1; None if nobody can know."""
    assert recipe.seen is not None and recipe.numbers is not None
    low, high = recipe.seen
    white = recipe.white or largest_of(recipe.numbers)
    ratio = theirs.high / high if high > 0 else 0.0
    if ALIKE[0] < ratio < ALIKE[1]:
        return white
    codes = recipe.numbers != "float" and high < LOW
    ours = Numbers(dtype=recipe.numbers, low=low, high=high, codes=codes, whole=white == 255)
    own, other = ours.natural, theirs.natural
    return None if own is None or other is None else other * white / own


def check_contrast(recipe: Recipe, frames: Sequence[Frame], name: str, notes: Notes) -> None:
    """Say it if borders are light where those of the training were dark, or the reverse."""
    borders = []
    for frame in frames:
        try:
            borders.append(border(frame, recipe))
        except Unreadable:
            continue
    if not borders or abs(recipe.background - 0.5) < INVERTED:
        return
    found = float(np.median(borders))
    if abs(1 - recipe.background - found) < 0.5 - INVERTED:
        notes.add(
            name,
            f"has a border of {found:.2f}, where that of the training was "
            f"{recipe.background:.2f} (0 is black); if its contrast is inverted, give --invert",
        )
