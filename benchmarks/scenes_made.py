"""Scenes with known truth: digits, particles and symbols in large frames; see `scenes.py`."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from sets_common import moved, to_uint8
from sets_drawn import CHIRAL, glyphs, noise

from mcevae import get_group, load, warp
from mcevae.geometry.groups import reflect
from mcevae.reproduce.protocols import placed

SCENES = 5
"""Scenes of digits of each seed."""
PARTICLES, TRAINED = 6600, 6000
RATIO = 0.1
SYMBOL = 40
SMALLER, LARGER, SHIFTED = 0.75, 1.3, 0.08
"""Size of symbols in their boxes, how much larger or smaller they may be, and shifts in sides."""


@dataclass(kw_only=True)
class Scene:
    """A frame, and what is in it.

    Attributes:
        frame: (H, W).
        place: (n, 2) x and y of each thing.
        kind: (n,).
        angle: (n,) degrees.
        scale: (n,) magnification; None: all have one.
        mirrored: (n,) whether each is a mirror image; None: none is.
    """

    frame: np.ndarray
    place: np.ndarray
    kind: np.ndarray
    angle: np.ndarray
    scale: np.ndarray | None = None
    mirrored: np.ndarray | None = None


class Drawn(NamedTuple):
    """A picture of a thing, its kind, and its pose: degrees, magnification, mirror image."""

    picture: np.ndarray
    kind: int
    angle: float
    scale: float = 1.0
    mirrored: bool = False


def digits() -> Callable[[np.random.Generator], Drawn]:
    """What draws a digit of the test images, within 90 degrees."""
    images = load("mnist").test
    assert images is not None and images.labels is not None
    pixels, labels = images.pixels.float() / 255, images.labels

    def draw(rng: np.random.Generator) -> Drawn:
        which, angle = int(rng.integers(len(pixels))), rng.uniform(-90, 90)
        turn = get_group("so2").exp(torch.tensor([[math.radians(angle)]]).float())
        turned = warp(pixels[which : which + 1], turn)[0, 0].numpy()
        return Drawn(turned, int(labels[which]), angle)

    return draw


@cache
def particles() -> Callable[[np.random.Generator], Drawn]:
    """What draws a particle without noise; the run was trained on others of the same kinds."""
    clean = noise(0, 1e9, PARTICLES)
    assert clean.elements is not None
    angles = torch.atan2(clean.elements[:, 1, 0], clean.elements[:, 0, 0]).rad2deg().numpy()

    def draw(rng: np.random.Generator) -> Drawn:
        which = int(rng.integers(TRAINED, PARTICLES))
        return Drawn(clean.images[which], int(clean.labels[which]), float(angles[which]))

    return draw


@cache
def symbols() -> Callable[[np.random.Generator], Drawn]:
    """What draws a symbol in any direction, larger or smaller, and mirrored by chance."""
    drawn = glyphs(CHIRAL)

    def draw(rng: np.random.Generator) -> Drawn:
        kind, angle = int(rng.integers(len(CHIRAL))), rng.uniform(-180, 180)
        scale, flipped = math.exp(rng.uniform(-1, 1) * math.log(LARGER)), bool(rng.integers(2))
        turn = placed(np.array([angle]), rng.uniform(-SHIFTED, SHIFTED, (1, 2)))
        turn[:, :2, :2] *= scale * SMALLER
        element = reflect(turn, torch.tensor([flipped]))
        picture = moved(drawn, torch.tensor([kind]), element, SYMBOL)[0, 0]
        return Drawn(picture, kind, angle, scale, flipped)

    return draw


def grey(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bytes with the noise of scenes of symbols."""
    return to_uint8(255 * frame + rng.normal(0, 8, frame.shape))


def spots(
    rng: np.random.Generator, side: int, size: int, count: int, overlap: float
) -> list[tuple[int, int]]:
    """Corners of boxes. With an overlap each second one covers 10 % or more of another."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        x, y = rng.integers(0, side - size + 1, 2).tolist()
        shares = [max(0, size - abs(x - a)) * max(0, size - abs(y - b)) / size**2 for a, b in found]
        largest = max(shares, default=0)
        wanted = overlap and len(found) % 2
        if largest <= overlap and (not wanted or largest >= 0.1):
            found.append((x, y))
    return found


def scene(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator], Drawn],
    side: int,
    count: int,
    overlap: float = 0.0,
) -> Scene:
    """A frame without noise: the brightest of things that overlap."""
    frame = np.zeros((side, side), np.float32)
    places = []
    things = [draw(rng) for _ in range(count)]
    size = things[0].picture.shape[0]
    across = np.arange(size) + 0.5
    for (x, y), (picture, *_) in zip(spots(rng, side, size, count, overlap), things, strict=True):
        own = frame[y : y + size, x : x + size]
        np.maximum(own, picture, out=own)
        total = picture.sum()
        places.append((x + picture.sum(0) @ across / total, y + picture.sum(1) @ across / total))
    _, kind, angle, scale, flipped = map(list, zip(*things, strict=True))
    return Scene(
        frame=frame,
        place=np.array(places),
        kind=np.array(kind),
        angle=np.array(angle),
        scale=np.array(scale),
        mirrored=np.array(flipped),
    )


def scenes_of(kind: str, seed: int) -> Iterator[Scene]:
    """The scenes of a seed: digits, overlap, micrograph or symbols."""
    rng = np.random.default_rng(seed + 100)
    if kind == "micrograph":
        made = scene(rng, particles(), 1024, 80)
        spread = noise(0, 1e9, PARTICLES).images.std()
        down, across = np.mgrid[:1024, :1024] / 1024
        uneven = 3 * spread * (np.sin(3 * across) + 2 * (down - 0.5) ** 2 + across * down)
        made.frame += uneven + rng.normal(0, spread / math.sqrt(RATIO), made.frame.shape)
        yield made
        return
    if kind == "symbols":
        made = scene(rng, symbols(), 512, 60)
        made.frame = grey(made.frame, rng)
        yield made
        return
    draw = digits()
    for _ in range(SCENES):
        made = scene(rng, draw, 256, 20, 0.3 if kind == "overlap" else 0.0)
        made.frame += rng.normal(0, 0.1, made.frame.shape).astype(np.float32)
        yield made
