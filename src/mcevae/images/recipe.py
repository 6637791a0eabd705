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
from jaxtyping import Bool, Float, Float32, UInt8
from scipy import ndimage
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, to_bytes
from mcevae.images.background import flattened
from mcevae.images.numbers import TAILS, colours_of, kind_of, largest_of
from mcevae.images.readers.axes import LEAST
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.stretch import Stretch, asinh, zscale

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""
WHOLE = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
KINDS = (None, "bool", "float", "mixed", *WHOLE)
"""Kinds of numbers."""
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
        white: the number by which intensities are divided first; None: the largest of their type.
        stretch: after `normalise`, see `images.stretch`; zscale in place of percentiles of "image".
        invert: whether dark and light are exchanged after that.
        numbers, seen: kind and range of the numbers from which the recipe was chosen, see
            `images.numbers`; None: not known.
    """

    normalise: Literal["none", "set", "image"]
    levels: tuple[float, float] | None
    channels: int
    background: float
    fit: Fit
    shape: tuple[int, int]
    flatten: bool = False
    white: float | None = None
    stretch: Stretch = "linear"
    invert: bool = False
    numbers: str | None = None
    seen: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.normalise not in ("none", "set", "image") or self.fit not in ("pad", "crop"):
            raise ValueError(f"normalise is {self.normalise} and fit is {self.fit}, not known here")
        if self.normalise == "set" and not (self.levels and self.levels[0] <= self.levels[1]):
            raise ValueError(f"levels are {self.levels}; give black, then white")
        if (
            type(self.channels) is not int
            or self.channels not in (1, 3)
            or not 0 <= self.background <= 1
        ):
            raise ValueError(
                f"channels are {self.channels} and background is {self.background}; use 1 or 3, "
                "and 0 to 1"
            )
        if not all(isinstance(one, int) and 1 <= one <= MAX_SIDE for one in self.shape):
            raise ValueError(f"images have {self.shape} pixels; sides go up to {MAX_SIDE}")
        if self.white is not None and not 0 < self.white < ABSURD:
            raise ValueError(f"white is {self.white}; use a number above 0")
        if self.numbers not in KINDS or (self.seen and not -ABSURD < min(self.seen) < ABSURD):
            raise ValueError(f"numbers are {self.numbers} from {self.seen}, not known here")

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
        how = (self.normalise, self.levels, self.white, self.stretch)
        values, opacity = floats(frame.pixels, *how)
        values = 1 - values if self.invert else values
        values = opacity * values + (1 - opacity) * self.background
        image = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
        return resized(with_channels(image, self.channels), self.shape, self.fit)

    def keeps(self, pixels: np.ndarray) -> bool:
        """Whether a frame already has the right form, so that the slow steps can be left out."""
        shapes = [(*self.shape, self.channels), *([self.shape] if self.channels == 1 else [])]
        plain = self.normalise == "none" and not (self.flatten or self.invert)
        plain = plain and self.stretch == "linear"
        plain = plain and self.white in (None, 255)
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
            "white": self.white,
            "stretch": self.stretch,
            "invert": self.invert,
            "numbers": self.numbers,
            "seen": self.seen,
        }

    def in_words(self) -> str:
        """Describe colours, intensities and background in words."""
        rule = {"none": "as they are", "image": "stretched image by image"}.get(self.normalise, "")
        if self.levels:
            rule = f"stretched from {self.levels[0]:.4g} to {self.levels[1]:.4g} of their range"
        rule += f", with {self.white:g} as 1" if self.white else ""
        rule += f", then by {self.stretch}" if self.stretch != "linear" else ""
        rule += ", inverted" if self.invert else ""
        flat = ", to which uneven backgrounds are flattened" if self.flatten else ""
        return (
            f"{'in colour' if self.channels == 3 else 'grey'}; intensities {rule}; "
            f"background {self.background:g} (0 is black){flat}"
        )


def floats(
    pixels: np.ndarray,
    normalise: Literal["none", "set", "image"],
    levels: tuple[float, float] | None,
    white: float | None = None,
    stretch: Stretch = "linear",
) -> tuple[Float32[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame from 0 to 1, with 1 or 3 channels, and its opacity.

    NaN that touch the border are as pixels that cannot be seen.

    Args:
        pixels: the frame.
        normalise: as in `Recipe`.
        levels, white, stretch: as in `Recipe`.

    Raises:
        Unreadable: the frame's shape or values do not fit.
    """
    values, opacity = intensities(pixels, white)
    low, high = 0.0, 1.0
    if normalise == "none" and not low <= values.min() <= values.max() <= high:
        colours = colours_of(pixels)
        seen = f"{colours.min():g} to {colours.max():g}"
        full = white or largest_of(kind_of(pixels))
        raise Unreadable(f"has values from {seen}, not 0 to {full:g}; use --normalise set or image")
    if normalise == "set":
        assert levels is not None
        low, high = levels
    elif normalise == "image":
        gaps = pixels.dtype.kind == "f" and not opacity.all()
        shown = values[opacity[..., 0] > 0] if gaps else values
        zscaled = stretch == "zscale"
        low, high = zscale(shown) if zscaled else np.percentile(shown, TAILS).tolist()
    if high <= low:  # the frame has one value only and shows nothing
        return np.zeros(values.shape, np.float32), opacity
    scaled = ((values - low) / (high - low)).clip(0, 1).astype(np.float32)
    return asinh(scaled) if stretch == "asinh" else scaled, opacity


def intensities(
    pixels: np.ndarray, white: float | None = None
) -> tuple[Float[np.ndarray, "H W C"], Float32[np.ndarray, "H W 1"]]:
    """Intensities of a frame as they are, with 1 or 3 channels, and its opacity from 0 to 1.

    Integers are divided by the largest value of their type; floats do not change. NaN that touch
    the border get the darkest value and no opacity. Numbers of more than 16 bits give float64.

    Args:
        pixels: the frame.
        white: number that counts as 1 instead.

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
    largest = largest_of(kind_of(pixels))
    full = white or largest
    wide = np.float64 if pixels.dtype.itemsize > 2 else np.float32
    with np.errstate(over="ignore"):
        values = pixels[..., :3].astype(wide) / wide(full)
    opacity = pixels[..., 3:].astype(np.float32) / np.float32(max(full, largest))
    opacity = opacity.clip(max=1)
    if not opacity.size:
        opacity = np.ones((*pixels.shape[:2], 1), np.float32)
    if (gaps := gaps_of(values)) is not None:
        opacity[gaps] = 0
        values[gaps] = np.nanmin(values)
    if not -ABSURD < values.min() <= values.max() < ABSURD:
        raise Unreadable(f"holds infinite values, or values beyond {ABSURD:g}")
    return values, opacity


def with_channels(image: Float[Tensor, "c h w"], channels: int) -> Float[Tensor, "C h w"]:
    """Bring an image of 1 or 3 channels to a number of channels: in grey, or grey as colours."""
    if len(image) == 3 and channels == 1:
        image = torch.tensordot(torch.tensor(LUMA), image, 1)[None]
    return image.expand(channels, -1, -1)


def gaps_of(values: Float[np.ndarray, "H W C"]) -> Bool[np.ndarray, "H W"] | None:
    """Where a frame has NaN that reach its border; None if it has no NaN.

    Raises:
        Unreadable: it has others, or nothing else.
    """
    gaps = np.asarray(np.isnan(values).any(axis=-1))
    if not gaps.any():
        return None
    if gaps.all():
        raise Unreadable("holds NaN everywhere")
    parts, _ = ndimage.label(gaps)  # pyright: ignore[reportGeneralTypeIssues]
    edge = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    if inside := int((gaps & ~np.isin(parts, edge[edge > 0])).sum()):
        raise Unreadable(
            f"holds NaN inside ({inside} pixels); fill them, such as from their neighbours"
        )
    return gaps


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
        white=settings.white,
        stretch=settings.stretch,
        invert=settings.invert,
        numbers=settings.numbers,
        seen=settings.seen,
    )
