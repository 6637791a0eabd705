"""Convert frames of any size, type and brightness to images that a model takes.

`images.survey` chooses a recipe once, from the images that a model is trained on. The settings of
the run record the recipe, and all later images are converted with it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from mcevae.base.channels import MOST_CHANNELS, channel_names
from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, to_bytes
from mcevae.images.background import flattened
from mcevae.images.intensities import ABSURD, fitting, floats, pairs_of, with_channels
from mcevae.images.isolation import isolated
from mcevae.images.masks import border_of, from_text, masked, share_of
from mcevae.images.middle import middle_alone
from mcevae.images.placement import Fit, fitted
from mcevae.images.readers.frames import Frame
from mcevae.images.stretch import Stretch

WHOLE = (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
KINDS = (None, "bool", "float", "mixed", *WHOLE)
"""Kinds of numbers."""
OTHERS = {
    "yes": "; parts of other things at the border are taken out",
    "middle": "; only the middle is kept",
}
"""What `isolate` does, in words."""
INSIDE = 0.99
"""Pixels of which so much counts show their image alone, and nothing of the mask's border."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The steps that every frame goes through, in this order.

    Attributes:
        normalise: first, integers are divided by the largest value of their type. Then: none does
            nothing; set makes `levels` black and white; image makes each frame's own
            percentiles 0.1 and 99.9 black and white.
        levels: black and white of "set"; with `names`, of all channels alike, or of each in turn.
        channels: 1 (grey), 3 (colours), or 1 to 16 with `names`.
        background: 0 to 1; brightness behind transparent pixels and around padded frames.
        fit: pad: the longer side of the frame fills the image, so all of it is kept; crop: the
            shorter side fills the image.
        shape: height and width of the image.
        flatten: whether the plane fitted to the border of each image becomes `background`.
        isolate: what becomes `background` after that: nothing (no), parts of other things at the
            border (yes), or all that is far from the middle (middle).
        white: the number by which intensities are divided first; None: the largest of their type.
        stretch: after `normalise`, see `images.stretch`; zscale in place of percentiles of "image".
        invert: whether dark and light are exchanged after that.
        names: of channels that are no colours, each normalised by itself; (): pictures.
        mask: circle, alpha or the name of a file; None: all pixels count, see `images.masks`.
        mask_bits: the mask in the frame of the images, if all have the same.
        numbers, seen: kind and range of the numbers from which the recipe was chosen, see
            `images.numbers`; None: not known.
    """

    normalise: Literal["none", "set", "image"]
    levels: tuple[float, ...] | None
    channels: int
    background: float
    fit: Fit
    shape: tuple[int, int]
    flatten: bool = False
    isolate: Literal["no", "yes", "middle"] = "no"
    white: float | None = None
    stretch: Stretch = "linear"
    invert: bool = False
    numbers: str | None = None
    seen: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    mask: str | None = None
    mask_bits: str | None = None

    def __post_init__(self) -> None:
        if self.normalise not in ("none", "set", "image") or self.fit not in ("pad", "crop"):
            raise ValueError(f"normalise is {self.normalise} and fit is {self.fit}, not known here")
        pairs = pairs_of(self.levels or ())
        if self.levels and len(self.levels) not in (2, 2 * self.channels):
            raise ValueError(f"levels are {self.levels}; give two, or two for each channel")
        if self.normalise == "set" and not (pairs and all(low <= high for low, high in pairs)):
            raise ValueError(f"levels are {self.levels}; give black, then white")
        most = MOST_CHANNELS if self.names else 3
        known = len(self.names) == self.channels if self.names else self.channels in (1, 3)
        if type(self.channels) is not int or not 1 <= self.channels <= most or not known:
            raise ValueError(f"channels are {self.channels}, called {self.names}; use 1 or 3")
        if not 0 <= self.background <= 1:
            raise ValueError(f"background is {self.background}; use 0 to 1")
        if self.mask_bits:
            from_text(self.mask_bits)
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
        frame = self.fitted(frame)
        if frame.seen is None and self.keeps(frame.pixels):
            pixels = torch.from_numpy(np.array(frame.pixels))
            return pixels.view(*self.shape, self.channels).movedim(-1, 0)
        image = self.even(frame, self.scaled(frame))
        if self.isolate == "yes":
            image = isolated(image, self.background, self.edge(frame, image))
        if self.isolate == "middle":
            image = middle_alone(image, self.background)
        return to_bytes(padded(image, self.shape, self.background))

    def scaled(self, frame: Frame) -> Float[Tensor, "C h w"]:
        """Convert a frame as far as its size, before it is flattened and padded or cropped.

        Raises:
            Unreadable: the frame's values or shape do not fit.
        """
        how = (self.normalise, self.levels, self.white, self.stretch)
        values, opacity = floats(self.fitted(frame), *how)
        values = 1 - values if self.invert else values
        values = opacity * values + (1 - opacity) * self.background
        image = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
        return resized(with_channels(image, self.channels), self.shape, self.fit)

    def even(self, frame: Frame, image: Float[Tensor, "C h w"]) -> Float[Tensor, "C h w"]:
        """Flatten the background of a scaled frame, if the recipe says so."""
        if not self.flatten:
            return image
        flat = flattened(image[None], self.background, self.edge(frame, image))[0]
        share = 1.0 if frame.seen is None else share_of(frame.seen, sides_of(image))
        return self.background + share * (flat - self.background)

    def fitted(self, frame: Frame) -> Frame:
        """A frame with the channels that the recipe takes, and its mask.

        Raises:
            Unreadable: it has others, or the mask does not fit.
        """
        return fitting(masked(frame, self.mask, self.mask_bits), self.names)

    def edge(self, frame: Frame, image: Float[Tensor, "C h w"]) -> Bool[Tensor, "h w"] | None:
        """The pixels of a scaled frame that show its background; None: those at its border."""
        if frame.seen is None:
            return None
        share = share_of(frame.seen, sides_of(image))[0]
        found = border_of(share > INSIDE, max(1, min(share.shape) // 16))
        return found if found.any() else None

    def keeps(self, pixels: np.ndarray) -> bool:
        """Whether a frame already has the right form, so that the slow steps can be left out."""
        shapes = [(*self.shape, self.channels), *([self.shape] if self.channels == 1 else [])]
        plain = self.normalise == "none" and not (self.flatten or self.invert)
        plain = plain and self.stretch == "linear" and self.isolate == "no"
        plain = plain and self.white in (None, 255)
        return plain and pixels.dtype == np.uint8 and pixels.shape in shapes

    def settings(self) -> dict[str, Any]:
        """Return the settings of `DataConfig` that give this recipe, apart from the size."""
        return {
            "colour": "auto" if self.names else "rgb" if self.channels == 3 else "grey",
            "normalise": self.normalise,
            "levels": self.levels,
            "background": self.background,
            "fit": self.fit,
            "flatten": "yes" if self.flatten else "no",
            "isolate": self.isolate,
            "white": self.white,
            "stretch": self.stretch,
            "invert": self.invert,
            "numbers": self.numbers,
            "seen": self.seen,
            "mask": self.mask,
            "mask_bits": self.mask_bits,
        }

    def in_words(self) -> str:
        """Describe colours, intensities and background in words."""
        rule = {"none": "as they are", "image": "stretched image by image"}.get(self.normalise, "")
        if self.levels:
            told = [f"{low:.4g} to {high:.4g}" for low, high in pairs_of(self.levels)]
            rule = f"stretched from {', '.join(told)} of their range"
        rule += f", with {self.white:g} as 1" if self.white else ""
        rule += f", then by {self.stretch}" if self.stretch != "linear" else ""
        rule += ", inverted" if self.invert else ""
        flat = ", to which uneven backgrounds are flattened" if self.flatten else ""
        flat += OTHERS.get(self.isolate, "")
        kind = "in colour" if self.channels == 3 else "grey"
        if self.names:
            kind = f"with {self.channels} channels ({', '.join(self.names)}), each by itself"
        kind += f" inside the mask ({self.mask})" if self.mask else ""
        return f"{kind}; intensities {rule}; background {self.background:g} (0 is black){flat}"


def sides_of(image: Float[Tensor, "C h w"]) -> tuple[int, int]:
    """Height and width of an image."""
    return image.shape[1], image.shape[2]


def form_of_mask(settings: DataConfig, shape: tuple[int, int]) -> Float[Tensor, "1 H W"] | None:
    """Which share of each pixel counts in the images that a model takes.

    Args:
        settings: of a run.
        shape: (H, W) of the images.

    Returns:
        None: all count, or each image has a mask of its own.
    """
    if settings.mask is None or settings.mask_bits is None:
        return None
    seen = from_text(settings.mask_bits)
    share = share_of(seen, fitted(seen.shape, shape, settings.fit))
    return padded(share, shape, 0.0)


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
        names=() if settings.colour == "rgb" else channel_names(settings.channels, channels),
        background=settings.background_level,
        fit=settings.fit,
        shape=(height, width),
        flatten=settings.flatten == "yes",
        isolate="no" if settings.isolate == "auto" else settings.isolate,
        white=settings.white,
        stretch=settings.stretch,
        invert=settings.invert,
        numbers=settings.numbers,
        seen=settings.seen,
        mask=settings.mask,
        mask_bits=settings.mask_bits,
    )
