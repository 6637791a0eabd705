"""What a page has to know of images, packed so that it is read fast."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from mcevae.images.composites import composite_bytes
from mcevae.pages.collected import SPLITS, Gallery
from mcevae.pages.findings import OUTLIER
from mcevae.pages.sheets import QUALITY, packed, sheets_of, thumbnails, webp

EMBEDDED = 60_000
"""Most images whose thumbnails are in a page's data. Those of more are asked for one by one, so a
page that is a file must not have more: `gallery.MOST` is at most this."""


def images_of(gallery: Gallery) -> dict[str, Any]:
    """The data about images that a page needs. They do not depend on the groups."""
    grid = shares(gallery.where)
    return {
        "count": len(gallery),
        "total": gallery.total,
        "names": gallery.names,
        "labels": None if gallery.labels is None else packed(gallery.labels.astype(np.uint16)),
        "label_names": gallery.label_names,
        "trust": None if gallery.trust is None else packed(trust_in_images(gallery)),
        "splits": SPLITS,
        "split": packed(gallery.split.astype(np.uint8)),
        "confidence": packed((gallery.confidence * 255).astype(np.uint8)),
        "outlier": packed((gallery.outlier * 1000).astype(np.uint16)),
        "area": packed(shares(gallery.area)),
        "brightness": packed(shares(gallery.brightness)),
        "z": [packed(column.astype(np.float32)) for column in gallery.z.T],
        "pose": [packed(column.astype(np.float32)) for column in gallery.pose.T],
        "coordinates": [vars(one) for one in gallery.coordinates],
        "sizes_differ": gallery.originals.differ,
        "mirrored": None if gallery.mirrored is None else packed(gallery.mirrored.astype(np.uint8)),
        "x": packed(grid[:, 0]),
        "y": packed(grid[:, 1]),
        "thumbs": thumbs_of(gallery),
        "odd": OUTLIER,
    }


def thumbs_of(gallery: Gallery) -> dict[str, Any]:
    """The sheets of thumbnails, or of many images the address where a server has each of them."""
    if len(gallery) <= EMBEDDED:
        return sheets_of(thumbnails(gallery.pictures)).to_dict()
    height, width = thumbnails(gallery.pixels[:1]).shape[-2:]
    one = {"width": width, "height": height, "columns": 1, "each": 1}
    return {**one, "address": "/api/images/ID/thumb.webp"}


def thumb_of(gallery: Gallery, image: int) -> bytes:
    """A thumbnail of an image, as WebP.

    Raises:
        IndexError: there is no such image.
    """
    gallery.check(image)
    pixels = gallery.pixels[image : image + 1]
    return webp(thumbnails(composite_bytes(pixels, gallery.colours))[0].movedim(0, -1), QUALITY)


def trust_in_images(gallery: Gallery) -> UInt8[np.ndarray, " n"]:
    """Trust in the cluster of each image, 0 to 255."""
    assert gallery.trust is not None
    return (np.asarray(gallery.trust.clusters)[gallery.cluster] * 255).astype(np.uint8)


def shares(values: Float[np.ndarray, "*any"]) -> UInt16[np.ndarray, "*any"]:
    """Numbers from 0 to 1 in two bytes each."""
    return (values * 65535).round().astype(np.uint16)
