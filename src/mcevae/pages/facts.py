"""What a page has to know of images, packed so that it is read fast."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from mcevae.pages.collected import SPLITS, Gallery
from mcevae.pages.findings import OUTLIER
from mcevae.pages.sheets import packed, sheets_of, thumbnails


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
        "thumbs": sheets_of(thumbnails(gallery.pictures)).to_dict(),
        "odd": OUTLIER,
    }


def trust_in_images(gallery: Gallery) -> UInt8[np.ndarray, " n"]:
    """Trust in the cluster of each image, 0 to 255."""
    assert gallery.trust is not None
    return (np.asarray(gallery.trust.clusters)[gallery.cluster] * 255).astype(np.uint8)


def shares(values: Float[np.ndarray, "*any"]) -> UInt16[np.ndarray, "*any"]:
    """Numbers from 0 to 1 in two bytes each."""
    return (values * 65535).round().astype(np.uint16)
