"""Fourier ring correlation: up to which detail two averages of the same thing agree.

W. O. Saxton, W. Baumeister, "The correlation averaging of a regularly arranged bacterial cell
envelope protein", Journal of Microscopy, 1982. The threshold 0.143, for the average of both halves:
P. B. Rosenthal, R. Henderson, Journal of Molecular Biology, 2003.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

THRESHOLDS = (0.143, 0.5)
"""Below the first, noise prevails over what is shown. Above the second, details are sure."""
EDGE = 0.2
"""Width of the soft edge of the mask, as a share of its radius."""


@dataclass(frozen=True, kw_only=True)
class RingCorrelation:
    """How well two pictures agree, by the size of the detail.

    Attributes:
        frequency: (R,) of each ring, cycles in a pixel, up to 0.5.
        correlation: (R,) -1 to 1.
    """

    frequency: Float[Tensor, " rings"]
    correlation: Float[Tensor, " rings"]

    def resolution(self, threshold: float = THRESHOLDS[0]) -> float | None:
        """The finest detail, in pixels, at which the two agree: 2 is the finest that pixels show.

        It is one over the frequency at which the correlation first falls below the threshold,
        between two rings by linear interpolation. None: even the coarsest detail differs.

        Args:
            threshold: correlation, 0 to 1.
        """
        below = (self.correlation < threshold).nonzero()
        if not len(below):
            return 1 / self.frequency[-1].item()
        i = int(below[0])
        if i == 0:
            return None
        f, c = self.frequency[i - 1 : i + 1].tolist(), self.correlation[i - 1 : i + 1].tolist()
        return 1 / (f[0] + (f[1] - f[0]) * (c[0] - threshold) / (c[0] - c[1]))


def ring_correlation(
    first: Float[Tensor, "c h w"],
    second: Float[Tensor, "c h w"],
    covered: Float[Tensor, "h w"] | None = None,
) -> RingCorrelation:
    """Correlate the Fourier transforms of two pictures on rings of equal frequency.

    Channels count together. Only the ellipse inside the frame counts, with a soft edge, since the
    frame's own edge would be alike in both.

    Args:
        first: a picture.
        second: another one of the same thing.
        covered: 0 to 1, how far each pixel counts. None: all do.
    """
    height, width = first.shape[-2:]
    mask = ellipse(height, width)
    if covered is not None:
        mask = mask * covered.double()
    total = mask.sum().clamp_min(1e-12)
    a, b = (
        torch.fft.fft2(mask * (one - (mask * one).sum((-2, -1), keepdim=True) / total))
        for one in (first.double(), second.double())
    )
    unit = max(height, width)
    down, across = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    ring = (torch.hypot(down[:, None], across) * unit).round().long()

    def on_rings(values: Tensor) -> Tensor:
        return torch.bincount(ring.flatten(), values.sum(0).flatten())[1 : unit // 2 + 1]

    power = (on_rings(a.abs().square()) * on_rings(b.abs().square())).sqrt()
    correlation = on_rings((a * b.conj()).real) / power.clamp_min(1e-30)
    frequency = torch.arange(1, unit // 2 + 1) / unit
    return RingCorrelation(frequency=frequency, correlation=correlation.float())


def ellipse(height: int, width: int) -> Float[Tensor, "h w"]:
    """The ellipse that fills a frame: 1 inside, 0 outside, and a cosine between them."""
    down = (torch.arange(height, dtype=torch.float64) + 0.5) / height * 2 - 1
    across = (torch.arange(width, dtype=torch.float64) + 0.5) / width * 2 - 1
    outward = ((torch.hypot(down[:, None], across) - 1 + EDGE) / EDGE).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(math.pi * outward)
