"""Draw cells on a slide: five kinds in any direction, mirrored by chance, and some junk.

    python make_cells.py

Writes the folder cells, with a PNG of 72 x 72 pixels for each cell, and truth-cells.csv, which says
what each file shows (nothing but this page's figures reads it). Needs numpy and Pillow alone.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE, FINE = 72, 3
"""Pixels of an image, and how much finer it is drawn."""
KINDS = ("sickle", "yeast", "tadpole", "slipper", "pollen")
STAIN, NUCLEUS = (150, 95, 165), (75, 35, 120)
Rng = np.random.Generator


class Slide:
    """One cell's window: the ground, and how the cell lies on it.

    Shapes are given for an upright cell, in units of about half a cell, x right and y down.
    """

    def __init__(self, rng: Rng) -> None:
        ground = np.array((243, 232, 238)) + rng.normal(0, 3, 3)
        slope = rng.normal(0, 4, 2) @ np.mgrid[
            -1 : 1 : SIDE * FINE * 1j, -1 : 1 : SIDE * FINE * 1j
        ].reshape(2, -1)
        pixels = ground + slope.reshape(SIDE * FINE, SIDE * FINE, 1)
        self.image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        self.rng = rng
        angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = np.diag(rng.normal(1, 0.05, 2))
        self.matrix = turn @ np.diag([mirror, 1]) @ stretch * 0.27 * SIDE * FINE
        self.middle = SIDE * FINE * (0.5 + rng.uniform(-0.05, 0.05, 2))
        self.depth = rng.uniform(0.75, 1.1)

    def fill(self, points: np.ndarray, colour: tuple[int, int, int], opacity: float) -> None:
        """Lay a stain over the polygon with these corners, (n, 2)."""
        mask = Image.new("L", self.image.size)
        corners = (points @ self.matrix.T + self.middle).ravel().tolist()
        ImageDraw.Draw(mask).polygon(corners, fill=int(255 * min(1, opacity * self.depth)))
        mask = mask.filter(ImageFilter.GaussianBlur(2))
        self.image.paste(colour, mask=mask)

    def body(self, points: np.ndarray) -> None:
        """Cytoplasm, darker at its rim."""
        self.fill(points, STAIN, 0.75)
        inner = points.mean(0) + 0.86 * (points - points.mean(0))
        self.fill(inner, (205, 165, 210), 0.55)

    def saved(self, path: Path) -> None:
        """Scale the window down, add the camera's noise, and write it."""
        small = np.asarray(self.image.resize((SIDE, SIDE), Image.Resampling.BOX), float)
        noisy = small + self.rng.normal(0, 4, small.shape)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)


def ring(x: float, y: float, rx: float, ry: float, wave: float = 0.0, waves: int = 3) -> np.ndarray:
    """Corners of an ellipse about (x, y), whose radius goes up and down."""
    t = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    radius = 1 + wave * np.cos(waves * t - np.pi / 2)
    return np.stack((x + rx * radius * np.cos(t), y + ry * radius * np.sin(t)), 1)


def band(middle: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Corners of a band along a line of points, (n, 2), with half its width at each, (n,)."""
    along = np.gradient(middle, axis=0)
    across = np.stack((-along[:, 1], along[:, 0]), 1) / np.linalg.norm(along, axis=1)[:, None]
    sides = across * width[:, None]
    return np.concatenate((middle + sides, (middle - sides)[::-1]))


def cell(slide: Slide, kind: str) -> None:
    """Draw a cell of a kind. No two of a kind are quite the same."""
    some = slide.rng.normal(0, 0.06, 6)
    t = np.linspace(0, 1, 40)
    if kind == "sickle":
        bow = np.stack((0.75 * np.cos(2.6 * t - 1.3) - 0.4, 1.15 * np.sin(2.6 * t - 1.3)), 1)
        slide.body(band(bow, (0.36 + some[0]) * np.sin(np.pi * (0.06 + 0.88 * t))))
    elif kind == "yeast":
        slide.body(ring(0, 0.3, 0.75 + some[0], 0.8))
        slide.body(ring(0.25 + some[1], -0.75, 0.42 + some[2] / 2, 0.4))
        slide.fill(ring(-0.2, 0.45 + some[3], 0.27, 0.27), NUCLEUS, 0.8)
    elif kind == "tadpole":
        tail = np.stack((0.35 * np.sin(3.6 * t) + some[0] * t, 1.7 * t - 0.45), 1)
        slide.fill(band(tail, 0.16 * (1.15 - t)), STAIN, 0.9)
        slide.body(ring(0, -0.65, 0.52 + some[1], 0.62))
        slide.fill(ring(0.12, -0.7, 0.25, 0.33 + some[2] / 2), NUCLEUS, 0.85)
    elif kind == "slipper":
        line = np.stack((0.2 * np.sin(2.5 * t), 2.5 * t - 1.25), 1)
        slide.body(band(line, (0.58 + some[0]) * np.sin(np.pi * (0.05 + 0.9 * t)) ** 0.6))
        slide.fill(ring(0.35, -0.35, 0.12, 0.42 + some[1]), (120, 60, 130), 0.7)
        slide.fill(ring(0, 0.5 + some[2], 0.24, 0.2), NUCLEUS, 0.8)
        slide.fill(ring(0.02, -0.95, 0.14, 0.14), (245, 235, 245), 0.9)
    else:
        slide.body(ring(0, 0, 0.92 + some[0] / 2, 0.92, 0.16 + some[1] / 3))
        for at in (0.0, 2 * np.pi / 3):
            slide.fill(ring(0.75 * np.sin(at), -0.75 * np.cos(at), 0.2, 0.2), NUCLEUS, 0.8)


def junk(slide: Slide) -> None:
    """A fibre, a bubble, a smear or nothing: no two look alike."""
    rng, t = slide.rng, np.linspace(0, 1, 60)
    choice = rng.integers(4)
    if choice == 0:
        steps = rng.normal(0, 1, (5, 2)) @ np.diag([1.2, 1.2])
        curve = sum(np.outer(np.cos(np.pi * k * t), s) / (k + 1) for k, s in enumerate(steps))
        slide.fill(band(np.asarray(curve), np.full(60, rng.uniform(0.04, 0.09))), (60, 70, 90), 0.9)
    elif choice == 1:
        radius = rng.uniform(0.7, 1.5)
        slide.fill(ring(0, 0, radius, radius), (110, 110, 110), 0.7)
        slide.fill(ring(0, 0, 0.85 * radius, 0.85 * radius), (252, 250, 252), 0.95)
    elif choice == 2:
        for _ in range(rng.integers(4, 9)):
            x, y, rx, ry = (*rng.normal(0, 0.7, 2), *rng.uniform(0.1, 0.6, 2))
            slide.fill(ring(x, y, rx, ry, 0.3, 5), STAIN, rng.uniform(0.2, 0.6))


def main() -> None:
    """Read the arguments and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("cells"), help="folder to make")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--junk", type=float, default=0.06, help="share of junk")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    given.out.mkdir(parents=True)
    rows = ["file,kind"]
    for i in range(given.images):
        kind = "junk" if rng.random() < given.junk else KINDS[rng.integers(len(KINDS))]
        slide = Slide(rng)
        junk(slide) if kind == "junk" else cell(slide, kind)
        slide.saved(given.out / f"cell{i:04}.png")
        rows.append(f"cell{i:04}.png,{kind}")
    Path(f"truth-{given.out.stem}.csv").write_text("\n".join(rows) + "\n", "utf-8")
    print(f"{given.out}: {given.images} images; truth-{given.out.stem}.csv says what they show")


if __name__ == "__main__":
    main()
