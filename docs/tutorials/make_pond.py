"""Draw a drop of pond water under a microscope: photographs, and a film.

    python make_pond.py
    python make_pond.py --out film.tif

Three kinds of creatures lie in any direction, on uneven and noisy light, and may touch or cross:
darters swim where they point, but half of them swim in circles; slippers roll over as they swim;
shells have no way of their own and drift. Writes a folder of PNG files, or a film in one TIFF file;
and truth-NAME.csv, which says what is where (nothing but this page's figures reads it). Needs numpy
and Pillow alone.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE, FINE = 256, 3
"""Pixels of a frame, and how much finer it is drawn."""
MARGIN = 40
"""Pixels around a frame in which creatures swim unseen."""
HALF = 20
"""Half the side of the window that a creature is drawn in, pixels."""
BORDER = MARGIN + HALF
KINDS = ("darter", "slipper", "shell")
CIRCLING = 1 / 2
"""Share of the darters that swim in circles."""
NOISE, LIGHT = 9, 150
"""Standard deviation of the camera's noise, and the light of the ground, of 255."""
Rng = np.random.Generator


@dataclass
class Creature:
    """One creature.

    Attributes:
        kind: its shape.
        path: how it moves: straight, circle or drift.
        place: its middle, pixels.
        angle: where it points, radians; 0 is up, and it grows clockwise.
        speed: pixels a frame.
        turning: radians a frame.
        size: of the whole shape; 1 is usual.
    """

    kind: str
    path: str
    place: np.ndarray
    angle: float
    speed: float
    turning: float
    size: float

    def step(self, rng: Rng) -> None:
        """Move on by a frame; whoever leaves comes back on the other side, where nobody sees it."""
        self.angle += self.turning + rng.normal(0, 0.02)
        heading = np.array((np.sin(self.angle), -np.cos(self.angle)))
        jitter = 1.3 if self.path == "drift" else 0.15
        self.place = self.place + self.speed * heading + rng.normal(0, jitter, 2)
        self.place = (self.place + MARGIN) % (SIDE + 2 * MARGIN) - MARGIN


def born(rng: Rng) -> Creature:
    """A creature of any kind at any place."""
    kind = KINDS[rng.integers(len(KINDS))]
    circling = kind == "darter" and rng.random() < CIRCLING
    path = "drift" if kind == "shell" else "circle" if circling else "straight"
    hand = rng.choice([-1, 1])
    speed, turning = {
        "straight": (rng.uniform(1.5, 3), 0.0),
        "circle": (rng.uniform(1.5, 2.5), hand * rng.uniform(0.1, 0.16)),
        "drift": (0.0, hand * rng.uniform(0, 0.05)),
    }[path]
    place = rng.uniform(-MARGIN, SIDE + MARGIN, 2)
    angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.95, 1.05)
    return Creature(kind, path, place, angle, speed, turning, size)


def ring(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Corners of an ellipse about (x, y)."""
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.stack((x + rx * np.cos(t), y + ry * np.sin(t)), 1)


def parts(kind: str) -> list[tuple[np.ndarray, int]]:
    """Shapes of an upright creature and how dark they are, pixels from its middle, y down."""
    t = np.linspace(0, 1, 30)
    if kind == "darter":
        tail = np.stack((2.2 * np.sin(5 * t) * t, 2 + 13 * t), 1)
        width = np.stack((1.6 * (1.1 - t), 0 * t), 1)
        return [
            (np.concatenate((tail - width, (tail + width)[::-1])), 90),
            (ring(0, -5, 6.5, 9), 95),
            (ring(0, -8, 2.5, 2.5), -60),
        ]
    if kind == "slipper":
        bow = np.stack((4 * np.sin(np.pi * t) - 2, 26 * t - 13), 1)
        width = np.stack((5.5 * np.sin(np.pi * (0.04 + 0.92 * t)) ** 0.6, 0 * t), 1)
        return [
            (np.concatenate((bow - width, (bow + width)[::-1])), 80),
            (ring(3, 5, 2.2, 2.6), 70),
            (ring(1, -7, 1.5, 1.5), -50),
        ]
    fan = np.array([(-11, -6), (-6, -9), (0, -10), (6, -9), (11, -6), (2, 10), (-2, 10)])
    return [
        (fan.astype(float), 85),
        *((np.array([(x, -7.0), (x + 1.2, -7), (x / 4, 8)]), -45) for x in (-6.5, -0.6, 5.3)),
    ]


def drawn(creatures: list[Creature], ground: np.ndarray, rng: Rng) -> Image.Image:
    """A frame with some creatures.

    Args:
        creatures: that are in it, or beside it.
        ground: (SIDE, SIDE) light of the drop without them.
        rng: for the noise of the camera.
    """
    shadow = np.zeros((SIDE + 2 * BORDER,) * 2, np.float32)
    for one in creatures:
        corner = np.floor(one.place).astype(int) - HALF
        cos, sin = np.cos(one.angle), np.sin(one.angle)
        turn = one.size * np.array([[cos, -sin], [sin, cos]])
        own = np.zeros((2 * HALF * FINE,) * 2, np.float32)
        for corners, dark in parts(one.kind):
            mask = Image.new("1", (2 * HALF * FINE, 2 * HALF * FINE))
            moved = (corners @ turn.T + one.place - corner) * FINE
            ImageDraw.Draw(mask).polygon(moved.ravel().tolist(), fill=1)
            own += dark * np.asarray(mask)
        left, top = corner + BORDER
        small = own.reshape(2 * HALF, FINE, 2 * HALF, FINE).mean((1, 3))
        shadow[top : top + 2 * HALF, left : left + 2 * HALF] += small
    dark = shadow[BORDER:-BORDER, BORDER:-BORDER]
    noisy = ground - dark + rng.normal(0, NOISE, (SIDE, SIDE))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def ground_of(rng: Rng) -> np.ndarray:
    """The light of a drop: brighter somewhere, with soft shades."""
    coarse = Image.fromarray(rng.normal(0, 18, (3, 3)).astype(np.float32))
    return LIGHT + np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def seen(creatures: list[Creature]) -> list[tuple[int, Creature]]:
    """The creatures whose middle is in the frame, with their numbers."""
    inside = ((one.place >= 0).all() and (one.place < SIDE).all() for one in creatures)
    return [pair for pair, within in zip(enumerate(creatures), inside, strict=True) if within]


def main() -> None:
    """Read the arguments and write the frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("pond"), help="folder, or .tif of a film")
    parser.add_argument("--images", type=int, default=40, help="photographs, or frames of the film")
    parser.add_argument("--creatures", type=int, default=20, help="in and around each frame")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    film = given.out.suffix == ".tif"
    frames, rows = [], []
    creatures, ground = [born(rng) for _ in range(given.creatures)], ground_of(rng)
    for i in range(given.images):
        file, number = (given.out.name, i) if film else (f"drop{i:03}.png", 0)
        frames.append(drawn(creatures, ground, rng))
        for which, one in seen(creatures):
            degrees = np.degrees(one.angle) % 360
            rows.append((file, number, *one.place.round(2), one.kind, which, one.path, degrees))
        if film:
            for one in creatures:
                one.step(rng)
        else:
            creatures, ground = [born(rng) for _ in range(given.creatures)], ground_of(rng)
    if film:
        frames[0].save(given.out, save_all=True, append_images=frames[1:])
    else:
        given.out.mkdir(parents=True)
        for i, frame in enumerate(frames):
            frame.save(given.out / f"drop{i:03}.png")
    names = ("file", "frame", "x", "y", "kind", "creature", "path", "degrees")
    with Path(f"truth-{given.out.stem}.csv").open("w", newline="") as table:
        csv.writer(table).writerows([names, *rows])
    told = f"truth-{given.out.stem}.csv"
    print(f"{given.out}: {len(frames)} frames; {told} says what is in them")


if __name__ == "__main__":
    main()
