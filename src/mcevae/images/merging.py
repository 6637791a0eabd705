"""Bring images of several sources to one form, in which they are images of one source."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from mcevae.images.arrays import MISSING, NO_HINT, Hints, Images
from mcevae.images.labels import kinds_of


def alike(parts: Sequence[Images]) -> list[Images]:
    """Images with the same names of labels, and with what only some of the sources know.

    Images of sources without labels have none. Sizes that are not known are those of the pixels.

    Args:
        parts: of the sources.
    """
    words = [list(words_of(one)) for one in parts]
    names = kinds_of(word for own in words for word in own)
    labelled = [one if one.labels is None else relabelled(one, names) for one in parts]
    if any(one.labels is not None for one in parts):
        labelled = [
            replace(one, labels=torch.full((len(one),), MISSING), label_names=names)
            if one.labels is None
            else one
            for one in labelled
        ]
    return [
        replace(one, sizes=np.tile(one.shape[1:], (len(one), 1))) if one.sizes is None else one
        for one in labelled
    ]


def words_of(images: Images) -> tuple[str, ...]:
    """The labels that images may have, by their numbers."""
    if images.labels is None:
        return ()
    most = int(images.labels.max()) if len(images) else MISSING
    return images.label_names or tuple(map(str, range(most + 1)))


def relabelled(images: Images, names: tuple[str, ...]) -> Images:
    """Images whose labels are numbers among these names."""
    assert images.labels is not None
    number = {name: i for i, name in enumerate(names)}
    new = torch.tensor([*(number[word] for word in words_of(images)), MISSING])
    return replace(images, labels=new[images.labels], label_names=names)


def with_alike_hints(parts: Sequence[Images]) -> list[Images]:
    """Images whose hints are numbered alike; images of sources without hints have none.

    Args:
        parts: training images of the sources.
    """
    known = [one.hints for one in parts if one.hints is not None]
    if not known:
        return list(parts)
    names = kinds_of(name for hints in known for name in hints.names)
    place = {name: i for i, name in enumerate(names)}
    free, apart, of = len(names), list[tuple[int, int]](), []
    for one in parts:
        if one.hints is None:
            of.append(torch.full((len(one),), NO_HINT))
            continue
        own = one.hints
        pairs = [component for pair in own.apart for component in pair]
        most = max([len(own.names) - 1, *own.of.tolist(), *pairs])
        unnamed = range(free, free + most + 1 - len(own.names))
        number = [*(place[name] for name in own.names), *unnamed]
        free += len(unnamed)
        of.append(torch.tensor([*number, NO_HINT])[own.of])
        apart += [(number[a], number[b]) for a, b in own.apart]
    return [
        replace(one, hints=Hints(names=names, of=numbers, apart=tuple(apart)))
        for one, numbers in zip(parts, of, strict=True)
    ]
