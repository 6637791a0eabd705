"""Which images of a source a run is made from, if not from all of them.

A run records them in its settings: a bit for each image of the source, by its place, packed. The
images are split as those of the whole source are, so what one run is tested on, no other run that
is made from it is trained on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, repeat
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Int

from mcevae.base.errors import UserError
from mcevae.base.packing import packed, unpacked
from mcevae.images.arrays import require
from mcevae.images.splits import Posed, Splits

T = TypeVar("T")
MOST_TEXT = 2**19
"""Characters that the settings of a run may spend on it; enough for some millions of images."""
MOST_PLACES = 2 * 10**7
"""Images of a source of which some are kept: few characters can say much, and fill memory."""
LEAST = {"train": 2, "validation": 1, "test": 1}
"""Images that each part needs."""


def as_text(kept: Bool[np.ndarray, " n"]) -> str:
    """The images that are kept as text for settings: how many there are, then their bits, packed.

    Raises:
        UserError: it would be too long.
    """
    text = f"{len(kept)}:{packed(np.packbits(kept).tobytes())}"
    require(
        len(text) <= MOST_TEXT and len(kept) <= MOST_PLACES,
        f"which of {len(kept):,} images are kept is more than settings hold; write "
        "them as a list with `mcevae select`, and train on that list.",
    )
    return text


@cache
def from_text(text: str) -> Bool[np.ndarray, " n"]:
    """The images that `as_text` wrote.

    Raises:
        UserError: the text is damaged.
    """
    try:
        count, _, bits = text[:MOST_TEXT].partition(":")
        n = int(count)
        if not 1 <= n <= MOST_PLACES:
            raise ValueError(count)
        content = unpacked(bits, (n + 7) // 8)
    except ValueError as error:
        raise UserError("the setting data.kept of this run is damaged; train it again.") from error
    kept = np.unpackbits(np.frombuffer(content, np.uint8), count=n).astype(bool)
    kept.flags.writeable = False
    return kept


def are_kept(text: str | None, places: Int[np.ndarray, " m"]) -> Bool[np.ndarray, " m"]:
    """Whether images are kept.

    Args:
        text: as `as_text` wrote it; None: all are.
        places: of the images in their source, from 0.

    Raises:
        UserError: the text is damaged.
    """
    if text is None:
        return np.ones(len(places), bool)
    kept = from_text(text)
    inside = places < len(kept)
    return inside & kept[np.where(inside, places, 0)]


def only_kept(text: str | None, each: Iterable[T]) -> Iterator[T]:
    """Of things of a source, one for each image in order, those of the images that are kept.

    Args:
        text: as for `are_kept`.
        each: the things.
    """
    kept = repeat(True) if text is None else chain(from_text(text).tolist(), repeat(False))
    return (one for one, is_kept in zip(each, kept) if is_kept)  # noqa: B905


def within(splits: Splits, text: str | None) -> Splits:
    """The images of each part that are kept.

    Args:
        splits: images with their places in the source.
        text: as for `are_kept`.

    Raises:
        UserError: too few are left of a part, or there are more images than fit into memory.
    """
    if text is None:
        return splits
    name = splits.train.images.name
    require(
        splits.window is None,
        f"{name}: has more images than fit into memory, of which none can be left out; pack those "
        "that you keep, and train on that pack.",
    )

    def part(posed: Posed, called: str) -> Posed:
        assert posed.images.places is not None
        rows = torch.from_numpy(np.flatnonzero(are_kept(text, posed.images.places)))
        require(
            len(rows) >= LEAST[called],
            f"{name}: {len(rows)} of the images that are kept are for {called}, too few; keep more "
            "images.",
        )
        kept = posed.subset(rows)
        hints = kept.images.hints and kept.images.hints.present()
        return replace(kept, images=replace(kept.images, hints=hints))

    parts = {called: part(getattr(splits, called), called) for called in LEAST}
    return replace(splits, **parts, known=None)
