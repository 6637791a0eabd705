"""A first guess of where things are in a frame, before anything is known of them.

What stands out from the background, blurred a little against noise and squared, is the local
energy. A thing is a blob of it: a peak of the negative Laplacian of Gaussian (Lindeberg, "Feature
detection with automatic scale selection", 1998), at the scale that people give. Its place is then
moved to the centroid of what stands out around it.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter
from torch import Tensor

from mcevae.finding.background import background_of, noise_of
from mcevae.finding.frames import Large
from mcevae.finding.settings import Background
from mcevae.finding.tiles import Tile, tiles_of

BLUR = 1 / 20
"""Standard deviation of the blur against noise, in sides of a thing."""
BLOB = 0.22
"""Scale of the Laplacian, in sides of a thing."""
NEAR = 0.4
"""No two places are nearer, in sides of a thing."""
SIGNIFICANT = 1.5
"""Times the strongest blob of a square of white noise (`PATCH` pixels a side), at least."""
PATCH = 512
FAINT = 0.25
"""Share of the energy of what stands out most (`STRONG`) in the frame, at least."""
STRONG = 0.9
CENTRED = 4
"""Times that a place is moved to the centroid around it."""
LONGEST = 4096
"""Side of a tile, pixels, at most."""


def guessed(frame: Large, size: int, background: Background = "slow") -> Float[Tensor, "n 2"]:
    """Places of things in a frame, x and y in pixels from its upper left corner.

    Args:
        frame: of any size; it is read tile by tile.
        size: side of the box around one thing, pixels.
        background: how that of the frame varies.

    Raises:
        Unreadable: the frame cannot be read.
    """
    height, width = frame.view.shape[:2]
    parts = [
        peaks_of(energy_of(frame, tile, size, background), tile, size)
        for tile in tiles_of(height, width, max(LONGEST, 4 * size), 1.5 * size)
    ]
    place, energy = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(place):
        return torch.zeros(0, 2)
    kept = energy >= FAINT * np.quantile(energy, STRONG)
    return torch.from_numpy(apart(place[kept], energy[kept], NEAR * size)).float()


def energy_of(frame: Large, tile: Tile, size: int, background: Background) -> np.ndarray:
    """Local energy of a tile over that of its noise, in units of the noise's own variance."""
    found = frame.window(slice(*tile.rows), slice(*tile.columns))
    pixels = np.atleast_3d(found.pixels.astype(np.float32))
    pixels = pixels if found.channels else pixels[..., :3]
    total, blur = np.zeros(pixels.shape[:2]), BLUR * size
    for channel in np.moveaxis(pixels, -1, 0):
        known = np.isfinite(channel)
        middle = np.median(channel[known]) if known.any() else 0.0
        even = np.where(known, channel, middle) - middle
        values = torch.from_numpy(even / max(float(even.std()), 1e-12))[None]
        apart = (values - background_of(values, background, 3 * size))[0].numpy()
        smooth = gaussian_filter(apart, blur)
        total += smooth**2 / (max(noise_of(values), 1e-4) * noise_after(blur)) - 1
    return total


def peaks_of(energy: np.ndarray, tile: Tile, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of blobs of energy whose middles a tile counts, and how strong they are."""
    score = blobs(energy, size)
    top = maximum_filter(score, round(2 * NEAR * size) | 1)
    y, x = np.nonzero((score == top) & (score > SIGNIFICANT * strongest_of_noise(size)))
    strength = score[y, x]
    place = np.stack([x, y], 1) + 0.5
    place = centred(energy.clip(0), place, size)
    place += (tile.columns[0], tile.rows[0])
    (left, right), (above, below) = tile.own_columns, tile.own_rows
    own = (place >= (left, above)).all(1) & (place < (right, below)).all(1)
    return place[own], strength[own]


def blobs(energy: np.ndarray, size: int) -> np.ndarray:
    """How much each place of a tile is the middle of a blob of energy of a thing's size."""
    scale = BLOB * size
    return -(scale**2) * gaussian_laplace(energy, scale)


@cache
def strongest_of_noise(size: int) -> float:
    """The strongest blob of white noise, for things of this size."""
    noise = np.random.default_rng(0).normal(size=(PATCH, PATCH))
    blur = BLUR * size
    even = gaussian_filter(noise, blur)
    return float(blobs(even**2 / noise_after(blur) - 1, size).max())


def noise_after(blur: float) -> float:
    """Variance of white noise of variance 1 after a blur of so many pixels, about."""
    return 1 / max(1.0, 4 * np.pi * blur**2)


def centred(energy: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Move places to the centroid of the amplitude around them, again and again."""
    amplitude = np.sqrt(energy)
    amplitude *= amplitude > 0.25 * np.quantile(amplitude, 0.995)
    reach = int(0.6 * size)
    across = np.arange(-reach, reach + 1)
    padded = np.pad(amplitude, reach)
    for _ in range(CENTRED):
        for i, (x, y) in enumerate(place):
            column, row = np.clip((x, y), 0, np.array(energy.shape[::-1]) - 1).astype(int)
            part = padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            dx, dy = across + 0.5 + column - x, across + 0.5 + row - y
            window = np.exp(-(dx[None] ** 2 + dy[:, None] ** 2) / (2 * (0.3 * size) ** 2)) * part
            total = window.sum()
            if total > 0:
                place[i] += ((window.sum(0) @ dx) / total, (window.sum(1) @ dy) / total)
    return place


def apart(place: np.ndarray, energy: np.ndarray, distance: float) -> np.ndarray:
    """The strongest places of which no two are nearer than a distance."""
    kept: list[int] = []
    for i in np.argsort(-energy, kind="stable"):
        if not kept or np.linalg.norm(place[kept] - place[i], axis=1).min() >= distance:
            kept.append(int(i))
    return place[sorted(kept)]
