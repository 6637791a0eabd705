"""Matched filters: where something like a template may be, and which template in which pose.

With white noise of variance v, a picture t with amplitude a explains a window y of the frame better
than the background alone by

    gain = (a <y, t> - a^2 <t, t> / 2) / v      nats,

the logarithm of the ratio of the likelihoods. It is largest at a = <y, t> / <t, t>, which is kept
within `AMPLITUDES` of that of the run's own images.
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.fft import next_fast_len
from torch import Tensor

from mcevae.finding.bank import Bank

AMPLITUDES = (0.8, 1.25)
"""Least and largest amplitude of a thing, against that of the run's images."""
AT_ONCE = 2**18
"""Numbers of one step, at most, or little more: what the cache of a processor holds."""
FILTERED = 256
"""Windows that are filtered at once."""
FLOOR = 3.5
"""Places whose best match has fewer standard deviations of the noise are not looked at."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """The best picture for each of n windows.

    Attributes:
        entry: (n,) its place in the bank.
        shift: (n, 2) how far right and down the window was moved, pixels.
        amplitude: (n,) of the picture.
        gain: (n,) nats over the background.
    """

    entry: Int[Tensor, " n"]
    shift: Int[Tensor, "n 2"]
    amplitude: Float[Tensor, " n"]
    gain: Float[Tensor, " n"]


def gains(
    product: Float[Tensor, "*#n"], energy: Float[Tensor, "*#n"], noise: float, contrast: float = 1.0
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """Gain in nats, and amplitude, of pictures.

    Args:
        product: of window and picture.
        energy: of the picture with itself.
        noise: variance of a pixel.
        contrast: amplitude that most things have.
    """
    low, high = (contrast * one for one in AMPLITUDES)
    amplitude = (product / energy).clamp(low, high)
    return amplitude * (product - amplitude * energy / 2) / noise, amplitude


def response(frame: Float[Tensor, "C H W"], bank: Bank) -> Float[Tensor, "h w"]:
    """The largest normalised product of each window of a frame with any picture of a bank.

    Divided by the noise of a pixel, it is in standard deviations. Window (0, 0) begins at pixel
    (0, 0); there is one for each place at which it is inside of the frame.
    """
    height, width = (
        n - m + 1 for n, m in zip(frame.shape[1:], bank.filters.shape[2:], strict=True)
    )
    sizes = [next_fast_len(n, real=True) for n in frame.shape[1:]]
    spectrum = torch.fft.rfft2(frame, s=sizes)
    filtered = torch.empty(len(bank.filters), height, width)
    for i, one in enumerate(bank.filters):
        product = (spectrum * torch.fft.rfft2(one, s=sizes).conj()).sum(0)
        filtered[i] = torch.fft.irfft2(product, s=sizes)[:height, :width]
    weights = (bank.weights / bank.energy.sqrt()[:, None]).T
    parts = filtered.flatten(1).T.split(max(1, AT_ONCE // weights.shape[1]))
    return torch.cat([(part @ weights).amax(1) for part in parts]).view(height, width)


def peaks(score: Float[Tensor, "h w"], radius: int, least: float, most: int) -> Int[Tensor, "n 2"]:
    """The places (row, column) where a score is the largest around, the best first.

    Args:
        score: of each place.
        radius: pixels around it.
        least: score of a place, at least.
        most: places, at most.
    """
    around = F.max_pool2d(score[None, None], 2 * radius + 1, 1, radius)[0, 0]
    rows, columns = ((score == around) & (score > least)).nonzero().unbind(1)
    order = score[rows, columns].argsort(descending=True)[:most]
    return torch.stack([rows, columns], 1)[order]


def windows(
    frame: Float[Tensor, "C H W"], corner: Int[Tensor, "n 2"], height: int, width: int
) -> Float[Tensor, "n C h w"]:
    """Cut windows from a frame; `corner` is the row and column of their first pixels.

    What lies outside of the frame is 0.
    """
    down = corner[:, :1] + torch.arange(height)
    right = corner[:, 1:] + torch.arange(width)
    inside = ((down >= 0) & (down < frame.shape[1]))[:, :, None]
    inside = inside & ((right >= 0) & (right < frame.shape[2]))[:, None]
    rows, columns = down.clamp(0, frame.shape[1] - 1), right.clamp(0, frame.shape[2] - 1)
    cut = frame[:, rows[:, :, None], columns[:, None, :]]
    return (cut * inside).movedim(0, 1)


def matched(
    wide: Float[Tensor, "n C h w"],
    bank: Bank,
    noise: float,
    contrast: float = 1.0,
    allowed: Bool[Tensor, "n b"] | None = None,
) -> Matched:
    """The best picture of a bank, at the best shift, for windows with a margin around.

    Args:
        wide: windows that are larger than pictures by the same even number of pixels each way.
        bank: of pictures.
        noise: variance of a pixel.
        contrast: see `gains`.
        allowed: which pictures each window may be; None: any.
    """
    step = wide.shape[-1] - bank.pictures.shape[-1] + 1
    entries, margin = len(bank.energy), step // 2
    filtered = torch.cat([F.conv2d(some, bank.filters) for some in wide.split(FILTERED)])
    parts: list[tuple[Tensor, ...]] = []
    each = max(1, AT_ONCE // (entries * step**2))
    masks = allowed.split(each) if allowed is not None else itertools.repeat(None)
    for some, mask in zip(filtered.flatten(2).mT.split(each), masks, strict=False):
        gain, amplitude = gains(some @ bank.weights.T, bank.energy, noise, contrast)
        if mask is not None:
            gain = gain.masked_fill(~mask[:, None], -torch.inf)
        best, at = gain.flatten(1).max(1)
        parts.append((best, at, amplitude.flatten(1).gather(1, at[:, None])[:, 0]))
    gain, at, amplitude = (torch.cat(part) for part in zip(*parts, strict=True))
    place = at // entries
    shift = torch.stack([place % step, place // step], 1) - margin
    return Matched(entry=at % entries, shift=shift, amplitude=amplitude, gain=gain)
