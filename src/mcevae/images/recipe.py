"""Convert frames of any size, type and brightness to images that a model takes.

`survey` chooses a recipe once, from the images that a model is trained on. The settings of the run
record the recipe, and all later images are converted with it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, MIN_SIDE, to_bytes
from mcevae.images.background import UNEVEN, flattened, unevenness
from mcevae.images.readers.frames import Frame, Unreadable

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
TAILS = (0.1, 99.9)
"""Percentiles that become black and white when intensities are stretched."""
SIDE = 64
"""Default side of the images. The cost grows with its square."""
LEAST = 4
"""Smallest allowed side of a frame in pixels."""
LOW = 32
"""Bytes that all lie below this are stretched; as they are, they would be nearly black."""
SAMPLED = 4096
"""About how many values of each frame are used for the percentiles of a set."""
ABSURD = 1e30
"""Intensities beyond this could overflow in differences and quotients."""
COLOURED = 0.02
"""A larger difference between channels, as a share of the range, counts as colour."""


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
    fit: Literal["pad", "crop"]
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
        return to_bytes(framed(self.scaled(frame), self))

    def scaled(self, frame: Frame) -> Float[Tensor, "C h w"]:
        """Convert a frame as far as its size, before it is flattened and padded or cropped.

        Raises:
            Unreadable: the frame's values or shape do not fit.
        """
        values, opacity = floats(frame.pixels, self.normalise, self.levels)
        values = opacity * values + (1 - opacity) * self.background
        image = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
        if len(image) == 3 and self.channels == 1:
            image = torch.tensordot(torch.tensor(LUMA), image, 1)[None]
        return resized(image.expand(self.channels, -1, -1), self)

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
    low, high = 0.0, 1.0
    if normalise == "none" and not low <= values.min() <= values.max() <= high:
        seen = f"{pixels.min():g} to {pixels.max():g}"
        raise Unreadable(f"has values from {seen}, not 0 to {full:g}; use --normalise set or image")
    if normalise == "set":
        assert levels is not None
        low, high = levels
    elif normalise == "image":
        low, high = np.percentile(values, TAILS).tolist()
    if high <= low:  # the frame has one value only and shows nothing
        return np.zeros_like(values), opacity
    return ((values - low) / (high - low)).clip(0, 1), opacity


def resized(image: Float[Tensor, "C h w"], recipe: Recipe) -> Float[Tensor, "C h2 w2"]:
    """Scale an image to the recipe's shape, keeping its aspect ratio."""
    height, width = recipe.shape
    ratios = height / image.shape[1], width / image.shape[2]
    ratio = min(ratios) if recipe.fit == "pad" else max(ratios)
    size = [max(1, round(side * ratio)) for side in image.shape[1:]]
    if size != list(image.shape[1:]):
        image = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    return image


def framed(image: Float[Tensor, "C h w"], recipe: Recipe) -> Float[Tensor, "C H W"]:
    """Flatten the background of an image, if the recipe does, then pad or crop it."""
    if recipe.flatten:
        image = flattened(image[None], recipe.background)[0]
    down, right = recipe.shape[0] - image.shape[1], recipe.shape[1] - image.shape[2]
    borders = (right // 2, right - right // 2, down // 2, down - down // 2)
    return F.pad(image, borders, value=recipe.background)  # borders below zero crop


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


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was learned from a sample of frames.

    Attributes:
        recipe: the recipe chosen for them.
        alike: whether the frames keep their size.
        sizes: smallest and largest (width, height).
    """

    recipe: Recipe
    alike: bool
    sizes: tuple[tuple[int, int], tuple[int, int]]

    def settled(self) -> dict[str, Any]:
        """Settings of `DataConfig` that give the same recipe. A run records them."""
        size = None if self.alike else self.recipe.shape[0]
        return {"size": size, **self.recipe.settings()}

    def in_words(self) -> str:
        """Describe the frames and what will be done to them."""
        recipe, (least, most) = self.recipe, self.sizes
        height, width = recipe.shape
        size = f"{least[0]} x {least[1]}" + (f" to {most[0]} x {most[1]}" if least != most else "")
        kept = "kept" if self.alike else f"fit into {width} x {height}"
        return f"Images of {size} pixels, {kept}, {recipe.in_words()}."


def survey(
    frames: Sequence[Frame],
    *,
    size: int | None = None,
    most: int = SIDE,
    fit: Literal["pad", "crop"] = "pad",
    channels: Literal["auto", "grey", "rgb"] = "auto",
    normalise: Literal["auto", "none", "set", "image"] = "auto",
    background: float | None = None,
    levels: tuple[float, float] | None = None,
    flatten: Literal["auto", "yes", "no"] = "auto",
) -> Survey:
    """Choose a recipe from a sample of frames. Arguments that are given are not chosen.

    Size: that of the frames if they all have one size of 16 to `most` pixels a side, else 64 x 64.
    Colour: if any frame has colours. Intensities: unchanged for floats from 0 to 1, and for bytes
    that do not only use the lowest levels, as codes and masks do; else stretched by the percentiles
    of the set. Background: the median of the frames' borders, to which each image is flattened if
    half of them have another background, or one that slopes.

    Args:
        frames: a sample of frames that can all be used.
        size: side of the images.
        most: largest side that is kept.
        fit: as in `Recipe`.
        channels: grey (1 channel), rgb (3 channels) or auto (as the frames are).
        normalise: as in `Recipe`, or auto.
        background: 0 to 1.
        levels: black and white of "set".
        flatten: whether to flatten backgrounds.
    """
    shapes = [frame.pixels.shape[:2] for frame in frames]
    alike = len(set(shapes)) == 1 and all(MIN_SIDE <= side <= most for side in shapes[0])
    shape = (size, size) if size else shapes[0] if alike else (SIDE, SIDE)
    plain = all(is_plain(frame.pixels) for frame in frames) and not few_levels(frames)
    rule = normalise if normalise != "auto" else "none" if plain else "set"
    levels = (levels or levels_of(frames)) if rule == "set" else None
    colour = any(is_coloured(frame.pixels) for frame in frames)
    borders = [border(frame.pixels, rule, levels, background) for frame in frames]
    recipe = Recipe(
        normalise=rule,
        levels=levels,
        channels=3 if channels == "rgb" or (channels == "auto" and colour) else 1,
        background=round(float(np.median(borders)), 3) if background is None else background,
        fit=fit,
        shape=shape,
        flatten=flatten == "yes",
    )
    if flatten == "auto":
        recipe = replace(recipe, flatten=are_uneven(frames, recipe))
    widths = sorted((width, height) for height, width in shapes)
    return Survey(recipe=recipe, alike=alike and not size, sizes=(widths[0], widths[-1]))


def are_uneven(frames: Sequence[Frame], recipe: Recipe) -> bool:
    """Whether the frames have backgrounds that differ from the recipe's.

    Raises:
        Unreadable: a frame's shape or values do not fit.
    """
    found = [unevenness(recipe.scaled(frame), recipe.background) for frame in frames]
    return float(np.median(found)) > UNEVEN


def is_plain(pixels: np.ndarray) -> bool:
    """Whether a frame needs no stretching: bytes, or floats from 0 to 1."""
    if pixels.dtype == np.uint8 or pixels.dtype.kind == "b":
        return True
    return pixels.dtype.kind == "f" and bool(pixels.min() >= 0) and bool(pixels.max() <= 1)


def few_levels(frames: Sequence[Frame]) -> bool:
    """Whether frames of bytes use only the lowest levels: codes such as 0, 1, 2, or masks."""
    bytes_alone = all(frame.pixels.dtype == np.uint8 for frame in frames)
    if not bytes_alone:
        return False
    highest = max(int(frame.pixels.max()) for frame in frames)
    return min(int(frame.pixels.min()) for frame in frames) < highest < LOW


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether the visible part of a frame has colours."""
    if pixels.ndim != 3 or pixels.shape[-1] < 3:
        return False
    values = pixels[..., :3].astype(np.float32)
    if pixels.shape[-1] == 4:
        values = values * (pixels[..., 3:] > 0)
    return bool(np.ptp(values, axis=-1).max() > COLOURED * max(float(values.max()), 1e-9))


def levels_of(frames: Sequence[Frame]) -> tuple[float, float]:
    """Percentiles `TAILS` of a set of frames. Each frame gives about the same number of values."""
    parts = []
    for frame in frames:
        values = frame.pixels[..., :3].ravel() if frame.pixels.ndim == 3 else frame.pixels.ravel()
        full = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
        parts.append(values[:: math.ceil(len(values) / SAMPLED)].astype(np.float64) / full)
    low, high = np.percentile(np.concatenate(parts), TAILS).tolist()
    return low, high


def border(
    pixels: np.ndarray,
    normalise: Literal["none", "set", "image"],
    levels: tuple[float, float] | None,
    background: float | None,
) -> float:
    """Median grey of a frame's outermost pixels. Transparent pixels count as `background`.

    Args:
        pixels: the frame.
        normalise: as in `Recipe`.
        levels: as in `Recipe`.
        background: 0 to 1; None: white.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    values, opacity = floats(pixels, normalise, levels)
    grey = values @ np.asarray(LUMA, np.float32) if values.shape[-1] == 3 else values[..., 0]
    clear = 1.0 if background is None else background
    grey = opacity[..., 0] * grey + (1 - opacity[..., 0]) * clear
    ring = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    return float(np.median(ring))
