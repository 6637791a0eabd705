"""Images in memory, in the forms in which libraries have them, as arrays with channels last."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mcevae.images.arrays import MIN_SIDE, Images
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.pillow import as_array

OPAQUE = 4
"""Channels of a picture, at most: colours and opacity."""
Picture = np.ndarray | Tensor | Image.Image
Pictures = np.ndarray | Tensor | Images | Sequence[Picture]
"""Images in one of the forms that `as_numbers` takes."""


def as_numbers(images: Any) -> Any:
    """Bring images to arrays with channels last, whatever library they come from.

    Args:
        images: an array (n, H, W), (n, H, W, C) or (n, C, H, W); a tensor (n, H, W) or
            (n, C, H, W), on any device and with or without gradients; `Images` of `mcevae.load`,
            such as `load("mnist-mini").train`; or a list of arrays, tensors (H, W) or (C, H, W),
            or Pillow images, which may differ in size.

    Returns:
        An array, or a list of arrays (H, W) or (H, W, C). What is none of these forms stays as it
        is.

    Raises:
        Unreadable: it is a single Pillow image, or a list holds something else as well.
    """
    if isinstance(images, Images):
        images = images.pixels
    if isinstance(images, Image.Image):
        raise Unreadable("is a single picture; give a list of pictures")
    if isinstance(images, Tensor):
        found = of_tensor(images)
        return without_single(np.moveaxis(found, 1, -1)) if found.ndim == 4 else found
    if isinstance(images, np.ndarray):
        return channels_last(images)
    if isinstance(images, list | tuple) and len(images) and is_picture(images[0]):
        return [one_picture(i, one) for i, one in enumerate(images)]
    return images


def is_picture(one: Any) -> bool:
    """Whether something is an image by itself, and not a row of numbers."""
    return isinstance(one, Image.Image) or (isinstance(one, np.ndarray | Tensor) and one.ndim > 1)


def one_picture(place: int, one: Any) -> np.ndarray:
    """An image of a list, (H, W) or (H, W, C).

    Raises:
        Unreadable: it is none.
    """
    if not is_picture(one):
        raise Unreadable(f"holds a {type(one).__name__} at place {place}; give images only")
    if isinstance(one, Image.Image):
        return as_array(one)
    if isinstance(one, Tensor):
        found = of_tensor(one)
        return without_single(np.moveaxis(found, 0, -1)) if found.ndim == 3 else found
    return one


def of_tensor(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, wherever it is. NumPy has no bfloat16: it becomes float32."""
    known = tensor.detach().cpu()
    return (known.float() if known.dtype is torch.bfloat16 else known).numpy()


def channels_last(images: np.ndarray) -> np.ndarray:
    """Move the channels of an array (n, C, H, W) to its end; other arrays do not change.

    The shape tells: no image is only 4 pixels high, and none with sides of `MIN_SIDE` or more has
    so many channels.
    """
    if images.ndim != 4:
        return images
    first, least = images.shape[1], min(images.shape[2:])
    if first <= OPAQUE < least or first < MIN_SIDE <= least:
        return without_single(np.moveaxis(images, 1, -1))
    return images


def without_single(images: np.ndarray) -> np.ndarray:
    """Drop the last axis if there is one channel only."""
    return images[..., 0] if images.shape[-1] == 1 else images
