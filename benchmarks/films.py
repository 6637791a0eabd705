"""Films and paths with known truth, and how well tracks agree with it.

HOTA is that of Luiten et al., "HOTA: a higher order metric for evaluating multi-object tracking",
2020.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from mcevae import get_group, load, warp

FRAMES, SIDE, DIGITS = 100, 256, 10
NOISE = 0.1
CANVAS = 44
"""Pixels of the picture in which a digit turns, so that no corner is lost."""
SHOWN = 0.15
"""A box is around what is brighter than this share of the brightest pixel."""
LEVELS = np.arange(0.05, 0.96, 0.05)
"""Similarities from which on two things may be one, as HOTA has them."""


@dataclass(frozen=True, kw_only=True)
class Things:
    """Things in the frames of a film, a row for each thing in each frame.

    Attributes:
        time: (n,) frame.
        track: (n,) number of the thing.
        place: (n, 2) x and y of the centroid, pixels.
        box: (n, 4) left, top, width, height.
        kind: (n,) what it is.
        angle: (n,) degrees.
    """

    time: np.ndarray
    track: np.ndarray
    place: np.ndarray
    box: np.ndarray
    kind: np.ndarray
    angle: np.ndarray


def film(seed: int) -> tuple[np.ndarray, Things]:
    """Test digits that drift, bounce off the edges, swing within 85 degrees, and cross.

    Returns:
        (frames, H, W) intensities, and what is in them.
    """
    rng = np.random.default_rng(seed + 200)
    test = load("mnist").test
    assert test is not None and test.labels is not None
    chosen = rng.choice(len(test.pixels), DIGITS, replace=False)
    pixels, labels = test.pixels[chosen].float() / 255, test.labels[chosen].numpy()
    time = np.arange(FRAMES)
    low, high = 14.0, SIDE - 14.0
    start = rng.uniform(low, high, (DIGITS, 2))
    direction, speed = rng.uniform(0, 2 * np.pi, DIGITS), rng.uniform(1, 3, DIGITS)
    velocity = speed[:, None] * np.stack([np.cos(direction), np.sin(direction)], 1)
    straight = start[:, None] + time[:, None] * velocity[:, None] - low
    middle = low + np.abs((straight + high - low) % (2 * (high - low)) - (high - low))
    swing, period = rng.uniform(10, 60, DIGITS), rng.uniform(40, 120, DIGITS)
    lean = (85 - swing) * rng.uniform(-1, 1, DIGITS)
    phase = rng.uniform(0, 2 * np.pi, (DIGITS, 1))
    angle = lean[:, None] + swing[:, None] * np.sin(2 * np.pi * time / period[:, None] + phase)
    frames = np.zeros((FRAMES, SIDE, SIDE), np.float32)
    rows = []
    for number in range(DIGITS):
        for t in range(FRAMES):
            place, box = draw(frames[t], pixels[number], middle[number, t], angle[number, t])
            rows.append((t, number, *place, *box, labels[number], angle[number, t]))
    table = np.array(rows)
    frames += rng.normal(0, NOISE, frames.shape).astype(np.float32)
    return frames, Things(
        time=table[:, 0].astype(int),
        track=table[:, 1].astype(int),
        place=table[:, 2:4],
        box=table[:, 4:8],
        kind=table[:, 8].astype(int),
        angle=table[:, 9],
    )


def draw(
    frame: np.ndarray, digit: torch.Tensor, middle: np.ndarray, angle: float
) -> tuple[np.ndarray, list[float]]:
    """Draw a digit where it is brighter than the frame; its centroid, and the box around it."""
    corner = np.floor(middle - CANVAS / 2).astype(int)
    rest = (middle - corner - CANVAS / 2) / CANVAS
    pad = (CANVAS - digit.shape[-1]) // 2
    padded = torch.nn.functional.pad(digit[None], (pad,) * 4)
    tau = torch.tensor([[math.radians(angle), *rest]]).float()
    picture = warp(padded, get_group("se2").from_parameters(tau))[0, 0].numpy()
    down, across = (np.flatnonzero((picture > SHOWN * picture.max()).any(axis)) for axis in (1, 0))
    x, y = corner
    (top, left), (bottom, right) = np.maximum((-y, -x), 0), np.minimum((SIDE - y, SIDE - x), CANVAS)
    own = frame[y + top : y + bottom, x + left : x + right]
    np.maximum(own, picture[top:bottom, left:right], out=own)
    steps = np.arange(CANVAS) + 0.5
    place = corner + np.array([picture.sum(0) @ steps, picture.sum(1) @ steps]) / picture.sum()
    box = [x + across[0], y + down[0], across[-1] - across[0] + 1, down[-1] - down[0] + 1]
    return place, [float(one) for one in box]


def by_distance(one: Things, other: Things, zero: float) -> Iterator[tuple[np.ndarray, ...]]:
    """For each frame the rows of both and their similarity: 1 - distance / zero, at least 0."""
    for rows, others in frames_of(one, other):
        apart = np.linalg.norm(one.place[rows][:, None] - other.place[others][None], axis=2)
        yield rows, others, np.maximum(1 - apart / zero, 0)


def by_boxes(one: Things, other: Things) -> Iterator[tuple[np.ndarray, ...]]:
    """For each frame the rows of both and their similarity: boxes' intersection over union."""
    for rows, others in frames_of(one, other):
        a, b = one.box[rows][:, None], other.box[others][None]
        low = np.maximum(a[..., :2], b[..., :2])
        high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
        shared = np.maximum(high - low, 0).prod(2)
        yield rows, others, shared / (a[..., 2:].prod(2) + b[..., 2:].prod(2) - shared)


def frames_of(one: Things, other: Things) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of both in each frame."""
    for t in range(int(one.time.max()) + 1):
        yield np.flatnonzero(one.time == t), np.flatnonzero(other.time == t)


def hota(truth: Things, found: Things, alike: list[tuple[np.ndarray, ...]]) -> dict[str, float]:
    """HOTA and its parts, and identity switches per true track.

    In each frame things are matched one to one so that tracks that mostly belong together are
    matched; at each level a, pairs with a similarity of a or more are right (TP). DetA is
    TP / (TP + FN + FP); AssA the mean over all TP of TPA / (TPA + FNA + FPA) of the pair of tracks;
    HOTA = sqrt(DetA AssA), and all are means over the levels. A switch is a true thing that is
    matched to another track than the last time, at level 0.5.

    Args:
        truth, found: things of all frames.
        alike: rows of both and their similarity, for each frame.
    """
    shape = (int(truth.track.max()) + 1, int(found.track.max(initial=-1)) + 1)
    often = np.zeros(shape)
    for rows, others, likeness in alike:
        total = likeness.sum(0)[None] + likeness.sum(1)[:, None] - likeness
        share = likeness / np.maximum(total, 1e-12)
        np.add.at(often, np.ix_(truth.track[rows], found.track[others]), share)
    lengths = np.bincount(truth.track, minlength=shape[0])[:, None]
    others_length = np.bincount(found.track, minlength=shape[1])[None]
    both = lengths + others_length
    belong = often / np.maximum(both - often, 1e-12)
    right = np.zeros((len(LEVELS), *shape))
    last, switches = np.full(shape[0], -1), 0
    for rows, others, likeness in alike:
        a, b = truth.track[rows], found.track[others]
        i, j = linear_sum_assignment(-(belong[np.ix_(a, b)] * likeness))
        for level, table in zip(LEVELS, right, strict=True):
            good = likeness[i, j] >= level - 1e-9
            np.add.at(table, (a[i[good]], b[j[good]]), 1)
        good = likeness[i, j] >= 0.5
        before, now = last[a[i[good]]], b[j[good]]
        switches += int(((before >= 0) & (before != now)).sum())
        last[a[i[good]]] = now
    true = right.sum((1, 2))
    detection = true / (len(truth.time) + len(found.time) - true)
    association = (right**2 / np.maximum(both - right, 1)).sum((1, 2)) / np.maximum(true, 1)
    return {
        "hota": round(float(np.sqrt(detection * association).mean()), 4),
        "detection": round(float(detection.mean()), 4),
        "association": round(float(association.mean()), 4),
        "switches_per_track": round(switches / shape[0], 4),
        "tracks": len(np.unique(found.track)),
    }


KINDS = ("line", "circle", "zigzag", "spiral", "random walk")


def paths(seed: int, count: int = 600) -> tuple[list[np.ndarray], np.ndarray]:
    """Paths of five kinds, of 40 to 160 frames, moved, turned, scaled, and mirrored by chance.

    Lines have an uneven speed; circles 0.8 to 3 turns; zigzags 3 to 8 corners of 50 to 110 degrees;
    spirals 1.5 to 4 turns outwards; random walks steps of equal spread. Each place has an error of
    1 % of the size.
    """
    rng = np.random.default_rng(seed + 300)
    kind = np.arange(count) % len(KINDS)
    return [path(rng, KINDS[k]) for k in kind], kind


def path(rng: np.random.Generator, kind: str) -> np.ndarray:
    """The places of one path, (frames, 2)."""
    frames = int(rng.integers(40, 161))
    t = np.linspace(0, 1, frames)
    if kind == "line":
        z = t + rng.uniform(0, 0.1) * np.sin(2 * np.pi * (t + rng.uniform())) + 0j
    elif kind == "circle":
        z = np.exp(2j * np.pi * rng.uniform(0.8, 3) * t)
    elif kind == "zigzag":
        corners, half = int(rng.integers(3, 9)), np.radians(rng.uniform(50, 110)) / 2
        wave = np.abs((t * (corners + 1) + rng.uniform(0, 2)) % 2 - 1) / (corners + 1)
        z = t * np.sin(half) + 1j * wave * np.cos(half)
    elif kind == "spiral":
        z = (rng.uniform(0.05, 0.2) + t) * np.exp(2j * np.pi * rng.uniform(1.5, 4) * t)
    else:
        z = np.cumsum(rng.normal(size=frames) + 1j * rng.normal(size=frames))
    z = z - z.mean()
    z = z / np.sqrt(np.mean(np.abs(z) ** 2))
    z += 0.01 * (rng.normal(size=frames) + 1j * rng.normal(size=frames))
    z = z.conj() if rng.random() < 0.5 else z
    z = z * np.exp(rng.uniform(2, 5) + 2j * np.pi * rng.random())
    return np.stack([z.real, z.imag], 1) + rng.uniform(-500, 500, 2)
