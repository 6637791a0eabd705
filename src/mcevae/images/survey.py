"""Choose the recipe of a set of images from a sample of its frames."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from mcevae.base.config import Isolate
from mcevae.images.arrays import MIN_SIDE
from mcevae.images.background import UNEVEN, unevenness
from mcevae.images.intensities import LUMA, floats
from mcevae.images.isolation import MANY, MUCH, crowding, outermost
from mcevae.images.masks import CIRCLE, as_text, border_of, circle, masked
from mcevae.images.middle import FULL, fullness
from mcevae.images.numbers import BYTE, SAMPLED, TAILS, Numbers, largest_of, shown_by
from mcevae.images.numbers import kind_of as kind_of_numbers
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe
from mcevae.images.stretch import Stretch

FILLED = (
    "They are full up to their borders; if other things reach in there, --isolate middle keeps "
    "only the middle."
)
SIDE = 64
"""Default side of the images. The cost grows with its square."""
AT_ONCE = 64
"""Frames whose backgrounds are fitted at one time if they have one size: one by one takes three
times as long."""
COLOURED = 0.02
"""A larger difference between channels, as a share of the range, counts as colour."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was learned from a sample of frames.

    Attributes:
        recipe: the recipe chosen for them.
        alike: whether the frames keep their size.
        sizes: smallest and largest (width, height).
        full: whether frames of one size have content up to their borders, and all of it is kept.
    """

    recipe: Recipe
    alike: bool
    sizes: tuple[tuple[int, int], tuple[int, int]]
    full: bool

    def settled(self) -> dict[str, Any]:
        """Settings of `DataConfig` that give the same recipe. A run records them."""
        size = None if self.alike else self.recipe.shape[0]
        known = {"channels": ",".join(self.recipe.names)} if self.recipe.names else {}
        return {"size": size, **self.recipe.settings(), **known}

    def in_words(self) -> str:
        """Describe the frames and what will be done to them."""
        recipe, (least, most) = self.recipe, self.sizes
        height, width = recipe.shape
        size = f"{least[0]} x {least[1]}" + (f" to {most[0]} x {most[1]}" if least != most else "")
        kept = "kept" if self.alike else f"fit into {width} x {height}"
        said = f"Images of {size} pixels, {kept}, {recipe.in_words()}."
        return said + (f" {FILLED}" if self.full else "")


def survey(
    frames: Sequence[Frame],
    *,
    size: int | None = None,
    most: int = SIDE,
    fit: Literal["pad", "crop"] = "pad",
    channels: Literal["auto", "grey", "rgb"] = "auto",
    normalise: Literal["auto", "none", "set", "image"] = "auto",
    background: float | None = None,
    levels: tuple[float, ...] | None = None,
    flatten: Literal["auto", "yes", "no"] = "auto",
    isolate: Isolate = "auto",
    white: float | None = None,
    stretch: Stretch = "linear",
    invert: bool = False,
    mask: str | None = None,
    mask_bits: str | None = None,
) -> Survey:
    """Choose a recipe from a sample of frames. Arguments that are given are not chosen.

    Size: that of the frames if they all have one size of 16 to `most` pixels a side, else 64 x 64.
    Colour: if any frame has colours; channels that are no colours are those of most frames.
    Intensities: unchanged for floats from 0 to 1, and for bytes, or floats that look like bytes,
    which do not only use the lowest levels, as codes and masks do; else, and for channels that are
    no colours, stretched by the percentiles of the set, or of each channel. Background: the
    median of the frames' borders, to which each image is flattened if half of them have another
    background, or one that slopes. Parts of other things at the border are taken out if a quarter
    of the images shows any.

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
        isolate: whether to take out parts of other things, as in `Recipe`.
        mask, mask_bits: as in `Recipe`; only pixels that count are looked at.
        white, stretch, invert: as in `Recipe`; zscale is a rule for each image by itself.
    """
    frames = [masked(frame, mask, mask_bits) for frame in of_one_kind(frames, channels)]
    names = frames[0].channels
    shapes = [frame.pixels.shape[:2] for frame in frames]
    alike = len(set(shapes)) == 1 and all(MIN_SIDE <= side <= most for side in shapes[0])
    shape = (size, size) if size else shapes[0] if alike else (SIDE, SIDE)
    numbers = Numbers.of(frames)
    if white is None and numbers.dtype == "float" and numbers.looks_like_bytes:
        white = BYTE
    rule = "image" if stretch == "zscale" else normalise
    if rule == "auto":
        rule = "none" if are_plain(frames, numbers, white) else "set"
    recipe = Recipe(
        normalise=rule,
        levels=(levels or levels_of(frames, numbers, white)) if rule == "set" else None,
        channels=len(names) or count_of(frames, channels),
        names=names,
        background=1.0 if background is None else background,
        fit=fit,
        shape=shape,
        flatten=flatten == "yes",
        isolate="no" if isolate == "auto" else isolate,
        white=white,
        stretch=stretch,
        invert=invert,
        numbers=numbers.dtype,
        seen=(numbers.low, numbers.high),
        mask=mask,
        mask_bits=mask_bits if mask_bits or mask != CIRCLE else common(shapes),
    )
    recipe = with_background(recipe, frames, background, flatten, isolate)
    return surveyed(recipe, frames, kept=alike and not size, auto=isolate == "auto")


def surveyed(recipe: Recipe, frames: Sequence[Frame], *, kept: bool, auto: bool) -> Survey:
    """What was found out about frames.

    Args:
        recipe: for them.
        frames: a sample.
        kept: whether they keep their size.
        auto: whether nobody said what to do about other things at the border.
    """
    sizes = sorted(frame.pixels.shape[1::-1] for frame in frames)
    full = auto and are_full(frames, recipe)
    return Survey(recipe=recipe, alike=kept, sizes=(sizes[0], sizes[-1]), full=full)


def are_plain(frames: Sequence[Frame], numbers: Numbers, white: float | None) -> bool:
    """Whether pictures need no stretching; codes do, and so do channels that are no colours."""
    if numbers.codes or frames[0].channels:
        return False
    return all(is_plain(shown_by(frame), white) for frame in frames)


def count_of(frames: Sequence[Frame], channels: str) -> int:
    """3 for colours, 1 for grey: as it is asked for, or as the pictures are."""
    if channels == "auto":
        return 3 if any(map(is_coloured, frames)) else 1
    return 3 if channels == "rgb" else 1


def of_one_kind(frames: Sequence[Frame], channels: str) -> list[Frame]:
    """The frames with the channels that most of them have; with rgb, three are colours."""
    if channels == "rgb":
        frames = [replace(f, channels=()) if len(f.channels) == 3 else f for f in frames]
    names = Counter(frame.channels for frame in frames).most_common(1)[0][0]
    return [frame for frame in frames if frame.channels == names]


def with_background(
    recipe: Recipe,
    frames: Sequence[Frame],
    background: float | None,
    flatten: str,
    isolate: Isolate,
) -> Recipe:
    """The recipe with the median of the frames' borders as background, and what makes it even.

    Args:
        recipe: without them.
        frames: a sample.
        background: None: it is measured.
        flatten, isolate: auto: it is found out.

    Raises:
        Unreadable: a frame's shape or values do not fit.
    """
    if background is None:
        borders = [border(frame, recipe) for frame in frames]
        recipe = replace(recipe, background=round(float(np.median(borders)), 3))
    if flatten == "auto":
        recipe = replace(recipe, flatten=are_uneven(frames, recipe))
    crowded = isolate == "auto" and are_crowded(frames, recipe)
    return replace(recipe, isolate="yes") if crowded else recipe


def are_uneven(frames: Sequence[Frame], recipe: Recipe) -> bool:
    """Whether the frames have backgrounds that differ from the recipe's.

    Raises:
        Unreadable: a frame's shape or values do not fit.
    """
    level, found = recipe.background, list[float]()
    for first in range(0, len(frames), AT_ONCE):
        alike = defaultdict[torch.Size, list[Tensor]](list)
        for image, edge in evened(frames[first : first + AT_ONCE], recipe):
            if edge is None:
                alike[image.shape].append(image)
            else:
                found += unevenness(image[None], level, edge)
        for images in alike.values():
            found += unevenness(torch.stack(images), level)
    return float(np.median(found)) > UNEVEN


def are_crowded(frames: Sequence[Frame], recipe: Recipe) -> bool:
    """Whether many of the frames show parts of other things at their border.

    Raises:
        Unreadable: a frame's shape or values do not fit.
    """
    level = recipe.background
    found = [crowding(image, level, edge) > MUCH for image, edge in evened(frames, recipe)]
    return float(np.mean(found)) > MANY


def are_full(frames: Sequence[Frame], recipe: Recipe) -> bool:
    """Whether most of the frames have content up to their borders, and it is kept.

    Frames of several sizes are boxes that somebody drew around each thing, and it fills them.

    Raises:
        Unreadable: a frame's shape or values do not fit.
    """
    if recipe.isolate != "no" or len({frame.pixels.shape[:2] for frame in frames}) > 1:
        return False
    found = [fullness(image, recipe.background, edge) for image, edge in evened(frames, recipe)]
    return float(np.median(found)) > FULL


def evened(frames: Sequence[Frame], recipe: Recipe) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Each frame after scaling, flattened if the recipe says so, and the pixels at its border."""
    for frame in map(recipe.fitted, frames):
        image = recipe.scaled(frame)
        yield recipe.even(frame, image), recipe.edge(frame, image)


def is_plain(pixels: np.ndarray, white: float | None) -> bool:
    """Whether a frame needs no stretching: bytes, or floats from 0 to 1 (or to `white`)."""
    if pixels.dtype == np.uint8 or pixels.dtype.kind == "b":
        return True
    if pixels.dtype.kind != "f":
        return False
    return bool(np.nanmin(pixels) >= 0) and bool(np.nanmax(pixels) <= (white or 1))


def common(shapes: Sequence[tuple[int, int]]) -> str | None:
    """The circle of all images as text, if they have one shape; None: they have several."""
    return as_text(circle(*shapes[0])) if len(set(shapes)) == 1 else None


def is_coloured(frame: Frame) -> bool:
    """Whether the visible part of a frame has colours."""
    pixels = frame.pixels
    if pixels.ndim != 3 or pixels.shape[-1] < 3 or frame.channels:
        return False
    values = pixels[..., :3].astype(np.float32)
    if pixels.shape[-1] == 4:
        values = values * (pixels[..., 3:] > 0)
    if frame.seen is not None:
        values = values[frame.seen]
    return bool(np.ptp(values, axis=-1).max() > COLOURED * max(float(values.max()), 1e-9))


def levels_of(frames: Sequence[Frame], numbers: Numbers, white: float | None) -> tuple[float, ...]:
    """Black and white of a set of frames: of all channels, or of each one that is no colour."""
    if not (channels := frames[0].channels):
        return ends_of([shown_by(frame) for frame in frames], numbers, white)
    each = range(len(channels))
    shown = [shown_by(frame) for frame in frames]
    ends = [ends_of([pixels[..., c] for pixels in shown], numbers, white) for c in each]
    return tuple(end for pair in ends for end in pair)


def ends_of(
    pixels: Sequence[np.ndarray], numbers: Numbers, white: float | None
) -> tuple[float, float]:
    """Percentiles `TAILS` of a set of images. Each gives about the same number of values.

    Codes and masks, of which some may be rare, are stretched from the least to the largest.
    """
    parts = []
    for values in map(np.ravel, pixels):
        full = white or largest_of(kind_of_numbers(values))
        if numbers.codes:
            parts.append(np.array([np.nanmin(values), np.nanmax(values)]) / full)
        else:
            some = values[:: math.ceil(len(values) / SAMPLED)].astype(np.float64) / full
            parts.append(some[~np.isnan(some)])
    tails = (0, 100) if numbers.codes else TAILS
    low, high = np.percentile(np.concatenate(parts), tails).tolist()
    return low, high if high > low else low + max(abs(low), 1.0)  # images that show nothing


def border(frame: Frame, recipe: Recipe) -> float:
    """Median grey of a frame's outermost pixels, or median of its channels that are no colours.

    Transparent pixels count as the background. NaN at the border do not count; the pixels beside
    them are the outermost.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    how = (recipe.normalise, recipe.levels, recipe.white, recipe.stretch)
    frame = recipe.fitted(frame)
    pixels = frame.pixels
    values, opacity = floats(frame, *how)
    values = 1 - values if recipe.invert else values
    if values.shape[-1] == 3 and not recipe.names:
        values = (values @ np.asarray(LUMA, np.float32))[..., None]
    grey = opacity * values + (1 - opacity) * recipe.background
    height, width = grey.shape[:2]
    ring = outermost(height, width)
    if frame.seen is not None:
        ring = border_of(torch.from_numpy(frame.seen), 1).numpy()
    gaps = np.isnan(pixels).reshape(*ring.shape, -1).any(-1)
    if gaps.any():
        hidden = False if frame.seen is None else ~frame.seen
        ring = (ring | ndimage.binary_dilation(gaps)) & ~(gaps | hidden)
    return float(np.median(grey[ring]))
