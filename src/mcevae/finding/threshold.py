"""How many false finds the noise of a frame would give, and so which finds to keep.

What is left over of a frame, its things taken off, is given random phases: it keeps its power
spectrum and loses all things. The best explanations of that are false by construction. Their gains
have a tail that falls off exponentially, as that of the largest of many noisy numbers does.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.finding.explaining import Explainer

LARGEST = 512
"""Side of the noise that is searched, pixels, at most."""
SEED = 0
FEW = 5
"""Fewer false finds than this say nothing of their tail."""


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The number of false finds with a gain of at least g: rate * exp(-(g - start) / width).

    Attributes:
        rate: false finds of a pixel with a gain above `start`.
        start, width: nats.
    """

    rate: float
    start: float
    width: float

    def expected(self, gain: Float[Tensor, " n"], pixels: float) -> Float[Tensor, " n"]:
        """False finds with at least these gains that are expected on so many pixels."""
        return pixels * self.rate * torch.exp(-(gain - self.start) / self.width)


def tail_of(
    explainer: Explainer, rest: Float[Tensor, "C h w"], noise: float, contrast: float = 1.0
) -> Tail:
    """Measure the false finds of a tile on its own noise.

    Args:
        explainer: finds things.
        rest: what is left over of the tile.
        noise: variance of a pixel.
        contrast: see `Explainer.explain`.
    """
    false = scrambled(rest[:, :LARGEST, :LARGEST])
    pixels = false.shape[1] * false.shape[2]
    gain = explainer.candidates(false, noise, contrast).gain
    if len(gain) < FEW:
        return Tail(rate=FEW / pixels, start=0.0, width=1.0)
    start = gain.median().item()
    above = gain[gain > start] - start
    return Tail(rate=len(above) / pixels, start=start, width=max(above.mean().item(), 1.0))


def scrambled(rest: Float[Tensor, "C h w"]) -> Float[Tensor, "C h w"]:
    """An image with the same power spectrum and random phases, alike in all channels."""
    noise = torch.randn(rest.shape[1:], generator=torch.Generator().manual_seed(SEED))
    phases = torch.fft.rfft2(noise)
    phases = phases / phases.abs().clamp_min(1e-12)
    return torch.fft.irfft2(torch.fft.rfft2(rest) * phases, s=list(rest.shape[1:]))


def probability(expected: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The probability that noise alone gives no such find, by Poisson's law."""
    return torch.exp(-expected)
