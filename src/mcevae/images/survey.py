"""Choose the recipe of a set of images from a sample of its frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from mcevae.images.arrays import MIN_SIDE
from mcevae.images.background import UNEVEN, unevenness
from mcevae.images.numbers import BYTE, SAMPLED, TAILS, Numbers, colours_of, largest_of
from mcevae.images.numbers import kind_of as kind_of_numbers
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import LUMA, Recipe, floats
from mcevae.images.stretch import Stretch

SIDE = 64
"""Default side of the images. The cost grows with its square."""
COLOURED = 0.02
"""A larger difference between channels, as a share of the range, counts as colour."""


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
    white: float | None = None,
    stretch: Stretch = "linear",
    invert: bool = False,
) -> Survey:
    """Choose a recipe from a sample of frames. Arguments that are given are not chosen.

    Size: that of the frames if they all have one size of 16 to `most` pixels a side, else 64 x 64.
    Colour: if any frame has colours. Intensities: unchanged for floats from 0 to 1, and for bytes,
    or floats that look like bytes, which do not only use the lowest levels, as codes and masks do;
    else stretched by the percentiles of the set. Background: the median of the frames' borders, to
    which each image is flattened if half of them have another background, or one that slopes.

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
        white, stretch, invert: as in `Recipe`; zscale is a rule for each image by itself.
    """
    shapes = [frame.pixels.shape[:2] for frame in frames]
    alike = len(set(shapes)) == 1 and all(MIN_SIDE <= side <= most for side in shapes[0])
    shape = (size, size) if size else shapes[0] if alike else (SIDE, SIDE)
    numbers = Numbers.of(frames)
    if white is None and numbers.dtype == "float" and numbers.looks_like_bytes:
        white = BYTE
    plain = all(is_plain(frame.pixels, white) for frame in frames) and not numbers.codes
    rule = normalise if normalise != "auto" else "none" if plain else "set"
    rule = "image" if stretch == "zscale" else rule
    if rule == "set" and levels is None:
        levels = levels_of(frames, numbers, white)
    colour = any(is_coloured(frame.pixels) for frame in frames)
    recipe = Recipe(
        normalise=rule,
        levels=levels if rule == "set" else None,
        channels=3 if channels == "rgb" or (channels == "auto" and colour) else 1,
        background=1.0 if background is None else background,
        fit=fit,
        shape=shape,
        flatten=flatten == "yes",
        white=white,
        stretch=stretch,
        invert=invert,
        numbers=numbers.dtype,
        seen=(numbers.low, numbers.high),
    )
    if background is None:
        borders = [border(frame.pixels, recipe) for frame in frames]
        recipe = replace(recipe, background=round(float(np.median(borders)), 3))
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


def is_plain(pixels: np.ndarray, white: float | None) -> bool:
    """Whether a frame needs no stretching: bytes, or floats from 0 to 1 (or to `white`)."""
    if pixels.dtype == np.uint8 or pixels.dtype.kind == "b":
        return True
    if pixels.dtype.kind != "f":
        return False
    values = colours_of(pixels)
    return bool(np.nanmin(values) >= 0) and bool(np.nanmax(values) <= (white or 1))


def is_coloured(pixels: np.ndarray) -> bool:
    """Whether the visible part of a frame has colours."""
    if pixels.ndim != 3 or pixels.shape[-1] < 3:
        return False
    values = pixels[..., :3].astype(np.float32)
    if pixels.shape[-1] == 4:
        values = values * (pixels[..., 3:] > 0)
    return bool(np.ptp(values, axis=-1).max() > COLOURED * max(float(values.max()), 1e-9))


def levels_of(
    frames: Sequence[Frame], numbers: Numbers, white: float | None
) -> tuple[float, float]:
    """Percentiles `TAILS` of a set of frames. Each frame gives about the same number of values.

    Codes and masks, of which some may be rare, are stretched from the least to the largest.
    """
    parts = []
    for frame in frames:
        values = colours_of(frame.pixels).ravel()
        full = white or largest_of(kind_of_numbers(values))
        if numbers.codes:
            parts.append(np.array([numbers.low, numbers.high]) / full)
        else:
            some = values[:: math.ceil(len(values) / SAMPLED)].astype(np.float64) / full
            parts.append(some[~np.isnan(some)])
    tails = (0, 100) if numbers.codes else TAILS
    low, high = np.percentile(np.concatenate(parts), tails).tolist()
    return low, high if high > low else low + max(abs(low), 1.0)  # images that show nothing


def border(pixels: np.ndarray, recipe: Recipe) -> float:
    """Median grey of a frame's outermost pixels. Transparent ones count as the background.

    NaN at the border do not count; the pixels beside them are the outermost.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    how = (recipe.normalise, recipe.levels, recipe.white, recipe.stretch)
    values, opacity = floats(pixels, *how)
    values = 1 - values if recipe.invert else values
    grey = values @ np.asarray(LUMA, np.float32) if values.shape[-1] == 3 else values[..., 0]
    grey = opacity[..., 0] * grey + (1 - opacity[..., 0]) * recipe.background
    ring = np.ones(grey.shape, bool)
    ring[1:-1, 1:-1] = False
    gaps = np.isnan(pixels).reshape(*grey.shape, -1).any(-1)
    if gaps.any():
        ring = (ring | ndimage.binary_dilation(gaps)) & ~gaps
    return float(np.median(grey[ring]))
