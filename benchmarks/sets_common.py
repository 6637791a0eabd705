"""What the sets of `sets.py` share: how images are posed, how a set is written and read again."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mcevae.geometry.warp import side, warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits, shuffled
from mcevae.reproduce.protocols import placed

CHUNK = 250  # images that are moved at once
FLIP = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
"""The mirror image: left and right change places."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A set of images in random order."""

    images: np.ndarray
    """(N, H, W) or (N, H, W, 3), uint8 or float32."""
    labels: np.ndarray
    """(N,) number of what each image shows, from 0. For scores alone."""
    test: int
    """How many images are for test: the last ones."""
    elements: Tensor | None = None
    """(N, 3, 3) the true pose of each image, if it is known: x right, y down, shifts in image
    sides. Where the determinant is negative, the image is mirrored before it is turned."""


def seventh(count: int) -> int:
    """Number of test images, if a set has no test images of its own: as `mcevae fit` holds out."""
    return max(1, count // 7)


def poses(
    rng: np.random.Generator,
    count: int,
    *,
    rotation: float = 0.0,
    shift: float = 0.0,
    mirror: bool = False,
) -> Tensor:
    """Draw random poses, (count, 3, 3).

    Args:
        rng: source of chance.
        count: number of poses.
        rotation: largest rotation either way, degrees.
        shift: largest shift along x and along y, in image sides.
        mirror: whether every second image or so is mirrored.
    """
    turned = placed(rng.uniform(-rotation, rotation, count), rng.uniform(-shift, shift, (count, 2)))
    flipped = rng.integers(2, size=count) == 1 if mirror else np.zeros(count, bool)
    return turned @ torch.where(torch.from_numpy(flipped)[:, None, None], FLIP, torch.eye(3))


def moved(pictures: Tensor, which: Tensor, elements: Tensor, size: int | None = None) -> np.ndarray:
    """Move pictures on a background of 0, and shrink them.

    Args:
        pictures: (M, C, H, W) uint8.
        which: (N,) number of the picture that each image shows.
        elements: (N, 3, 3) pose of each image.
        size: side of the images in pixels. None: that of the pictures.

    Returns:
        (N, C, H, W) float32, 0 to 1.
    """
    parts = []
    for some, pose in zip(which.split(CHUNK), elements.split(CHUNK), strict=True):
        x = warp(to_float(pictures[some]), pose)
        if size is not None:
            x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True)
        parts.append(x.clamp(0, 1).numpy())
    return np.concatenate(parts)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 255 as bytes; what is beyond is cut."""
    return values.round().clip(0, 255).astype(np.uint8)


def truth_path(path: Path) -> Path:
    """Path of the true poses that belong to a set."""
    return path.with_name(f"{path.stem}-truth.npz")


def write(made: Made, path: Path) -> None:
    """Write x_train, y_train, x_test, y_test, and the true poses into a file beside it.

    The poses are element_*, (n, 3, 3), and for people angle_* in degrees (clockwise as one sees
    it), shift_* (n, 2) in pixels, and mirrored_*.

    Args:
        made: the set.
        path: a .npz.
    """
    first = len(made.images) - made.test
    parts = {"train": slice(first), "test": slice(first, None)}
    arrays = {}
    for part, rows in parts.items():
        arrays |= {f"x_{part}": made.images[rows], f"y_{part}": made.labels[rows].astype(np.int64)}
    np.savez_compressed(path, **arrays)
    if made.elements is None:
        return
    mirrored = torch.linalg.det(made.elements) < 0
    upright = torch.where(mirrored[:, None, None], made.elements @ FLIP, made.elements)
    truth = {
        "element": made.elements,
        "angle": torch.rad2deg(torch.atan2(upright[:, 1, 0], upright[:, 0, 0])),
        "shift": made.elements[:, :2, 2] * side(*made.images.shape[1:3]),
        "mirrored": mirrored,
    }
    known = {
        f"{k}_{part}": v[rows].numpy() for k, v in truth.items() for part, rows in parts.items()
    }
    np.savez_compressed(truth_path(path), **known)


def with_truth(data: Splits, path: Path) -> Splits:
    """Give a set the true poses that lie beside its file, so that poses can be scored.

    Nothing is given if there are none. Images that are mirrored need a group with reflections.

    Args:
        data: the set, as `prepare_for` reads it.
        path: its .npz.
    """
    if not truth_path(path).exists():
        return data
    with np.load(truth_path(path)) as truth:
        train, test = (torch.from_numpy(truth[f"element_{part}"]) for part in ("train", "test"))
    order, held = shuffled(len(train)), len(data.validation)
    return replace(
        data,
        train=replace(data.train, elements=train[order[held:]][: len(data.train)]),
        validation=replace(data.validation, elements=train[order[:held]]),
        test=replace(data.test, elements=test),
    )
