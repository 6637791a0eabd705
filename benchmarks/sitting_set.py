"""The set of `sitting.py`: symbols in any direction with junk among them, as files in a folder."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from sets_common import moved, poses, to_uint8
from sets_drawn import glyphs, in_turn

KINDS = {
    "anchor": "⚓",
    "skull": "☠",
    "telephone": "☎",
    "yin and yang": "☯",
    "scissors": "✂",
    "queen": "♕",
    "knight": "♞",
    "spade": "♠",
    "club": "♣",
    "wheel": "☸",
}
FOREIGN = "☃✈☢♫⚖"
"""Symbols that do not belong there."""
JUNK = ("empty", "dirt", "half", "foreign")
SIDE = 48  # pixels


def write_set(folder: Path, count: int, share: float, seed: int) -> Path:
    """Write images as FOLDER/images/NUMBER.png, and what they show as FOLDER/truth.csv.

    Ink is dark on light paper. Images differ in brightness and noise. A quarter of the junk is
    paper without ink, a quarter is dirt, a quarter is halves of foreign symbols, and a quarter is
    foreign symbols.

    Args:
        folder: folder that is there.
        count: number of images.
        share: which share of them is junk.
        seed: seed of all chance.

    Returns:
        The folder of the images.
    """
    rng = np.random.default_rng(seed)
    junk = round(count * share)
    shown = np.resize(np.arange(len(KINDS)), count - junk)
    ink = np.concatenate([drawn(rng, "".join(KINDS.values()), shown), spoilt(rng, junk)])
    names = np.array([*np.array([*KINDS])[shown], *np.resize(JUNK, junk)])
    light = rng.uniform(0.8, 1, (count, 1, 1))
    pixels = (255 - 215 * ink) * light + rng.normal(0, 8, ink.shape)
    images = folder / "images"
    images.mkdir()
    with (folder / "truth.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "shows"])
        for number, which in enumerate(rng.permutation(count)):
            name = f"{number:05}.png"
            Image.fromarray(to_uint8(pixels[which])).save(images / name)
            rows.writerow([name, names[which]])
    return images


def drawn(rng: np.random.Generator, signs: str, which: np.ndarray) -> np.ndarray:
    """Signs in any direction, as ink from 0 to 1: (len(which), SIDE, SIDE)."""
    elements = poses(rng, len(which), rotation=180, shift=0.06)
    return moved(glyphs(signs), torch.from_numpy(which), elements, SIDE)[:, 0]


def spoilt(rng: np.random.Generator, count: int) -> np.ndarray:
    """Ink of junk, the kinds of `JUNK` in turn: (count, SIDE, SIDE)."""
    ink = drawn(rng, FOREIGN, in_turn(rng, len(FOREIGN), -(-count // len(FOREIGN)))[:count])
    kind = np.resize(np.arange(len(JUNK)), count)
    ink[kind == 0] = 0
    dirt = gaussian_filter(rng.normal(0, 1, ink.shape), (0, 2, 2))
    ink[kind == 1] = (dirt[kind == 1] * 4).clip(0, 1)
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    x, y = np.meshgrid(*2 * [np.arange(SIDE) - (SIDE - 1) / 2])
    cut = np.cos(angle) * x + np.sin(angle) * y > 0
    ink[(kind == 2)[:, None, None] & cut] = 0
    return ink
