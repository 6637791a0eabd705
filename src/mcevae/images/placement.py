"""Where a frame lies in the image that a model takes, and where points of that image lie in it.

`recipe` scales a frame to fit the image, then pads or crops it. Sizes are rounded to pixels, and
the larger half of an odd margin is below and to the right. So large and small copies of a frame do
not lie quite alike, and the middle of the image is not always that of the frame.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

Fit = Literal["pad", "crop"]
"""How a frame fits a shape: all of it is kept, or all of the shape is filled; see `Recipe`."""
Shape = tuple[int, int]
"""Height and width."""


def ratios(frames: Int[np.ndarray, "n 2"], shape: Shape, fit: Fit) -> Float[np.ndarray, " n"]:
    """By how much frames are scaled to fit a shape; all are height and width."""
    sides = np.asarray(shape) / frames
    return sides.min(1) if fit == "pad" else sides.max(1)


def all_fitted(frames: Int[np.ndarray, "n 2"], shape: Shape, fit: Fit) -> Int[np.ndarray, "n 2"]:
    """Height and width of frames after they are scaled to fit a shape, which they need not fill."""
    scaled = frames * ratios(frames, shape, fit)[:, None]
    return np.maximum(1, np.round(scaled)).astype(int)


def fitted(frame: Sequence[int], shape: Shape, fit: Fit) -> Shape:
    """Height and width of one frame after it is scaled, see `all_fitted`."""
    height, width = all_fitted(np.array([frame]), shape, fit)[0].tolist()
    return height, width


def off_centre(scaled: Int[np.ndarray, "n 2"], shape: Shape) -> Float[np.ndarray, "n 2"]:
    """How far the middles of scaled frames lie below and right of that of the image, pixels."""
    return -((np.asarray(shape) - scaled) % 2) / 2


def placement(frame: Sequence[int], shape: Shape, fit: Fit) -> Float32[Tensor, "3 3"]:
    """Where a frame lies in the image.

    Args:
        frame: (height, width) of the frame.
        shape: (height, width) of the image.
        fit: pad or crop.

    Returns:
        The matrix that takes points of the frame, as shares of its width and height from its
        centre, to points of the image, in image sides from its centre.
    """
    scaled = all_fitted(np.array([frame]), shape, fit)
    height, width = scaled[0] / max(shape)
    down, right = off_centre(scaled, shape)[0] / max(shape)
    rows = [[width, 0.0, right], [0.0, height, down], [0.0, 0.0, 1.0]]
    return torch.tensor(rows, dtype=torch.float32)


def in_pixels(
    points: Float[np.ndarray, "n 2"], frames: Int[np.ndarray, "n 2"], shape: Shape, fit: Fit
) -> Float[np.ndarray, "n 2"]:
    """Where points of images lie in their frames: the inverse of `placement`, in pixels.

    Args:
        points: x to the right and y down, in image sides from the centre of the image.
        frames: (height, width) of each image's frame.
        shape: (height, width) of the images.
        fit: pad or crop.

    Returns:
        x to the right and y down, in pixels of the frame from its centre.
    """
    off, larger = _laid(frames, shape, fit)
    return (points * max(shape) - off) * larger


def in_sides(
    pixels: Float[np.ndarray, "n 2"], frames: Int[np.ndarray, "n 2"], shape: Shape, fit: Fit
) -> Float[np.ndarray, "n 2"]:
    """Where points of frames lie in their images: the inverse of `in_pixels`.

    Args:
        pixels: x to the right and y down, in pixels of the frame from its centre.
        frames, shape, fit: as for `in_pixels`.
    """
    off, larger = _laid(frames, shape, fit)
    return (pixels / larger + off) / max(shape)


def _laid(
    frames: Int[np.ndarray, "n 2"], shape: Shape, fit: Fit
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """How frames lie, in x and y: how far off the centre, and by how much they are larger."""
    scaled = all_fitted(frames, shape, fit)
    return off_centre(scaled, shape)[:, ::-1], (frames / scaled)[:, ::-1]
