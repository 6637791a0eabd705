"""Paths described in their own frame, by numbers that do not change when a path is moved.

All of them come from steps v_k of a path that is resampled to equal times, as complex numbers.
Where a path begins plays no part in v. A rotation multiplies all v by one unit number, which
cancels in v_j conj(v_k); a scale cancels in ratios. A mirror image conjugates v: it changes the
sign of the imaginary parts, which is chosen so that a path turns clockwise on the whole. Steps are
compared over shares of the whole time, so the number of frames plays no part either.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

POINTS = 96
"""Points of a path, once it is resampled."""
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Steps between two points that are compared."""
PARTS = 6
"""Parts of the time, of each of which size and speed are told."""
TURNS = 8
"""Classes of the turn between two strides, from -pi to pi."""
STRIDES = (3, 8)
"""Steps of a stride."""
WEIGHTS = {"turning": 0.1, "chords": 0.2, "turns": 0.3}
"""Of parts that differ much between paths of one form, such as circles of one turn and of three."""
TINY = 1e-12


def described(
    paths: Sequence[Float[np.ndarray, "_ 2"]], *, handed: bool = False
) -> Float[Tensor, "n numbers"]:
    """Describe paths by numbers that stay if a path is shifted, turned, scaled or sampled anew.

    Args:
        paths: places (x, y) at equal times, two or more of each.
        handed: tell a path from its mirror image.
    """
    z = np.stack([resampled(path) for path in paths])
    v = np.diff(z, axis=1)
    if not handed:  # paths that turn to the left are taken from their mirror image
        turning = np.imag(v[:, 1:] * v[:, :-1].conj()).sum(1, keepdims=True)
        z, v = (np.where(turning < 0, one.conj(), one) for one in (z, v))
    alike = correlations(v)
    signed = 1 / WEIGHTS["turning"] if handed else 1.0
    parts = [
        np.abs(alike),
        WEIGHTS["turning"] * np.real(alike),
        WEIGHTS["turning"] * signed * np.imag(alike),
        WEIGHTS["chords"] * chords(z),
        *profiles(z, v),
        spread(z),
        *(WEIGHTS["turns"] * turns(z, stride) for stride in STRIDES),
    ]
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def resampled(path: Float[np.ndarray, "_ 2"]) -> Complex[np.ndarray, " points"]:
    """A path at equal times, about its middle, with mean square 1."""
    at = np.linspace(0, len(path) - 1, POINTS)
    x, y = (np.interp(at, np.arange(len(path)), values) for values in path.T.astype(np.float64))
    z = x + 1j * y
    z -= z.mean()
    return z / np.sqrt(np.mean(np.abs(z) ** 2) + TINY)


def correlations(v: Complex[np.ndarray, "n m"]) -> Complex[np.ndarray, "n lags"]:
    """How alike steps are that are some time apart (modulus), and how they turn (argument).

    1 on a line; of modulus 1 on a circle; nearly 0 on a random walk.
    """
    found = []
    for lag in LAGS:
        one, other = v[:, :-lag], v[:, lag:]
        size = np.sqrt((np.abs(one) ** 2).sum(1) * (np.abs(other) ** 2).sum(1))
        found.append((other * one.conj()).sum(1) / (size + TINY))
    return np.stack(found, 1)


def chords(z: Complex[np.ndarray, "n m"]) -> Float[np.ndarray, "n lags"]:
    """How far apart points are that are some time apart, against a line of the same length."""
    length = np.abs(np.diff(z, axis=1)).sum(1) / (z.shape[1] - 1)
    apart = [np.abs(z[:, lag:] - z[:, :-lag]).mean(1) / (lag * length + TINY) for lag in LAGS]
    return np.stack(apart, 1)


def profiles(
    z: Complex[np.ndarray, "n m"], v: Complex[np.ndarray, "n m1"]
) -> list[Float[np.ndarray, "n parts"]]:
    """Distance from the middle, and speed, in each part of the time."""
    middle = np.stack([np.abs(part).mean(1) for part in np.array_split(z, PARTS, 1)], 1)
    speed = np.stack([np.abs(part).mean(1) for part in np.array_split(v, PARTS, 1)], 1)
    return [middle, speed / (speed.mean(1, keepdims=True) + TINY)]


def spread(z: Complex[np.ndarray, "n m"]) -> Float[np.ndarray, "n 1"]:
    """How long a path is drawn out: 1 if it is a line, 0 if it is as wide as long."""
    return np.abs((z**2).mean(1, keepdims=True)) / ((np.abs(z) ** 2).mean(1, keepdims=True) + TINY)


def turns(z: Complex[np.ndarray, "n m"], stride: int) -> Float[np.ndarray, "n classes"]:
    """Shares of the turns between strides that are small, sharp, to the left, to the right."""
    v = z[:, stride:] - z[:, :-stride]
    angle = np.angle(v[:, stride:] * v[:, :-stride].conj())
    place = ((angle + np.pi) / (2 * np.pi) * TURNS - 0.5) % TURNS
    low = place.astype(int) % TURNS
    rest = place % 1
    found = np.zeros((len(z), TURNS))
    rows = np.broadcast_to(np.arange(len(z))[:, None], low.shape)
    np.add.at(found, (rows, low), 1 - rest)
    np.add.at(found, (rows, (low + 1) % TURNS), rest)
    return found / angle.shape[1]
