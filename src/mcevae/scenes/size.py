"""Guess how large things are, from frames alone, before anything is known of them.

Two points of one thing are at most as far apart as the thing is long, and points of two things may
be any distance apart. So the autocorrelation of what stands out, summed over rings, tells how often
two points of a thing have each distance: the pair distance distribution of small-angle scattering
(Glatter, "A new method for the evaluation of small-angle scattering data", 1977). Noise of single
pixels is alike at no distance but zero, and does not matter.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from mcevae.finding.background import background_of
from mcevae.finding.frames import Large
from mcevae.finding.sources import Frames
from mcevae.images.readers.frames import Fault, Unreadable

FRAMES, PIXELS = 8, 2**20
"""What is looked at: so many frames, or pixels, at most."""
SIDE, LONGEST = 1024, 4096
"""Side of the window in the middle of a frame, pixels, after and before it is made smaller."""
COARSE = 20
"""Things that seem smaller than this after it are looked at again, in a finer window."""
BLUR = 0.7
"""Standard deviation of the blur before squaring, pixels."""
NOISY = 3
"""Distances below this are not believed: blurred noise is alike there."""
MOST = 0.95
"""Share of the pairs of points that are nearer than `far`."""
BOX = 2.2
"""Side of the box in units of `far`: a little more than letters, digits and blobs have."""
GROUND = 1.5
"""Least distance over which the background varies, in boxes. It is taken off for each guess anew,
and smaller than in searches, so that uneven ground is no thing."""
FALL = 0.75
CLOSE = 0.1
"""Guesses that differ by less are the same, and `FALL` is from one ground to the next."""
SURE = 8
"""Times that likeness at small distances is more than that at large ones, at least."""
LEAST = 8
"""Pixels of a box, at least."""


def guessed_size(frames: Frames) -> int | None:
    """The side of the box around one thing, pixels of the frames. None: they do not tell.

    Args:
        frames: of a source; the first ones are looked at.
    """
    some = list(sample(frames))
    for factor in (4, 2, 1):
        parts = [part for frame in some if (part := window(frame, factor)) is not None]
        if not parts:
            continue
        size = settled(within(parts))
        if size is not None and (size >= COARSE or factor == 1):
            found = round(size * factor)
            return found if found >= LEAST else None
    return None


def sample(frames: Frames) -> Iterator[Large]:
    """The first frames that can be read."""
    count = 0
    for frame in frames.frames:
        if isinstance(frame, Fault):
            continue
        yield frame
        count += 1
        if count == FRAMES:
            return


def window(frame: Large, factor: int) -> Float[np.ndarray, "C h w"] | None:
    """The middle of a frame, made smaller. None: it is too small for that, or cannot be read."""
    height, width = frame.view.shape[:2]
    if factor > 1 and min(height, width) < SIDE * factor // 2:
        return None
    own = [min(n, SIDE * factor, LONGEST) // factor * factor for n in (height, width)]
    rows, columns = (
        slice((n - side) // 2, (n - side) // 2 + side)
        for n, side in zip((height, width), own, strict=True)
    )
    try:
        found = frame.window(rows, columns)
    except Unreadable:
        return None
    pixels = np.atleast_3d(found.pixels.astype(np.float32))
    pixels = pixels if found.channels else pixels[..., :3]
    known = np.isfinite(pixels)
    pixels = np.where(known, pixels, np.median(pixels[known]) if known.any() else 0.0)
    h, w = (side // factor for side in own)
    small = pixels.reshape(h, factor, w, factor, -1).mean((1, 3))
    return np.moveaxis(small, -1, 0)


def within(parts: list[np.ndarray]) -> list[np.ndarray]:
    """The first parts that have no more than `PIXELS` together; at least one."""
    total = np.cumsum([part[0].size for part in parts])
    return parts[: max(1, int((total <= PIXELS).sum()))]


def settled(parts: list[np.ndarray]) -> float | None:
    """The size that two grounds in a row tell, both larger than it. None: there is no such size.

    Args:
        parts: (C, h, w) of frames.
    """
    size, before = min(parts[0].shape[1:]) / GROUND / 2, None
    while size >= LEAST / 2:
        likeness = np.mean([likeness_of(part, GROUND * size) for part in parts], 0)
        far = far_of(likeness)
        found = None if far is None else BOX * far
        if found and before and found < size * (1 + CLOSE) and abs(found / before - 1) < CLOSE:
            return found
        before = found
        size *= FALL
    return None


def likeness_of(part: Float[np.ndarray, "C h w"], ground: float) -> Float[np.ndarray, " r"]:
    """Covariance of what stands out at two points, by their distance in pixels.

    Args:
        part: of a frame.
        ground: distance over which the background varies, pixels.
    """
    energy = np.zeros(part.shape[1:])
    for channel in part:
        even = channel - np.median(channel)
        values = torch.from_numpy(even / max(float(even.std()), 1e-12))[None].float()
        apart = (values - background_of(values, "slow", max(4, round(ground))))[0].numpy()
        energy += gaussian_filter(apart, BLUR) ** 2
    energy = np.minimum(energy, np.quantile(energy, 0.999))  # single hot pixels
    height, width = energy.shape
    shape = [16 * math.ceil(1.5 * n / 16) for n in (height, width)]

    def alike(values: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(np.abs(np.fft.rfft2(values, shape)) ** 2, shape)

    pairs = alike(np.ones_like(energy))
    mean = alike(energy - energy.mean()) / np.maximum(pairs, 1)
    down, across = (np.abs(np.fft.fftfreq(n) * n) for n in shape)
    ring = np.hypot(down[:, None], across[None]).round().astype(int)
    longest = min(height, width) // 2
    inside = ring < longest
    return np.bincount(ring[inside], mean[inside]) / np.bincount(ring[inside])


def far_of(likeness: Float[np.ndarray, " r"]) -> float | None:
    """The distance within which nearly all pairs of points of a thing are; None: it is not clear.

    Args:
        likeness: see `likeness_of`.
    """
    even = likeness.copy()
    even[:NOISY] = even[NOISY]
    even = np.convolve(np.pad(even, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
    ends = np.flatnonzero(even <= 0)
    if not len(ends) or ends[0] <= NOISY:
        return None
    own, rest = even[: ends[0]], even[min(2 * ends[0], len(even) - 2) :]
    if even[NOISY] < SURE * math.sqrt(float(np.square(rest).mean())):
        return None
    pairs = np.cumsum(np.arange(len(own)) * own)
    return float(np.interp(MOST * pairs[-1], pairs, np.arange(len(own))))
