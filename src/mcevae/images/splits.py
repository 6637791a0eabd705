"""Disjoint images to learn from, to choose a model by, and to score it on."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.images.arrays import Images, pick, require
from mcevae.images.packs import Pack
from mcevae.images.readers.frames import Fault

SPLIT_SEED = 0
WINDOW, WINDOW_BYTES = 100_000, 2**29  # images of a pack that are in memory at once
HELD_OUT = 10_000  # images of a pack that are for testing, at most; half as many for validation


@dataclass(frozen=True, kw_only=True)
class Posed:
    """Images as the model sees them; where we moved them, images = warp(upright, elements)."""

    images: Images
    upright: UInt8[Tensor, "n c h w"] | None = None
    """None, as `elements`, for images that come as they lie, such as a user's own."""
    elements: Float[Tensor, "n 3 3"] | None = None
    """What moved each image: x to the right, y down, shifts in fractions of the side."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def subset(self, indices: Tensor | slice) -> "Posed":
        """Keep the images that `indices` picks, in that order."""
        upright, elements = pick(self.upright, indices), pick(self.elements, indices)
        return Posed(images=self.images.subset(indices), upright=upright, elements=elements)

    def own(self) -> "Posed":
        """Pixels of its own, to be changed, and nothing that is true of these images alone."""
        images = Images(name=self.images.name, pixels=self.images.pixels.clone())
        return Posed(images=images, upright=None if self.upright is None else self.upright.clone())


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Disjoint images to learn from, to choose a model by, and to score it on."""

    train: Posed
    validation: Posed
    test: Posed
    faults: tuple[Fault, ...] = ()
    """What could not be used, of files."""
    window: Callable[[int], Posed] | None = None
    """The n-th part, of equal size, of training images that are more than memory holds; `train` is
    the first. None: there are no others."""
    known: str | None = None
    """Fingerprint, where the source has one."""

    def digest(self) -> str:
        """Fingerprint of all pixels, by which a run knows the images it was trained on."""
        if self.known is not None:
            return self.known
        fingerprint = hashlib.blake2b(digest_size=16)
        for posed in (self.train, self.validation, self.test):
            fingerprint.update(posed.images.pixels.numpy().tobytes())
        return fingerprint.hexdigest()


Place = Callable[..., Posed]
"""Poses the images of a split, given them, the name of their stream, and the number of the window
of a source that is larger than memory."""


def shuffled(count: int) -> Tensor:
    """One fixed order; RandomState, since its streams are promised never to change."""
    return torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))


def _hold_out(images: Images, share: int) -> tuple[Images, Images]:
    """Shuffle; return the images but one in `share`, and that one (at least one image)."""
    order, held = shuffled(len(images)), max(1, len(images) // share)
    return images.subset(order[held:]), images.subset(order[:held])


def _pool(a: Images, b: Images) -> Images:
    labels = None if a.labels is None or b.labels is None else torch.cat((a.labels, b.labels))
    return replace(a, pixels=torch.cat((a.pixels, b.pixels)), labels=labels)


def split_images(
    train: Images, test: Images | None, kind: str = "standard"
) -> tuple[Images, Images, Images]:
    """Split images the same way every time, each part in a fixed shuffled order.

    "standard" scores on `test`; "paper" pools all images and splits them 6:1 into training and
    test (MCE-VAE paper, section 4), as happens to any images without a `test`. Then one in twelve
    training images (5,000 of 60,000) becomes validation, for choosing a model only.

    Returns:
        Training, validation and test images.

    Raises:
        UserError: Unknown `kind`, or too few images for one in each split.
    """
    require(kind in ("standard", "paper"), f"split is {kind}; use standard or paper.")
    if kind == "paper" and test is not None:
        train, test = _pool(train, test), None
    if test is None:
        train, test = _hold_out(train, 7)
    require(len(train) > 2, f"{train.name}: has too few images to split; give at least 4.")
    return *_hold_out(train, 12), test


def split_pack(pack: Pack, place: Place, limit: int | None, window: int | None) -> Splits:
    """Test, validation and training images of a pack, in this order; they are shuffled already.

    Args:
        pack: of the images.
        place: poses images of a stream (and of a window of it).
        limit: training images that are used, at most.
        window: images of a window; None: `WINDOW`, as far as memory allows.

    Raises:
        UserError: it has too few images.
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
        window=taken if size < left else None,
        known=pack.digest,
    )
