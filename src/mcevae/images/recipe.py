"""Convert frames of any size, type and brightness to images that a model takes.

`images.survey` chooses a recipe once, from the images that a model is trained on. The settings of
the run record the recipe, and all later images are converted with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, to_bytes
from mcevae.images.background import flattened
from mcevae.images.readers.frames import Frame, Unreadable

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
TAILS = (0.1, 99.9)
"""Percentiles that become black and white when intensities are stretched."""
LEAST = 4
"""Smallest allowed side of a frame in pixels."""
ABSURD = 1e30
"""Intensities beyond this could overflow in differences and quotients."""
Fit = Literal["pad", "crop"]
"""How a frame fits a shape: all of it is kept, or all of the shape is filled; see `Recipe`."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The steps that every frame goes through, in this order.

    Attributes:
        normalise: first, integers are divided by the largest value of their type. Then: none does
            nothing; set makes `levels` black and white; image makes each frame's own
            percentiles 0.1 and 99.9 black and white.
        levels: black and white of "set".
        channels: 1 or 3.
        background: 0 to 1; brightness behind transparent pixels and around padded frames.
        fit: pad: the longer side of the frame fills the image, so all of it is kept; crop: the
            shorter side fills the image.
        shape: height and width of the image.
        flatten: whether the plane fitted to the border of each image becomes `background`.
    """

    normalise: Literal["none", "set", "image"]
    levels: tuple[float, float] | None
    channels: int
    background: float
    fit: Fit
    shape: tuple[int, int]
    flatten: bool = False

    def __post_init__(self) -> None:
        if self.normalise not in ("none", "set", "image") or self.fit not in ("pad", "crop"):
            raise ValueError(f"normalise is {self.normalise} and fit is {self.fit}, not known here")
        if self.normalise == "set" and not (self.levels and self.levels[0] <= self.levels[1]):
            raise ValueError(f"levels are {self.levels}; give black, then white")
        if self.channels not in (1, 3) or not 0 <= self.background <= 1:
            raise ValueError(
                f"channels are {self.channels} and background is {self.background}; use 1 or 3, "
                "and 0 to 1"
            )
        if not all(isinstance(one, int) and 1 <= one <= MAX_SIDE for one in self.shape):
            raise ValueError(f"images have {self.shape} pixels; sides go up to {MAX_SIDE}")

    def __call__(self, frame: Frame) -> UInt8[Tensor, "C H W"]:
        """Convert a frame to an image for the model.

        Raises:
            Unreadable: the frame's values or shape do not fit.
        """
        if self.keeps(frame.pixels):
            pixels = torch.from_numpy(np.array(frame.pixels))
            return pixels.view(*self.shape, self.channels).movedim(-1, 0)
        image = self.scaled(frame)
        if self.flatten:
            image = flattened(image[None], self.background)[0]
        return to_bytes(padded(image, self.shape, self.background))

    def scaled(self, frame: Frame) -> Float[Tensor, "C h w"]:
        """Convert a frame as far as its size, before it is flattened and padded or cropped.

        Raises:
            Unreadable: the frame's values or shape do not fit.
        """
        values, opacity = floats(frame.pixels, self.normalise, self.levels)
        values = opacity * values + (1 - opacity) * self.background
        image = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
        return resized(with_channels(image, self.channels), self.shape, self.fit)

    def keeps(self, pixels: np.ndarray) -> bool:
        """Whether a frame already has the right form, so that the slow steps can be left out."""
        shapes = [(*self.shape, self.channels), *([self.shape] if self.channels == 1 else [])]
        plain = self.normalise == "none" and not self.flatten
        return plain and pixels.dtype == np.uint8 and pixels.shape in shapes

    def settings(self) -> dict[str, Any]:
        """Return the settings of `DataConfig` that give this recipe, apart from the size."""
        return {
            "colour": "rgb" if self.channels == 3 else "grey",
            "normalise": self.normalise,
            "levels": self.levels,
            "background": self.background,
            "fit": self.fit,
            "flatten": "yes" if self.flatten else "no",
        }

    def in_words(self) -> str:
        """Describe colours, intensities and background in words."""
        rule = {"none": "as they are", "image": "stretched image by image"}.get(self.normalise, "")
        if self.levels:
            rule = f"stretched from {self.levels[0]:.4g} to {self.levels[1]:.4g} of their range"
        flat = ", to which uneven backgrounds are flattened" if self.flatten else ""
        return (
            f"{'in colour' if self.channels == 3 else 'grey'}; intensities {rule}; "
            f"background {self.background:g} (0 is black){flat}"
        )


def floats(
    pixels: np.ndarray,
    normalise: Literal["none", "set", "image"],
    levels: tuple[float, float] | None,
) -> tuple[Float32[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame from 0 to 1, with 1 or 3 channels, and its opacity.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    values, opacity = intensities(pixels)
    low, high = 0.0, 1.0
    if normalise == "none" and not low <= values.min() <= values.max() <= high:
        seen = f"{pixels.min():g} to {pixels.max():g}"
        full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
        raise Unreadable(f"has values from {seen}, not 0 to {full:g}; use --normalise set or image")
    if normalise == "set":
        assert levels is not None
        low, high = levels
    elif normalise == "image":
        low, high = np.percentile(values, TAILS).tolist()
    if high <= low:  # the frame has one value only and shows nothing
        return np.zeros_like(values), opacity
    return ((values - low) / (high - low)).clip(0, 1), opacity


def intensities(
    pixels: np.ndarray,
) -> tuple[Float32[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame as they are, with 1 or 3 channels, and its opacity from 0 to 1.

    Integers are divided by the largest value of their type; floats do not change.

    Raises:
        Unreadable: the frame's shape is not that of an image, or its values are no intensities.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3, 4):
        raise Unreadable(f"has shape {pixels.shape}; use (H, W), or (H, W, C) with C 1, 3 or 4")
    if min(pixels.shape[:2]) < LEAST:
        raise Unreadable(f"is {pixels.shape[1]} x {pixels.shape[0]} pixels, too small")
    if pixels.dtype.kind not in "buif":
        raise Unreadable(f"holds {pixels.dtype} values, which are not intensities")
    full = np.float32(np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1)
    with np.errstate(over="ignore"):
        values = pixels[..., :3].astype(np.float32) / full
    opacity = pixels[..., 3:].astype(np.float32) / full
    if not opacity.size:
        opacity = np.ones((*pixels.shape[:2], 1), np.float32)
    if not -ABSURD < values.min() <= values.max() < ABSURD:  # nor is NaN
        raise Unreadable(f"holds NaN, infinite values, or values beyond {ABSURD:g}")
    return values, opacity


def with_channels(image: Float[Tensor, "c h w"], channels: int) -> Float[Tensor, "C h w"]:
    """Bring an image of 1 or 3 channels to a number of channels: in grey, or grey as colours."""
    if len(image) == 3 and channels == 1:
        image = torch.tensordot(torch.tensor(LUMA), image, 1)[None]
    return image.expand(channels, -1, -1)


def ratio(frame: Sequence[int], shape: tuple[int, int], fit: Fit) -> float:
    """By how much a frame is scaled to fit a shape; both are height and width."""
    ratios = [new / old for new, old in zip(shape, frame, strict=True)]
    return min(ratios) if fit == "pad" else max(ratios)


def fitted(frame: Sequence[int], shape: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Height and width of a frame after it is scaled to fit a shape, which it need not fill."""
    height, width = (max(1, round(side * ratio(frame, shape, fit))) for side in frame)
    return height, width


def resized(
    image: Float[Tensor, "C h w"], shape: tuple[int, int], fit: Fit
) -> Float[Tensor, "C h2 w2"]:
    """Scale an image to fit a shape, keeping its aspect ratio."""
    size = fitted(image.shape[1:], shape, fit)
    if size != tuple(image.shape[1:]):
        image = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return image


def padded(
    image: Float[Tensor, "C h w"], shape: tuple[int, int], value: float
) -> Float[Tensor, "C H W"]:
    """Bring an image to a shape: pad it with a value where it is smaller, crop it elsewhere."""
    down, right = shape[0] - image.shape[1], shape[1] - image.shape[2]
    borders = (right // 2, right - right // 2, down // 2, down - down // 2)
    return F.pad(image, borders, value=value)  # borders below zero crop


def placement(frame: Sequence[int], shape: tuple[int, int], fit: Fit) -> Float32[Tensor, "3 3"]:
    """Where `resized` and `padded` put the points of a frame.

    Sizes are rounded to pixels, and `padded` puts the larger half of an odd margin below and to the
    right. So large and small copies of a frame do not lie quite alike.

    Args:
        frame: (height, width) of the frame.
        shape: (height, width) of the image.
        fit: pad or crop.

    Returns:
        The matrix that takes points of the frame, as shares of its width and height from its
        centre, to points of the image, in image sides from its centre.
    """
    unit = max(shape)
    height, width = fitted(frame, shape, fit)
    down, right = -((shape[0] - height) % 2) / 2, -((shape[1] - width) % 2) / 2
    return torch.tensor(
        [[width / unit, 0.0, right / unit], [0.0, height / unit, down / unit], [0.0, 0.0, 1.0]]
    )


def recipe_for(settings: DataConfig, shape: tuple[int, int, int]) -> Recipe:
    """The recipe of a run, from its settings and the shape (C, H, W) that its model takes.

    Raises:
        UserError: the settings have no levels, although they need them.
    """
    if settings.normalise == "set" and settings.levels is None:
        raise UserError("the run's settings have no levels, which --normalise set needs.")
    channels, height, width = shape
    return Recipe(
        normalise="none" if settings.normalise == "auto" else settings.normalise,
        levels=settings.levels,
        channels=channels,
        background=settings.background_level,
        fit=settings.fit,
        shape=(height, width),
        flatten=settings.flatten == "yes",
    )
