"""How much of a frame its things explain: squared differences without them, and with them."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from mcevae.finding.things import Things, add

LEAST = 1e-5
"""Variance of the noise of a pixel, at least; about that of rounding to 8 bits."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Sums over the pixels of frames, in variances of their noise; pixels are those of the model.

    Attributes:
        before: of squared differences from the background.
        after: the same, when all things are taken off.
        values: how many numbers were summed: pixels times channels.
        pixels: how many pixels.
    """

    before: float = 0.0
    after: float = 0.0
    values: int = 0
    pixels: int = 0

    def __add__(self, other: "Evidence") -> "Evidence":
        """Of both together."""
        return Evidence(
            before=self.before + other.before,
            after=self.after + other.after,
            values=self.values + other.values,
            pixels=self.pixels + other.pixels,
        )

    @property
    def gain(self) -> float:
        """Log-likelihood with the things, less that of the background alone, nats."""
        return (self.before - self.after) / 2

    @property
    def share(self) -> float:
        """Share of what stands out, beyond noise, that the things explain; 0 to 1."""
        out = self.before - self.values
        return min(max((self.before - self.after) / out, 0.0), 1.0) if out > 0 else 0.0


def evidence_of(
    apart: Float[Tensor, "C h w"],
    things: Things,
    noise: float,
    own: tuple[slice, slice],
) -> Evidence:
    """The evidence of a part of a tile.

    Args:
        apart: the tile's difference from its background.
        things: that are drawn.
        noise: variance of a pixel.
        own: rows and columns of the part.
    """
    rest = apart.clone()
    add(rest, things, -1)
    before, after = (one[:, own[0], own[1]].double() for one in (apart, rest))
    variance = max(noise, LEAST)
    return Evidence(
        before=before.square().sum().item() / variance,
        after=after.square().sum().item() / variance,
        values=before.numel(),
        pixels=before[0].numel(),
    )
