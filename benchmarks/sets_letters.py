"""Capitals in many fonts: `capitals`."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from sets_common import Made, moved, poses, seventh, to_uint8
from sets_drawn import glyph, shipped

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
FACES = (
    *(f"DejaVuSans{face}.ttf" for face in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{face}.ttf" for face in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{face}.ttf" for face in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{face}.ttf" for face in ("", "Bol", "Italic", "BolIta")),
    *(f"cm{face}10.ttf" for face in ("r", "b", "ss", "ti", "tt")),
)
"""Fonts that matplotlib ships: DejaVu, STIX and Computer Modern."""
EACH = 30  # variants of a face, so that there are 630 fonts
BIG = 112  # side in pixels at which letters are drawn


def depth(inside: np.ndarray) -> np.ndarray:
    """How far each pixel is from the nearest one outside, in pixels; 0 outside."""
    return np.asarray(distance_transform_edt(inside))


def heavier(ink: np.ndarray, pixels: float) -> np.ndarray:
    """Strokes made thicker on each side by some pixels, or thinner: (H, W) uint8."""
    inside = ink > 127
    apart = depth(inside) - depth(~inside)
    return to_uint8(255 * (apart + pixels + 0.5).clip(0, 1))


def capitals(seed: int, count: int = 8000) -> Made:
    """The 26 capitals in 630 fonts, within 45 degrees and 5 % of the side, 28 x 28.

    A font is one of 21 faces with a weight, a width and a slant drawn for it: strokes up to 0.2
    pixels thinner or 0.6 thicker on each side, letters 0.75 to 1.25 times as wide, leaning by up
    to 0.25. Each image is a capital of a font, both by chance, white on black.

    Args:
        seed: seed of fonts, letters and poses.
        count: number of images.
    """
    rng = np.random.default_rng(seed)
    fonts = len(FACES) * EACH
    weight, width = rng.uniform(-0.8, 2.4, fonts), rng.uniform(0.75, 1.25, fonts)
    slant = rng.uniform(-0.25, 0.25, fonts)
    font, labels = rng.integers(fonts, size=count), rng.permutation(np.arange(count) % 26)
    faces = [shipped(name, 64) for name in FACES]
    pictures = [
        heavier(glyph(LETTERS[letter], faces[one % len(FACES)], BIG), float(weight[one]))
        for one, letter in zip(font, labels, strict=True)
    ]
    style = torch.eye(3).repeat(count, 1, 1)
    style[:, 0, 0] = torch.from_numpy(width[font])
    style[:, 0, 1] = torch.from_numpy(slant[font])
    elements = poses(rng, count, rotation=45, shift=0.05)
    stack = torch.from_numpy(np.stack(pictures))[:, None]
    images = 255 * moved(stack, torch.arange(count), elements @ style, 28)[:, 0]
    return Made(images=to_uint8(images), labels=labels, test=seventh(count), elements=elements)
