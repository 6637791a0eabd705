"""Images with channels as people look at them: each channel in a colour, laid over each other."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.base.colours import palette, rgb_of
from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.recipe import Recipe

ROWS = 500
"""Images that are floats at a time."""


def colours_for(recipe: Recipe, asked: str | None) -> tuple[str, ...]:
    """The colour of each channel of a run's images; () if they are grey or have colours.

    Args:
        recipe: of the run.
        asked: what `--channel-colours` says; None: nothing.
    """
    return palette(asked, recipe.channels) if recipe.names else ()


def composite(
    images: Float[Tensor, "n c h w"], colours: tuple[str, ...]
) -> Float[Tensor, "n shown h w"]:
    """Show each channel in its colour, as light that is added on a screen: 1 - prod(1 - share).

    So a channel alone has its full colour, and many of them together stay below white.

    Args:
        images: from 0 to 1.
        colours: of the channels. (): images stay as they are, grey or in colours.
    """
    if not colours:
        return images
    rgb = images.new_tensor([rgb_of(word) for word in colours])
    dark = torch.ones_like(images[:, :1]).expand(-1, 3, -1, -1)
    for channel, colour in zip(images.split(1, 1), rgb, strict=True):
        dark = dark * (1 - channel * colour[:, None, None])
    return 1 - dark


def composite_bytes(
    pixels: UInt8[Tensor, "n c h w"], colours: tuple[str, ...]
) -> UInt8[Tensor, "n shown h w"]:
    """Do the same for images of bytes, a part at a time."""
    if not colours:
        return pixels
    return torch.cat([to_bytes(composite(to_float(some), colours)) for some in pixels.split(ROWS)])
