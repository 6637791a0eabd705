"""Draw particles as an electron microscope shows them: four kinds, in any direction, in noise.

    python make_particles.py --out particles.mrcs

Writes 1,500 images of 160 x 160 pixels to one stack, particles.star that names them as RELION does,
and truth-particles.csv, which says what each shows (nothing but this page's figures reads it).
Inside each kind are stripes, 8 to 12 pixels apart, which small copies hardly show. --junk adds
picks without a particle. Needs mcevae with its extra cryoem.
"""

import argparse
import csv
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
JUNK = "junk"
TOGETHER = 200
"""Images that are moved together."""
STAR = """data_optics

loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
_rlnImageSize #3
1 1.5 160

data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
"""


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


def particles(
    count: int, noise: float, seed: int, junk: float = 0.0
) -> tuple[np.ndarray, list[str]]:
    """Particles in random poses and noise, (n, H, W) as floats of any size, and what each shows.

    Args:
        count: number of images.
        noise: its standard deviation; the particles reach from 0.2 to 0.8.
        seed: of kinds, poses and noise.
        junk: share of images that show the edge of a hole and no particle.
    """
    generator = torch.Generator().manual_seed(seed)
    group = get_group("se2")
    kind = torch.randint(0, KINDS, (count,), generator=generator)
    plain = torch.from_numpy(np.stack([drawn(k) for k in range(KINDS)]))[:, None]
    support = group.support(rotation_deg=180, shift=0.06)
    poses = group.sample(count, support, generator=generator)
    parts = zip(kind.split(TOGETHER), poses.split(TOGETHER), strict=True)
    moved = torch.cat([warp(plain[own], by, mode="bicubic") for own, by in parts])
    noisy = noise * torch.randn(moved.shape, generator=generator)
    bad = torch.rand(count, generator=generator) < junk
    moved[bad] = edges(int(bad.sum()), generator)
    images = 0.2 + 0.6 * moved + noisy
    shown = [JUNK if b else f"kind {k}" for b, k in zip(bad.tolist(), kind.tolist(), strict=True)]
    return (37 * images[:, 0] - 5).numpy(), shown


def edges(count: int, generator: torch.Generator) -> torch.Tensor:
    """Edges of the carbon film in any place and direction, (n, 1, H, W), from 0 to 1."""
    line = torch.arange(SIDE) / SIDE - 0.5
    angle, place = torch.rand(2, count, 1, 1, generator=generator)
    across = (
        torch.cos(2 * torch.pi * angle) * line + torch.sin(2 * torch.pi * angle) * line[:, None]
    )
    return torch.sigmoid(60 * (across - 0.4 * place))[:, None]


def main() -> None:
    """Read the arguments and write the stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("particles.mrcs"), help="stack to write")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--junk", type=float, default=0.0, help="share of picks without a particle")
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    images, shown = particles(given.images, given.noise, given.seed, given.junk)
    with mrcfile.new(given.out, images) as file:
        file.set_image_stack()
        file.voxel_size = 1.5
    names = [f"{i + 1:06}@{given.out.name}" for i in range(len(images))]
    rows = "".join(f"{name} 1\n" for name in names)
    given.out.with_suffix(".star").write_text(STAR + rows)
    with Path(f"truth-{given.out.stem}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "kind"), *zip(names, shown, strict=True)])
    print(f"{given.out}: {len(images)} particles; {given.out.with_suffix('.star')} names them")


if __name__ == "__main__":
    main()
