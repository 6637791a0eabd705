"""Where images come from: named sets, fixed splits and posed sets.

`prepare`, at the end, is the whole story: load a source, split it, pose each split. Pixels are kept
as uint8, (N, C, H, W), 0 to 255. Labels are only ever used for scoring.
"""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pooch
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import (
    ARRAYS,
    Images,
    Source,
    as_source,
    pick,
    read_idx,
    read_numpy,
    require,
    to_bytes,
    to_float,
)
from mcevae.images.folder import Track, is_split_archive, read
from mcevae.images.packs import Pack, is_pack, open_pack
from mcevae.images.readers import Fault

SPLIT_SEED = 0
WINDOW, WINDOW_BYTES = 100_000, 2**29  # images of a pack that are in memory at once
HELD_OUT = 10_000  # images of a pack that are for testing, at most; half as many for validation
POSE_CHUNK = 1000  # images moved at once: as floats they take four times the memory
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)

# SHA-256 as published with Keras and TensorFlow Datasets.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
FASHION_URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
FASHION_SHA256 = {
    "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


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


def _local(filename: str) -> Path | None:
    """The file in the folder that MCEVAE_DATA names, None where there is none."""
    folder = os.environ.get("MCEVAE_DATA")
    if not folder:
        return None
    require(Path(folder).is_dir(), f"MCEVAE_DATA is {folder}, no folder; correct or unset it.")
    path = Path(folder) / filename
    return path if path.is_file() else None


def _download(url: str, sha256: str, *, instead: str) -> Path:
    """Fetch a file once into the user's cache; `instead` is what would do in MCEVAE_DATA."""
    try:
        cache = pooch.os_cache("mcevae")
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", path=cache))
    except (ValueError, OSError) as error:  # a wrong digest; the network or the disk
        wrong = isinstance(error, ValueError)
        fault = "its SHA-256 is wrong" if wrong else f"no download ({type(error).__name__})"
        raise UserError(
            f"{url}: {fault}; try again, or put {instead} in a folder and set MCEVAE_DATA to it."
        ) from error


def _mnist() -> Source:
    path = _local("mnist.npz") or _download(MNIST_URL, MNIST_SHA256, instead="mnist.npz")
    return as_source(read_numpy(path), "mnist", DIGIT_NAMES)


def _fashion_mnist() -> Source:
    filename = "fashion-mnist.npz"
    if path := _local(filename):
        arrays = read_numpy(path)
    else:
        arrays = {
            array: read_idx(_download(f"{FASHION_URL}/{file}-ubyte.gz", sha256, instead=filename))
            for array, (file, sha256) in zip(ARRAYS, FASHION_SHA256.items(), strict=True)
        }
    return as_source(arrays, "fashion-mnist", FASHION_NAMES)


def _mnist_mini() -> Source:
    with resources.as_file(resources.files("mcevae") / "assets" / "mnist-mini.npz") as path:
        return as_source(read_numpy(path), "mnist-mini", DIGIT_NAMES)


def _digits() -> Source:
    from sklearn.datasets import load_digits  # a second to import, and only needed here

    flat, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(flat, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    pixels = to_bytes(F.interpolate(pixels, size=(16, 16), mode="bilinear"))
    order = _shuffled(len(pixels))
    names = DIGIT_NAMES
    digits = Images(name="digits", pixels=pixels, labels=torch.tensor(labels), label_names=names)
    return Source(train=digits.subset(order[:1437]), test=digits.subset(order[1437:]))


@dataclass(frozen=True)
class Dataset:
    """A named set: what it is, what may be done with it, what using it takes, how to load it."""

    description: str
    licence: str
    needs: str
    loader: Callable[[], Source]


DOWNLOAD = "{} MB download, or MCEVAE_DATA"
DATASETS = {
    "mnist-mini": Dataset("first 10,000 + 2,000 of mnist", "CC BY-SA 3.0", "bundled", _mnist_mini),
    "mnist": Dataset("60,000 + 10,000 digits", "CC BY-SA 3.0", DOWNLOAD.format(11), _mnist),
    "fashion-mnist": Dataset("60,000 + 10,000 clothes", "MIT", DOWNLOAD.format(31), _fashion_mnist),
    "digits": Dataset("1,437 + 360 small digits, 16 x 16", "CC BY 4.0", "bundled", _digits),
}


def load(source: str, settings: DataConfig | None = None, track: Track = iter) -> Source:
    """Load a named set (see `DATASETS`) or a user's files.

    Files are a folder of images, one image file, a .txt that lists some, a .npy, or a .npz with
    `images` (and `labels`): see `readers` and `recipe`. A .npz may also have `x_train`, `x_test`
    (and `y_train`, `y_test`), all as `as_images` wants them.

    Args:
        source: name or path.
        settings: how files are read; None: as the files suggest.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: Unknown name, failed download, or files that are missing, damaged or unfit.
    """
    if source in DATASETS:
        return DATASETS[source].loader()
    path = Path(source)
    if is_split_archive(path):
        return as_source(read_numpy(path), source)
    if is_pack(path):
        pack = open_pack(path)
        return Source(train=pack.rows(0, pack.count), faults=pack.faults)
    images, faults = read(path, settings or DataConfig(source=source), track)
    return Source(train=images, faults=tuple(faults))


def pixels_of(source: Source, part: str = "all") -> UInt8[Tensor, "n c h w"]:
    """Pixels of a source in its own order: train, test, or all (train first).

    Raises:
        UserError: the source has no such part.
    """
    parts = {"train": source.train, "test": source.test}
    chosen = [parts[part]] if part != "all" else list(parts.values())
    known = [images.pixels for images in chosen if images is not None]
    require(bool(known), f"{source.train.name}: has no {part} part; use --part all.")
    return torch.cat(known)


def _shuffled(count: int) -> Tensor:
    """One fixed order; RandomState, since its streams are promised never to change."""
    return torch.from_numpy(np.random.RandomState(SPLIT_SEED).permutation(count))


def _hold_out(images: Images, share: int) -> tuple[Images, Images]:
    """Shuffle; return the images but one in `share`, and that one (at least one image)."""
    order, held = _shuffled(len(images)), max(1, len(images) // share)
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


def pose(
    images: Images,
    group: MatrixGroup,
    support: Sequence[float],
    seed: int,
    *,
    background: float = 0.0,
) -> Posed:
    """Move every image by an element of its own, drawn uniformly over the support.

    `support` holds half-widths as ``group.support(...)`` gives them; `background`, 0 (black) to
    1 (white), fills what comes in from outside the frame. The same seed gives the same bytes.
    """
    generator = torch.Generator().manual_seed(seed)
    elements = group.sample((len(images),), support, generator=generator)
    moved = torch.empty_like(images.pixels)
    for start in range(0, len(images), POSE_CHUNK):
        chunk = slice(start, start + POSE_CHUNK)
        upright = to_float(images.pixels[chunk])
        moved[chunk] = to_bytes(warp(upright, elements[chunk], background=background))
    return Posed(images=replace(images, pixels=moved), upright=images.pixels, elements=elements)


def split_pack(
    pack: Pack, place: Callable[..., Posed], limit: int | None, window: int | None
) -> Splits:
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


def pose_seed(seed: int, stream: str) -> int:
    """Seed of the poses of one split, or of a second pose ("again"): all four differ."""
    return 4 * seed + ("train", "validation", "test", "again").index(stream)


def prepare(
    source: str,
    *,
    group: MatrixGroup,
    support: Sequence[float],
    posed: bool,
    split: str = "standard",
    limit: int | None = None,
    seed: int = 0,
    background: float = 0.0,
    settings: DataConfig | None = None,
    track: Track = iter,
) -> Splits:
    """Load, split and, if `posed`, move images: all that training and scoring need.

    `limit` keeps only the first so many training images: a fair sample, since they are shuffled.
    `seed` is that of the poses; every seed and split has a random stream of its own. `settings`
    say how files are read, `track` wraps them, in a progress bar say.

    Raises:
        UserError: As in `load` and `split_images`, or `limit` below 2.
    """
    require(limit is None or limit > 1, f"limit is {limit}; use 2 or more.")

    def place(images: Images, stream: str, window: int = 0) -> Posed:
        if not posed:
            return Posed(images=images)
        own = pose_seed(seed + window, stream)
        return pose(images, group, support, own, background=background)

    if is_pack(Path(source)):
        require(
            settings is None or settings.labels is None,
            f"{source}: a pack has the labels that it was made with; leave out --labels.",
        )
        return split_pack(open_pack(Path(source)), place, limit, settings and settings.window)
    loaded = load(source, settings, track)
    train, validation, test = split_images(loaded.train, loaded.test, split)
    return Splits(
        train=place(train.subset(slice(limit)), "train"),
        validation=place(validation, "validation"),
        test=place(test, "test"),
        faults=loaded.faults,
    )
