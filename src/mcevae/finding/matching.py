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
from torch import Tensor

from mcevae.finding.bank import Bank

AMPLITUDES = (0.8, 1.25)
"""Least and largest amplitude of a thing, against that of the run's images."""
AT_ONCE = 2**25
"""Numbers of one step, at most."""
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
    sizes = [frame.shape[1], frame.shape[2]]
    spectrum = torch.fft.rfft2(frame)
    filtered = torch.empty(len(bank.filters), height * width)
    for i, one in enumerate(bank.filters):
        product = (spectrum * torch.fft.rfft2(one, s=sizes).conj()).sum(0)
        filtered[i] = torch.fft.irfft2(product, s=sizes)[:height, :width].reshape(-1)
    weights = bank.weights / bank.energy.sqrt()[:, None]
    best = torch.empty(height * width)
    for part in torch.arange(height * width).split(max(1, AT_ONCE // len(weights))):
        best[part] = (weights @ filtered[:, part]).amax(0)
    return best.view(height, width)


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
    height, width = bank.pictures.shape[-2:]
    margin = (wide.shape[-1] - width) // 2
    step = 2 * margin + 1
    parts = []
    each = max(1, AT_ONCE // (len(bank.energy) * step**2))
    masks = allowed.split(each) if allowed is not None else itertools.repeat(None)
    for some, mask in zip(wide.split(each), masks, strict=False):
        views = some.unfold(2, height, 1).unfold(3, width, 1)  # (n, C, s, s, h, w)
        flat = views.permute(0, 2, 3, 1, 4, 5).reshape(len(some) * step**2, -1)
        product = flat @ bank.filters.flatten(1).T @ bank.weights.T
        gain, amplitude = gains(product, bank.energy, noise, contrast)
        if mask is not None:
            known = mask.repeat_interleave(step**2, 0)
            gain = gain.masked_fill(~known, -torch.inf)
        best, at = gain.view(len(some), -1).max(1)
        place, entry = at // len(bank.energy), at % len(bank.energy)
        shift = torch.stack([place % step, place // step], 1) - margin
        chosen = amplitude.view(len(some), -1).gather(1, at[:, None])[:, 0]
        parts.append(Matched(entry=entry, shift=shift, amplitude=chosen, gain=best))
    names = ("entry", "shift", "amplitude", "gain")
    return Matched(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
