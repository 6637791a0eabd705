"""Draw parts lying on cards of many colours: six kinds in any direction.

    python make_parts.py

Writes the folder parts, with a PNG of 80 x 80 pixels for each part, and truth-parts.csv, which says
what each file shows and how it is turned (nothing but this page's figures reads it). Needs numpy
and Pillow alone.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, FINE = 80, 4
"""Pixels of an image, and how much finer it is drawn."""
HOLE = "hole"
Shape = list[tuple[object, list[tuple[float, float]]]]
Rng = np.random.Generator


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    """Corners of a rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def disc(x: float, y: float, radius: float, corners: int = 40) -> list[tuple[float, float]]:
    """Corners of a circle, or of a regular polygon."""
    angles = 2 * np.pi * np.arange(corners) / corners
    return [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in angles]


def gear(teeth: int, low: float, high: float) -> list[tuple[float, float]]:
    """Corners of a toothed wheel."""
    angles = 2 * np.pi * np.arange(4 * teeth) / (4 * teeth)
    return [
        ((high if i % 4 < 2 else low) * np.cos(t), (high if i % 4 < 2 else low) * np.sin(t))
        for i, t in enumerate(angles)
    ]


STEEL, BRASS, BLACK = (112, 117, 128), (165, 120, 35), (45, 45, 52)
KINDS: dict[str, Shape] = {
    "spanner": [
        (STEEL, box(-0.17, -0.6, 0.17, 0.75)),
        (STEEL, disc(0, -0.85, 0.45)),
        (HOLE, box(-0.18, -1.4, 0.18, -0.8)),
        (STEEL, disc(0, 0.85, 0.33)),
        (HOLE, disc(0, 0.85, 0.17, 6)),
    ],
    "bracket": [
        (STEEL, [(-0.8, -1), (-0.3, -1), (-0.3, 0.5), (0.9, 0.5), (0.9, 1), (-0.8, 1)]),
        (HOLE, disc(-0.55, -0.7, 0.13)),
        (HOLE, disc(-0.55, 0.75, 0.13)),
        (HOLE, disc(0.6, 0.75, 0.13)),
    ],
    "bolt": [
        (BRASS, box(-0.55, -1.05, 0.55, -0.6)),
        (BRASS, box(-0.27, -0.6, 0.27, 1.05)),
        *[((120, 85, 20), box(-0.27, 0.1 + 0.2 * i, 0.27, 0.18 + 0.2 * i)) for i in range(5)],
    ],
    "wheel": [
        (BRASS, gear(10, 0.78, 1.0)),
        (HOLE, disc(0, 0, 0.27)),
        (HOLE, box(-0.1, -0.45, 0.1, 0)),
        (BLACK, disc(0, 0.55, 0.12)),
    ],
    "plug": [
        (BLACK, box(-0.6, -0.2, 0.6, 1)),
        (STEEL, box(-0.42, -1, -0.2, -0.2)),
        (STEEL, box(0.2, -1, 0.42, -0.2)),
        ((200, 60, 50), box(-0.6, 0.55, 0.6, 0.8)),
    ],
    "clip": [
        (
            BLACK,
            [(-0.9, 0.3), (-0.2, -0.95), (0.9, -0.6), (0.8, -0.3), (-0.05, -0.55), (-0.45, 0.2)],
        ),
        (BLACK, [(-0.9, 0.3), (0.3, 0.95), (0.95, 0.4), (0.75, 0.2), (0.25, 0.6), (-0.45, 0.2)]),
    ],
}


def card(rng: Rng, darkest: float) -> Image.Image:
    """A card of any colour, lighter on one side."""
    across = np.linspace(-1, 1, SIDE * FINE)
    slope_x, slope_y = rng.uniform(-22, 22, (2, 3))
    colour = rng.uniform(darkest, 240, 3)
    pixels = colour + slope_x * across[:, None] + slope_y * across[:, None, None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def part(shape: Shape, degrees: float, darkest: float, rng: Rng) -> np.ndarray:
    """One image, (H, W, 3) from 0 to 255: a part turned clockwise by so many degrees."""
    angle, size = np.radians(degrees), 0.31 * SIDE * FINE * rng.normal(1, 0.02)
    turn = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = SIDE * FINE * (0.5 + rng.uniform(-0.06, 0.06, 2))
    ground = card(rng, darkest)
    drawn, mask = ground.copy(), Image.new("L", ground.size)
    light = rng.uniform(0.85, 1.1)
    for colour, corners in shape:
        at = (np.array(corners) @ turn + middle).ravel().tolist()
        ImageDraw.Draw(mask).polygon(at, fill=0 if colour == HOLE else 255)
        if colour != HOLE:
            shade = tuple(int(min(255, light * one)) for one in np.array(colour))
            ImageDraw.Draw(drawn).polygon(at, fill=shade)
    shadow = mask.filter(ImageFilter.GaussianBlur(6)).transform(
        mask.size, Image.Transform.AFFINE, (1, 0, -6, 0, 1, -8)
    )
    ground.paste((30, 30, 35), mask=shadow.point([int(0.4 * v) for v in range(256)]))
    ground.paste(drawn, mask=mask)
    small = np.asarray(ground.resize((SIDE, SIDE), Image.Resampling.BOX), float)
    return small + rng.normal(0, 4, small.shape)


def main() -> None:
    """Read the arguments and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("parts"), help="folder to make")
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--darkest", type=float, default=160, help="of a card's colours, 0 to 255")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    given.out.mkdir(parents=True)
    rows = ["file,kind,degrees"]
    for i in range(given.images):
        kind, degrees = list(KINDS)[rng.integers(len(KINDS))], rng.uniform(-180, 180)
        pixels = part(KINDS[kind], degrees, given.darkest, rng).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(given.out / f"part{i:04}.png")
        rows.append(f"part{i:04}.png,{kind},{degrees:.1f}")
    Path(f"truth-{given.out.stem}.csv").write_text("\n".join(rows) + "\n", "utf-8")
    print(f"{given.out}: {given.images} images; truth-{given.out.stem}.csv says what they show")


if __name__ == "__main__":
    main()
