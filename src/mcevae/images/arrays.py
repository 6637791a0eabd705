"""Images in memory, and people's own files: checked, and brought to one form.

Pixels are kept as uint8, (N, C, H, W), 0 to 255. Labels are only ever used for scoring.
"""

import gzip
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.readers import Fault, Unreadable, unpacked

MIN_SIDE, MAX_SIDE = 16, 256  # what the networks are built for
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, kw_only=True)
class Images:
    """Images of one shape, with labels where they are known."""

    name: str
    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"] | None = None
    """For scoring only; no model sees them."""
    label_names: tuple[str, ...] | None = None
    """What label 0, 1, ... is called."""
    names: np.ndarray | None = None
    """(n,) what each image is called, where they come from files."""

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def subset(self, indices: Tensor | slice) -> "Images":
        """Keep the images that `indices` picks, in that order."""
        positions = indices if isinstance(indices, slice) else indices.numpy()
        return replace(
            self,
            pixels=self.pixels[indices],
            labels=pick(self.labels, indices),
            names=None if self.names is None else self.names[positions],
        )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Images as published or saved; `test` is None where no part was set aside for testing."""

    train: Images
    test: Images | None = None
    faults: tuple[Fault, ...] = ()
    """What could not be used, of files."""


def shrink(images: Float[Tensor, "n c h w"], longest: int = 28) -> Float32[Tensor, "n c h2 w2"]:
    """Images of at most `longest` pixels a side, as float32; finer detail tells little of a pose.

    Those that are small enough are kept as they are.
    """
    height, width = images.shape[-2:]
    ratio = longest / max(height, width)
    if ratio >= 1:
        return images.float()
    small = (max(2, round(height * ratio)), max(2, round(width * ratio)))
    return F.interpolate(images.float(), size=small, mode="bilinear", antialias=True)


def to_float(pixels: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Scale bytes to floats from 0 to 1."""
    return pixels.float() / 255


def to_bytes(pixels: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Round floats, clamped to 0 to 1, to the nearest of 256 levels."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def pick(tensor: Tensor | None, indices: Tensor | slice) -> Tensor | None:
    """Index a tensor that may be missing."""
    return None if tensor is None else tensor[indices]


def require(condition: bool, sentence: str) -> None:
    """Raise UserError with the sentence unless the condition holds."""
    if not condition:
        raise UserError(sentence)


def as_images(pixels: np.ndarray, labels: np.ndarray | None = None, *, name: str) -> Images:
    """Check arrays and bring them to uint8 (N, C, H, W).

    `pixels` is (n, H, W) or (n, H, W, C) with C 1 or 3 and sides of 16 to 256, uint8 or floats in
    [0, 1]; `labels` (n,) integers; `name` is what tables and errors call them.

    Raises:
        UserError: An array breaks one of these rules.
    """
    it = f"{name}: images"
    kind, shape = pixels.dtype, pixels.shape
    floats = kind.kind == "f"
    require(floats or kind == np.uint8, f"{it} are {kind}; use uint8, or floats from 0 to 1.")
    require(len(shape) in (3, 4), f"{it} have shape {shape}; use (n, H, W) or (n, H, W, C).")
    count, height, width, channels = shape if len(shape) == 4 else (*shape, 1)
    require(count > 0, f"{name}: holds 0 images; give at least 3.")
    require(channels in (1, 3), f"{it} have {channels} channels (last axis); use 1 or 3.")
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


def as_source(
    arrays: dict[str, np.ndarray], name: str, label_names: tuple[str, ...] | None = None
) -> Source:
    """Arrays by the names that `data.load` tells, checked, as one source."""

    def part(images: str, labels: str) -> Images:
        part = as_images(arrays[images], arrays.get(labels), name=name)
        return replace(part, label_names=label_names)

    for key in ("x_train", "x_test"):
        require(key in arrays, f"{name}: has no array {key}; add it.")
    train, test = part("x_train", "y_train"), part("x_test", "y_test")
    alike = train.shape == test.shape
    require(alike, f"{name}: x_train is of {train.shape}, x_test of {test.shape}; make them alike.")
    return Source(train=train, test=test)


def read_numpy(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a .npz with `x_train` and the like; no pickles, since they run code."""
    try:
        with path.open("rb") as file:  # numpy leaves damaged archives that it opened itself open
            loaded = np.load(file, allow_pickle=False)
            return {name: unpacked(loaded, name) for name in ARRAYS if name in loaded}
    except Unreadable as error:
        raise UserError(f"{path}: {error}.") from error
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check the path.") from None
    except Exception as error:  # damaged files raise nine types, tokenize.TokenError among them
        objects = str(error).startswith("Object arrays")
        fault = "holds Python objects" if objects else "is not a readable NumPy file"
        raise UserError(f"{path}: {fault}; save numbers with numpy.savez.") from error


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of bytes: 0, 0, 8, ndim, then ndim big-endian sizes, then values."""
    raw = gzip.decompress(path.read_bytes())
    ndim = raw[3]
    sizes = np.frombuffer(raw, ">u4", count=ndim, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(sizes)
