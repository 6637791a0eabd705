"""Sets whose kinds clearly differ, but vary in themselves: in size, light, sharpness and shape."""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from sets_common import Made, moved, poses, seventh, to_uint8
from sets_drawn import emoji, glyphs, in_turn
from torch import Tensor

EIGHT = "✈⚓♞♫✂☠☎☂"
FACES = "🐶🍎🚗🌵🎈🐢🍄🔔🦋🥕🎩🏠"
NOISE = 0.03


def made(
    images: np.ndarray, labels: np.ndarray, elements: Tensor | None = None, noise: float = 0.0
) -> Made:
    """A set from images between 0 and 1, with white noise added."""
    images = images + np.random.default_rng(len(labels)).normal(0, noise, images.shape)
    return Made(
        images=to_uint8(255 * images), labels=labels, test=seventh(len(labels)), elements=elements
    )


def symbols(
    rng: np.random.Generator, signs: str, each: int, size: int, scale: float = 1.0
) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """White symbols in any direction on black, (N, size, size), their kinds and poses.

    Args:
        rng: source of chance.
        signs: the symbols.
        each: images of each.
        size: side of the images in pixels.
        scale: largest factor of their size, and one over the smallest.
    """
    labels = in_turn(rng, len(signs), each)
    elements = poses(rng, len(labels), rotation=180, shift=0.08)
    factor = torch.from_numpy(np.exp(rng.uniform(-1, 1, len(labels)) * np.log(scale))).float()
    larger = torch.diag_embed(torch.stack([factor, factor, torch.ones_like(factor)], 1))
    elements = elements @ larger
    return moved(glyphs(signs), torch.from_numpy(labels), elements, size)[:, 0], labels, elements


def turned_grids(
    rng: np.random.Generator, count: int, size: int, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (count, size, size) across and down, in pixels, turned and shifted at random."""
    angle, (dx, dy) = rng.uniform(0, 2 * np.pi, count), rng.uniform(-shift, shift, (2, count, 1, 1))
    line = np.arange(size) - (size - 1) / 2
    x, y = line - dx, line[:, None] - dy
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * x + sin * y, cos * y - sin * x


def sizes(seed: int) -> Made:
    """Eight symbols, as large as 0.74 to 1.35 times the mean, 48 x 48; group sim2."""
    return made(*symbols(np.random.default_rng(seed), EIGHT, 120, 48, 1.35), noise=NOISE)


def focus(seed: int) -> Made:
    """Eight symbols, from sharp to blurred by 3 pixels, 56 x 56."""
    rng = np.random.default_rng(seed)
    images, labels, elements = symbols(rng, EIGHT, 120, 56)
    blur = rng.uniform(0.3, 3, len(labels))
    blurred = [gaussian_filter(one, sigma) for one, sigma in zip(images, blur, strict=True)]
    return made(np.stack(blurred), labels, elements, NOISE)


def contrasts(seed: int) -> Made:
    """Eight symbols, half of them darker than the paper and half lighter, 48 x 48: 16 kinds."""
    rng = np.random.default_rng(seed)
    images, labels, elements = symbols(rng, EIGHT, 120, 48)
    light = rng.integers(0, 2, len(labels))
    images = 0.5 + 0.35 * images * (2 * light - 1)[:, None, None]
    return made(images, 2 * labels + light, elements, NOISE)


def colours(seed: int) -> Made:
    """Two symbols in three colours each, in light that varies, 40 x 40."""
    rng = np.random.default_rng(seed)
    images, labels, elements = symbols(rng, "☂☂☂☠☠☠", 130, 40)
    ink = np.array([[200, 30, 30], [30, 160, 40], [40, 50, 200]] * 2)[labels, None, None] / 255
    light = rng.uniform(0.75, 1, (len(labels), 1, 1, 1))
    return made((1 - (1 - ink) * images[..., None]) * light, labels, elements, NOISE)


def patched(seed: int) -> Made:
    """Ten symbols, each with a grey patch of a third of the side over it, 48 x 48."""
    rng = np.random.default_rng(seed)
    images, labels, elements = symbols(rng, EIGHT + "★☯", 100, 48)
    for image in images:
        row, column = rng.integers(0, 32, 2)
        image[row : row + 16, column : column + 16] = rng.uniform()
    return made(images, labels, elements, NOISE)


def textured(seed: int) -> Made:
    """Twelve colour pictures before strong textures of many colours, 64 x 64."""
    rng = np.random.default_rng(seed)
    labels = in_turn(rng, len(FACES), 80)
    elements = poses(rng, len(labels), rotation=180, shift=0.08)
    pictures = torch.from_numpy(np.stack([emoji(sign) for sign in FACES]))
    drawn = moved(pictures, torch.from_numpy(labels), elements, 64).transpose(0, 2, 3, 1)
    waves = gaussian_filter(rng.normal(size=(len(labels), 64, 64, 3)), (0, 4, 4, 0))
    paper = 0.1 * waves / waves.std() + rng.uniform(0.25, 0.8, (len(labels), 1, 1, 3))
    return made(drawn[..., :3] + (1 - drawn[..., 3:]) * paper.clip(0, 1), labels, elements)


def bolt(length: float, hole: bool = False, big: int = 160) -> np.ndarray:
    """A bolt of a length, as a share of the side, perhaps with a hole: (big, big) uint8."""
    image = Image.new("L", (big, big))
    draw, middle, top = ImageDraw.Draw(image), big / 2, big * (1 - length) / 2
    draw.rectangle([middle - 0.08 * big, top, middle + 0.08 * big, big - top], fill=230)
    draw.rectangle([middle - 0.18 * big, top, middle + 0.18 * big, top + 0.12 * big], fill=255)
    if hole:
        draw.circle((middle, middle), 0.05 * big, fill=0)
    return np.asarray(image)


def nut(hole: float, big: int = 160) -> np.ndarray:
    """A nut with a hole of a radius, as a share of the side: (big, big) uint8."""
    image = Image.new("L", (big, big))
    draw, middle = ImageDraw.Draw(image), big / 2
    draw.regular_polygon((middle, middle, 0.28 * big), 6, fill=255)
    draw.circle((middle, middle), hole * big, fill=0)
    return np.asarray(image)


def parts(seed: int) -> Made:
    """Bolts of three lengths, one with a hole, and two nuts, in uneven light, 64 x 64."""
    rng = np.random.default_rng(seed)
    drawn = [bolt(0.4), bolt(0.55), bolt(0.7), bolt(0.7, hole=True), nut(0.1), nut(0.17)]
    labels = in_turn(rng, len(drawn), 150)
    elements = poses(rng, len(labels), rotation=180, shift=0.08)
    pictures = torch.from_numpy(np.stack(drawn))[:, None]
    images = moved(pictures, torch.from_numpy(labels), elements, 64)[:, 0]
    line = np.linspace(-1, 1, 64)
    across, down = rng.uniform(-0.25, 0.25, (2, len(labels), 1, 1))
    light = 1 + across * line + down * line[:, None]
    return made((0.24 + 0.6 * images) * light, labels, elements, 0.02)


def galaxies(seed: int) -> Made:
    """Round, edge-on, spiral and barred galaxies, tilted and of either hand, 56 x 56."""
    rng = np.random.default_rng(seed)
    labels = in_turn(rng, 4, 200)
    u, v = turned_grids(rng, len(labels), 56)
    tilt = rng.uniform(0.6, 1, (len(labels), 1, 1))
    r, hand = np.hypot(u, v / tilt), rng.choice([-1, 1], (len(labels), 1, 1))
    arms = (1 + np.cos(2 * (np.arctan2(v / tilt, u) - 2.2 * hand * np.log(r + 1)))) / 2
    bar = 0.8 * np.exp(-((u / 9) ** 4) - (v / 2.5) ** 2) + 0.35 * np.exp(-(((r - 13) / 2.5) ** 2))
    kinds = np.stack(
        [
            np.exp(-r / 5),
            np.exp(-np.hypot(u, v / 0.22) / 9),
            np.exp(-r / 3) + 0.8 * arms * np.exp(-r / 9),
            np.exp(-r / 3) + bar,
        ]
    )
    bright = rng.uniform(0.4, 0.9, (len(labels), 1, 1))
    return made(kinds[labels, np.arange(len(labels))] * bright + 0.05, labels, noise=NOISE)


def rods(seed: int) -> Made:
    """Bacteria: balls, short and long rods, bent ones, chains of balls, dark on grey, 48 x 48."""
    rng = np.random.default_rng(seed)
    labels = in_turn(rng, 5, 160)
    u, v = turned_grids(rng, len(labels), 48, shift=4)
    factor = rng.uniform(0.9, 1.1, (len(labels), 1, 1))

    def rod(half: float, width: float, at: float = 0.0, bend: float = 0.0) -> np.ndarray:
        along = u - at * factor
        beyond = along - np.clip(along, -half * factor, half * factor)
        return np.exp(-((np.hypot(beyond, v - bend * (u / 10) ** 2) / width) ** 4))

    chain = np.maximum.reduce([rod(0, 3.3, at) for at in (-9, -3, 3, 9)])
    kinds = np.stack([rod(0, 4.5), rod(7, 3.2), rod(15, 2.6), rod(12, 2.6, bend=5), chain])
    return made(0.6 - 0.4 * kinds[labels, np.arange(len(labels))], labels, noise=NOISE)


def two_tone(seed: int) -> Made:
    """Cells in three numbers (70, 20 and 10 %): pale, with a dark nucleus, and small; 56 x 56."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, 900, p=[0.7, 0.2, 0.1])
    u, v = turned_grids(rng, len(labels), 56)
    longer, larger = rng.uniform([[0.85], [0.93]], [[1.15], [1.07]], (2, len(labels)))
    r = np.hypot(u * longer[:, None, None], v / longer[:, None, None])
    radius = np.array([13, 16, 7])[labels] * larger
    cell = 1 / (1 + np.exp(1.2 * (r - radius[:, None, None])))
    lobes = np.exp(-((np.hypot(u - 3, v) / 7) ** 4)) + np.exp(-((np.hypot(u + 5, v - 3) / 4) ** 4))
    nucleus = (lobes.clip(0, 1) * (labels == 1)[:, None, None])[..., None]
    paper, ink = np.array([0.92, 0.9, 0.88]), np.array([0.35, 0.24, 0.55])
    body = np.array([[0.86, 0.47, 0.51], [0.67, 0.59, 0.78], [0.63, 0.43, 0.71]])[labels]
    images = paper + (body[:, None, None] - paper) * cell[..., None]
    return made(images + (ink - images) * nucleus, labels, noise=0.02)


VARIED: dict[str, Callable[[int], Made]] = {
    "sizes": sizes,
    "focus": focus,
    "contrasts": contrasts,
    "colours": colours,
    "patched": patched,
    "textured": textured,
    "parts": parts,
    "galaxies": galaxies,
    "rods": rods,
    "two-tone": two_tone,
}
"""The sets by name: each makes its images from a seed."""
