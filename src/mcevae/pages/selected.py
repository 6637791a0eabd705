"""What people ask of images that they selected on the explorer's page."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int

from mcevae.images.arrays import to_bytes
from mcevae.images.composites import composite
from mcevae.pages.collected import Gallery
from mcevae.pages.explorer import Explorer
from mcevae.pages.sheets import sheets_of, thumbnails
from mcevae.predicting.deciding import Decision

MOST_ALIKE = 1000
"""Number of images like one that are found, at most."""
BLOCK = 8192
"""Images that are compared together."""


def decide(
    explorer: Explorer,
    images: Sequence[int],
    decision: Decision,
    to: str | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Keep a decision on images in the run, and return the groups.

    Args:
        explorer: of the run.
        images: their numbers in the gallery.
        decision: what is said of them, but not `move`.
        to: id of the group they are moved to. None: they stay.
        version: as in `Explorer.change`.

    Raises:
        Behind: the groups have another version.
        IndexError: there is no such image.
        ValueError: the images have no names, or the decision is not possible.
    """
    known, ids = explorer.gallery.names, checked(explorer.gallery, images).tolist()
    if known is None:
        raise ValueError(
            "the images of this run have no names, so nothing can be said of single ones; save "
            "them as files, and train on these"
        )
    names = [known[i] for i in ids]

    def how(old: Any) -> Any:
        move = None if to is None else old.entries[old.identified(to)].name
        return replace(decision, move=move).made(old, names)

    return explorer.change(how, version)


def alike(gallery: Gallery, image: int, count: int) -> list[int]:
    """The images that are most like one, by canonical image and clusters; itself comes first.

    Args:
        gallery: all images.
        image: number of the one.
        count: of images, with itself.

    Raises:
        IndexError: there is no such image.
    """
    own = gallery.look[checked(gallery, [image])].float()
    parts = [torch.cdist(own, part.float())[0] for part in gallery.look.split(BLOCK)]
    distance = torch.cat(parts)
    distance[image] = -1  # others may be exactly alike
    return distance.topk(min(count, len(distance)), largest=False).indices.tolist()


def upright(explorer: Explorer, images: Sequence[int]) -> dict[str, Any]:
    """Thumbnails of images moved back by their poses, so that all lie as their canonical image.

    Args:
        explorer: of the run.
        images: their numbers in the gallery.

    Returns:
        Sheets, as `Sheets.to_dict` gives them, with the images in this order.

    Raises:
        IndexError: there is no such image.
    """
    gallery = explorer.gallery
    ids = torch.from_numpy(checked(gallery, images))
    shown = to_bytes(composite(gallery.upright(ids, explorer.frames), gallery.colours))
    return sheets_of(thumbnails(shown)).to_dict()


def rows(explorer: Explorer, images: Sequence[int]) -> pa.Table:
    """The rows of images, of the table with the present groups.

    Raises:
        IndexError: there is no such image.
    """
    return explorer.gallery.table(explorer.collections).take(checked(explorer.gallery, images))


def checked(gallery: Gallery, images: Sequence[int]) -> Int[np.ndarray, " n"]:
    """The numbers of images as an array.

    Raises:
        IndexError: there is no such image.
    """
    for image in images:
        gallery.check(image)
    return np.asarray(images, np.int64)
