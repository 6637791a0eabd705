"""Split images into three separate parts: training, validation and test."""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.images.arrays import Images, joined, pick, require
from mcevae.images.packs import Pack
from mcevae.images.readers.frames import Fault

SPLIT_SEED = 0
LEAST = 4
"""Images that can be split into three parts."""
SPLITS = ("standard", "paper", "all")
WINDOW, WINDOW_BYTES = 100_000, 2**29  # images of a pack that are in memory at once
HELD_OUT = 10_000  # most test images of a pack; at most half as many are for validation


@dataclass(frozen=True, kw_only=True)
class Posed:
    """Images as the model sees them. If we moved them, images = warp(upright, elements)."""

    images: Images
    upright: UInt8[Tensor, "n c h w"] | None = None
    """The images before we moved them. None, like `elements`, if we did not move them."""
    elements: Float[Tensor, "n 3 3"] | None = None
    """Group element that moved each image: x right, y down, shifts in fractions of the side."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def subset(self, indices: Tensor | slice) -> "Posed":
        """Return the images at `indices`, in that order."""
        upright, elements = pick(self.upright, indices), pick(self.elements, indices)
        return Posed(images=self.images.subset(indices), upright=upright, elements=elements)

    def own(self) -> "Posed":
        """Copy the pixels, so that they can be changed. Leave out labels, names and elements."""
        images = Images(name=self.images.name, pixels=self.images.pixels.clone())
        return Posed(images=images, upright=None if self.upright is None else self.upright.clone())


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Images in three separate parts: to train on, to choose the best model, and to score it."""

    train: Posed
    validation: Posed
    test: Posed
    faults: tuple[Fault, ...] = ()
    """Files that could not be used, and why."""
    reckoned: str = ""
    """How many files were read, and why others were not; "" if all were, or it is not known."""
    window: Callable[[int], Posed] | None = None
    """Reads window n of the training images, if they do not fit into memory. All windows have the
    same size; `train` is the first. None: `train` has all images."""
    known: str | None = None
    """Fingerprint of the images, if the source has one."""

    def digest(self) -> str:
        """Fingerprint of all pixels. A run uses it to recognise its training images."""
        if self.known is not None:
            return self.known
        fingerprint = hashlib.blake2b(digest_size=16)
        for posed in (self.train, self.validation, self.test):
            fingerprint.update(posed.images.pixels.numpy().tobytes())
            if posed.images.features is not None:
                fingerprint.update(posed.images.features.numpy().tobytes())
        return fingerprint.hexdigest()


Place = Callable[..., Posed]
"""Poses the images of a split. Arguments: images, name of the random stream, number of the window
(for a source that is larger than memory)."""


def shuffled(count: int) -> Tensor:
    """A fixed random order. NumPy promises that the streams of RandomState never change."""
    return torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))


def _hold_out(images: Images, share: int) -> tuple[Images, Images]:
    """Shuffle and hold out one image in `share`, at least one. Return the rest and the held out."""
    order, held = shuffled(len(images)), max(1, len(images) // share)
    return images.subset(order[held:]), images.subset(order[:held])


def split_images(
    train: Images, test: Images | None, kind: str = "standard"
) -> tuple[Images, Images, Images]:
    """Split images the same way every time, each part in a fixed shuffled order.

    "standard" scores on `test`. "paper" pools all images and splits them 6:1 into training and
    test (MCE-VAE paper, section 4). Images without a `test` are always split 6:1. Then one in
    twelve training images (5,000 of 60,000) becomes validation, only used to choose a model.
    "all" pools all images and holds out only these, which stand in for test images as well.

    Returns:
        Training, validation and test images.

    Raises:
        UserError: `kind` is unknown, or there are too few images for three parts.
    """
    require(kind in SPLITS, f"split is {kind}; use {', '.join(SPLITS)}.")
    if kind != "standard" and test is not None:
        train, test = joined([train, test]), None
    if kind == "all":
        require(len(train) > 2, f"{train.name}: has too few images to split; give at least 4.")
        train, held = _hold_out(train, 12)
        return train, held, held
    if test is None:
        train, test = _hold_out(train, 7)
    require(len(train) > 2, f"{train.name}: has too few images to split; give at least 4.")
    return *_hold_out(train, 12), test


def split_blocks(
    train: Images, test: Images | None, kind: str, begins: Sequence[int]
) -> tuple[Images, Images, Images]:
    """Split each block of images by itself, so that those that come later change no part before.

    A later block that is too small for three parts is for training.

    Args:
        train: images; with places in their source, if there are several blocks.
        test: as for `split_images`.
        kind: as for `split_images`.
        begins: the places at which all blocks but the first begin; none: there is one block.

    Raises:
        UserError: as for `split_images`.
    """
    if not begins or train.places is None or test is not None:
        return split_images(train, test, kind)
    block = np.array([bisect_right(begins, place) for place in train.places.tolist()])
    parts: tuple[list[Images], ...] = ([], [], [])
    for one in np.unique(block):
        images = train.subset(torch.from_numpy(np.flatnonzero(block == one)))
        alone = one > 0 and len(images) < LEAST
        split = (images,) if alone else split_images(images, None, kind)
        for part, own in zip(parts, split, strict=False):
            part.append(own)
    training, validation, held = (joined(own) if own else train.subset(slice(0)) for own in parts)
    return training, validation, held


def split_pack(pack: Pack, place: Place, limit: int | None, window: int | None) -> Splits:
    """Split a pack: its first rows are for test, the next for validation, the rest for training.

    The rows of a pack are already in random order.

    Args:
        pack: the pack.
        place: poses images, see `Place`.
        limit: largest number of training images.
        window: images in a window. None: `WINDOW`, or fewer if they would take too much memory.

    Raises:
        UserError: the pack has too few images.
    """
    test = min(HELD_OUT, max(1, pack.count // 7))
    first = test + min(HELD_OUT // 2, max(1, (pack.count - test) // 12))
    left = min(pack.count - first, limit or pack.count)
    require(left > 1, f"{pack.folder}: has too few images to split; give at least 4.")
    size = min(left, window or min(WINDOW, WINDOW_BYTES // math.prod(pack.shape)))

    def taken(n: int) -> Posed:
        start = first + n % (left // size) * size
        return place(pack.rows(start, start + size, labelled=n == 0), "train", n)

    return Splits(
        train=taken(0),
        validation=place(pack.rows(test, first), "validation"),
        test=place(pack.rows(0, test), "test"),
        faults=pack.faults,
        reckoned=pack.reckoned,
        window=taken if size < left else None,
        known=pack.digest,
    )
