"""Draw particles as an electron microscope shows them: four kinds, in any direction, in noise.

    python scripts/make_particles.py --out particles.mrcs

Writes 1,500 images of 160 x 160 pixels to one stack. Inside each kind are stripes, 8 to 12 pixels
apart, which small copies hardly show. No other data are needed.
"""

import argparse
from pathlib import Path

import mrcfile
import numpy as np
import torch
from PIL import Image, ImageDraw

from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp

SIDE, FINE = 160, 4
"""Pixels of an image, and how much finer it is drawn."""
KINDS = 4
TOGETHER = 200
"""Images that are moved together."""


def drawn(kind: int) -> np.ndarray:
    """A particle without its pose, (H, W), from 0 to 1."""
    image = Image.new("L", (SIDE * FINE, SIDE * FINE), 0)
    draw = ImageDraw.Draw(image)

    def at(*points: tuple[float, float]) -> list[tuple[float, float]]:
        return [(x * FINE, y * FINE) for x, y in points]

    def line(a: tuple[float, float], b: tuple[float, float], fill: int, width: float) -> None:
        draw.line(at(a, b), fill=fill, width=int(width * FINE))

    if kind == 0:
        draw.polygon(at((50, 40), (80, 30), (115, 120), (60, 125)), fill=200)
        for i in range(6):
            line((60, 50 + 12 * i), (85, 45 + 12 * i), 90, 3)
    elif kind == 1:
        draw.ellipse(at((40, 50), (120, 110)), fill=180)
        draw.ellipse(at((95, 55), (112, 72)), fill=30)
        line((45, 80), (20, 60), 220, 6)
        for i in range(5):
            line((55 + 8 * i, 60), (55 + 8 * i, 100), 90, 2.5)
    elif kind == 2:
        draw.line(at((40, 120), (80, 40), (120, 120)), fill=210, width=10 * FINE)
        line((58, 90), (100, 90), 210, 6)
        draw.ellipse(at((105, 30), (125, 50)), fill=255)
    else:
        for box in (((55, 30), (75, 130)), ((75, 30), (115, 48)), ((75, 70), (100, 84))):
            draw.rectangle(at(*box), fill=190)
        for i in range(10):
            line((57, 34 + 9.5 * i), (73, 34 + 9.5 * i), 80, 2)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32) / 255


def particles(count: int, noise: float, seed: int) -> np.ndarray:
    """Particles in random poses and noise, (n, H, W) as floats of any size.

    Args:
        count: number of images.
        noise: its standard deviation; the particles reach from 0.2 to 0.8.
        seed: of kinds, poses and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    group = get_group("se2")
    kind = torch.randint(0, KINDS, (count,), generator=generator)
    plain = torch.from_numpy(np.stack([drawn(k) for k in range(KINDS)]))[:, None]
    support = group.support(rotation_deg=180, shift=0.06)
    poses = group.sample(count, support, generator=generator)
    parts = zip(kind.split(TOGETHER), poses.split(TOGETHER), strict=True)
    moved = torch.cat([warp(plain[own], by, mode="bicubic") for own, by in parts])
    images = 0.2 + 0.6 * moved + noise * torch.randn(moved.shape, generator=generator)
    return (37 * images[:, 0] - 5).numpy()


def main() -> None:
    """Read the arguments and write the stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="stack to write, .mrcs")
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with mrcfile.new(given.out, particles(given.count, given.noise, given.seed)) as file:
        file.set_image_stack()


if __name__ == "__main__":
    main()
