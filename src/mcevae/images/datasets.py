"""The built-in image sets: description, licence, and how to load each of them.

Pixels are uint8, (N, C, H, W), 0 to 255. Labels are used for scores only.
"""

import gzip
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
import pooch
import torch
import torch.nn.functional as F

from mcevae.base.channels import MOST_CHANNELS
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, MIN_SIDE, Images, ImageSet, require, to_bytes
from mcevae.images.readers.arrays import from_archive
from mcevae.images.readers.frames import Unreadable
from mcevae.images.splits import shuffled

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
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


def _local(filename: str) -> Path | None:
    """Find a file in the folder MCEVAE_DATA. None: the folder is not set or has no such file."""
    folder = os.environ.get("MCEVAE_DATA")
    if not folder:
        return None
    require(Path(folder).is_dir(), f"MCEVAE_DATA is {folder}, not a folder; correct or unset it.")
    path = Path(folder) / filename
    return path if path.is_file() else None


def _download(url: str, sha256: str, *, instead: str) -> Path:
    """Download a file once, into the user's cache.

    Args:
        url: address of the file.
        sha256: expected SHA-256 digest.
        instead: file that the user may put into MCEVAE_DATA instead.

    Raises:
        UserError: the download failed, or the digest is wrong.
    """
    try:
        cache = pooch.os_cache("mcevae")
        return Path(pooch.retrieve(url, known_hash=f"sha256:{sha256}", path=cache))
    except (ValueError, OSError) as error:  # a wrong digest; the network or the disk
        wrong = isinstance(error, ValueError)
        fault = (
            "its SHA-256 is wrong" if wrong else f"cannot be downloaded ({type(error).__name__})"
        )
        raise UserError(
            f"{url}: {fault}; try again, or put {instead} in a folder and set MCEVAE_DATA to it."
        ) from error


def _mnist() -> ImageSet:
    path = _local("mnist.npz") or _download(MNIST_URL, MNIST_SHA256, instead="mnist.npz")
    return as_set(read_numpy(path), "mnist", DIGIT_NAMES)


def _fashion_mnist() -> ImageSet:
    filename = "fashion-mnist.npz"
    if path := _local(filename):
        arrays = read_numpy(path)
    else:
        arrays = {
            array: read_idx(_download(f"{FASHION_URL}/{file}-ubyte.gz", sha256, instead=filename))
            for array, (file, sha256) in zip(ARRAYS, FASHION_SHA256.items(), strict=True)
        }
    return as_set(arrays, "fashion-mnist", FASHION_NAMES)


def _mnist_mini() -> ImageSet:
    with resources.as_file(resources.files("mcevae") / "assets" / "mnist-mini.npz") as path:
        return as_set(read_numpy(path), "mnist-mini", DIGIT_NAMES)


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits  # a second to import, and only needed here

    flat, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(flat, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    pixels = to_bytes(F.interpolate(pixels, size=(16, 16), mode="bilinear"))
    order = shuffled(len(pixels))
    names = DIGIT_NAMES
    digits = Images(name="digits", pixels=pixels, labels=torch.tensor(labels), label_names=names)
    return ImageSet(train=digits.subset(order[:1437]), test=digits.subset(order[1437:]))


@dataclass(frozen=True)
class Dataset:
    """A built-in set: description, licence, what you need to use it, and its loader."""

    description: str
    licence: str
    needs: str
    loader: Callable[[], ImageSet]


DOWNLOAD = "{} MB download, or MCEVAE_DATA"
DATASETS = {
    "mnist-mini": Dataset("first 10,000 + 2,000 of mnist", "CC BY-SA 3.0", "bundled", _mnist_mini),
    "mnist": Dataset("60,000 + 10,000 digits", "CC BY-SA 3.0", DOWNLOAD.format(11), _mnist),
    "fashion-mnist": Dataset("60,000 + 10,000 clothes", "MIT", DOWNLOAD.format(31), _fashion_mnist),
    "digits": Dataset("1,437 + 360 small digits, 16 x 16", "CC BY 4.0", "bundled", _digits),
}


def as_images(pixels: np.ndarray, labels: np.ndarray | None = None, *, name: str) -> Images:
    """Check arrays and convert them to uint8 (N, C, H, W).

    Args:
        pixels: (n, H, W) or (n, H, W, C), C 1 to 16, sides of 16 to 256, uint8 or floats in [0, 1].
        labels: (n,) integers.
        name: name of the images in tables and errors.

    Raises:
        UserError: an array breaks one of these rules.
    """
    it = f"{name}: images"
    kind, shape = pixels.dtype, pixels.shape
    floats = kind.kind == "f"
    require(floats or kind == np.uint8, f"{it} are {kind}; use uint8, or floats from 0 to 1.")
    require(len(shape) in (3, 4), f"{it} have shape {shape}; use (n, H, W) or (n, H, W, C).")
    count, height, width, channels = shape if len(shape) == 4 else (*shape, 1)
    require(count > 0, f"{name}: holds 0 images; give at least 3.")
    most = MOST_CHANNELS
    require(1 <= channels <= most, f"{it} have {channels} channels (last axis); use 1 to {most}.")
    fits = all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width))
    require(fits, f"{it} are {height} x {width}; resize to sides of {MIN_SIDE} to {MAX_SIDE}.")
    tensor = torch.tensor(pixels.astype(np.float32 if floats else np.uint8))
    if floats:
        low, high = tensor.min().item(), tensor.max().item()  # NaN where any pixel is
        require(math.isfinite(low + high), f"{it} hold NaN or infinity; replace it.")
        require(low >= 0 and high <= 1, f"{it} run from {low:g} to {high:g}; scale them to 0 to 1.")
        tensor = to_bytes(tensor)
    if labels is not None:
        it, kind = f"{name}: labels", labels.dtype
        require(
            labels.shape == (count,), f"{it} have shape {labels.shape}; give {count}, one each."
        )
        require(kind.kind in "iu", f"{it} are {kind}; use integers.")
    return Images(
        name=name,
        pixels=tensor.reshape(count, height, width, channels).movedim(-1, 1).contiguous(),
        labels=None if labels is None else torch.tensor(labels.astype(np.int64)),
    )


def as_set(
    arrays: dict[str, np.ndarray], name: str, label_names: tuple[str, ...] | None = None
) -> ImageSet:
    """Check arrays, given by the names in `ARRAYS`, and make one set of them.

    Raises:
        UserError: an array is missing or does not fit.
    """

    def part(images: str, labels: str) -> Images:
        part = as_images(arrays[images], arrays.get(labels), name=name)
        return replace(part, label_names=label_names)

    for key in ("x_train", "x_test"):
        require(key in arrays, f"{name}: has no array {key}; add it.")
    train, test = part("x_train", "y_train"), part("x_test", "y_test")
    alike = train.shape == test.shape
    require(
        alike,
        f"{name}: x_train has images of {train.shape}, x_test of {test.shape}; give one shape.",
    )
    return ImageSet(train=train, test=test)


def read_numpy(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a .npz that have a name in `ARRAYS`.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        arrays = {name: from_archive(path, name) for name in ARRAYS}
    except Unreadable as error:
        raise UserError(f"{path}: {error}; save its arrays with numpy.savez.") from error
    return {name: array for name, array in arrays.items() if array is not None}


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes: 0, 0, 8, ndim, then ndim big-endian sizes, then values."""
    raw = gzip.decompress(path.read_bytes())
    ndim = raw[3]
    sizes = np.frombuffer(raw, ">u4", count=ndim, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(sizes)
