"""Sets of drawn things: symbols of a font, colour pictures, shapes, wafer maps and particles."""

from pathlib import Path

import numpy as np
import torch
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from sets_common import Made, moved, poses, seventh, to_uint8
from torch import Tensor

from mcevae.base.errors import UserError

BIG = 224  # side in pixels at which symbols are drawn, before they are shrunk
SYMBOLS = "✈⚓☁♕✿♞♫✎✂☠☎☂☃★☢☤☯☸☺♖♗♠♣♥⚒⚔⚖⚛✌❄"
CHIRAL = "✈♞♫✎✂☂☎☯✌⚒"
"""Symbols that differ from their mirror image."""
PICTURES = "🔑✂🐟🐘⚓🍌☂🎸"
EMOJI = "NotoColorEmoji.ttf"
EMOJI_SIZE = 109  # the one size of this font's pictures


def shipped(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that matplotlib ships, by the name of its file."""
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def glyph(sign: str, font: ImageFont.FreeTypeFont, big: int = BIG) -> np.ndarray:
    """A sign in white, in the middle of a black square: (big, big) uint8."""
    mask = Image.new("L", (big, big))
    left, top, right, bottom = font.getbbox(sign)
    where = ((big - left - right) / 2, (big - top - bottom) / 2)
    ImageDraw.Draw(mask).text(where, sign, fill=255, font=font)
    return np.asarray(mask)


def glyphs(signs: str) -> Tensor:
    """Signs of DejaVu Sans: (signs, 1, BIG, BIG) uint8."""
    font = shipped("DejaVuSans.ttf", 150)
    return torch.from_numpy(np.stack([glyph(sign, font) for sign in signs]))[:, None]


def in_turn(rng: np.random.Generator, kinds: int, each: int) -> np.ndarray:
    """Numbers of kinds, each as often as the others, in random order."""
    return rng.permutation(np.repeat(np.arange(kinds), each))


def symbols30(seed: int, each: int = 150) -> Made:
    """Thirty symbols in any direction, 56 x 56, in colour, as case 17.

    Each kind has a dark ink of its own on white paper; images differ in brightness and noise.

    Args:
        seed: seed of colours, poses and noise.
        each: images of each kind.
    """
    rng = np.random.default_rng(seed)
    labels = in_turn(rng, len(SYMBOLS), each)
    elements = poses(rng, len(labels), rotation=180, shift=0.08)
    ink = moved(glyphs(SYMBOLS), torch.from_numpy(labels), elements, 56)[:, 0, ..., None]
    colours = rng.uniform(0, 150, (len(SYMBOLS), 3))[labels][:, None, None]
    light = rng.uniform(0.7, 1, (len(labels), 1, 1, 1))
    images = ((1 - ink) * 255 + ink * colours) * light
    images += rng.normal(0, 8, images.shape)
    return Made(
        images=to_uint8(images), labels=labels, test=seventh(len(labels)), elements=elements
    )


def crowded(seed: int, each: int = 120, others: int = 2) -> Made:
    """Twelve symbols in any direction, 56 x 56, in crops that show parts of other symbols.

    Args:
        seed: seed of poses and noise.
        each: images of each kind.
        others: other symbols in an image, with their middles at its border or beyond.
    """
    rng = np.random.default_rng(seed)
    kinds = SYMBOLS[:24:2]
    labels = in_turn(rng, len(kinds), each)
    elements = poses(rng, len(labels), rotation=180, shift=0.08)
    drawn, smaller = glyphs(kinds), torch.diag(torch.tensor([0.6, 0.6, 1.0]))
    images = moved(drawn, torch.from_numpy(labels), elements @ smaller, 56)[:, 0]
    for _ in range(others):
        aside = poses(rng, len(labels), rotation=180, shift=0)
        toward = rng.uniform(0, 2 * np.pi, len(labels))
        away = torch.from_numpy(rng.uniform(0.5, 0.62, len(labels)).astype(np.float32))
        aside[:, 0, 2] = away * torch.from_numpy(np.cos(toward).astype(np.float32))
        aside[:, 1, 2] = away * torch.from_numpy(np.sin(toward).astype(np.float32))
        which = torch.from_numpy(rng.integers(0, len(kinds), len(labels)))
        images = np.maximum(images, moved(drawn, which, aside @ smaller, 56)[:, 0])
    images = 255 * images + rng.normal(0, 8, images.shape)
    return Made(
        images=to_uint8(images), labels=labels, test=seventh(len(labels)), elements=elements
    )


def mirrored(seed: int, each: int = 200) -> Made:
    """Ten symbols in any direction, mirrored by chance, 40 x 40, white on black, as case 20.

    Args:
        seed: seed of poses and noise.
        each: images of each kind.
    """
    rng = np.random.default_rng(seed)
    labels = in_turn(rng, len(CHIRAL), each)
    elements = poses(rng, len(labels), rotation=180, shift=0.08, mirror=True)
    images = 255 * moved(glyphs(CHIRAL), torch.from_numpy(labels), elements, 40)[:, 0]
    images += rng.normal(0, 8, images.shape)
    return Made(
        images=to_uint8(images), labels=labels, test=seventh(len(labels)), elements=elements
    )


def emoji(sign: str, big: int = 240) -> np.ndarray:
    """A colour picture in the middle of a square, (4, big, big): red, green, blue times opacity.

    Raises:
        UserError: the font is not installed.
    """
    try:
        font = ImageFont.truetype(EMOJI, EMOJI_SIZE)
    except OSError as error:
        raise UserError(
            f"{EMOJI}: this font is not installed; install fonts-noto-color-emoji (Debian, Ubuntu)."
        ) from error
    drawn = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(drawn).text((30, 30), sign, font=font, embedded_color=True)
    drawn = drawn.crop(drawn.getbbox())
    drawn.thumbnail((150, 150), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (big, big))
    square.paste(drawn, ((big - drawn.width) // 2, (big - drawn.height) // 2))
    pixels = np.asarray(square).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255
    return to_uint8(pixels).transpose(2, 0, 1)


def uneven(seed: int, count: int = 1500, size: int = 80) -> Made:
    """Eight colour pictures in any direction, 80 x 80, on backgrounds of many colours, as case 16.

    Each background has a colour of its own, a slope in each channel, and a little noise.

    Args:
        seed: seed of poses and backgrounds.
        count: number of images.
        size: side of the images in pixels.

    Raises:
        UserError: the font of the pictures is not installed.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(PICTURES))
    elements = poses(rng, count, rotation=180, shift=6 / 80)
    pictures = torch.from_numpy(np.stack([emoji(sign) for sign in PICTURES]))
    drawn = moved(pictures, torch.from_numpy(labels), elements, size).transpose(0, 2, 3, 1)
    across = np.linspace(-1, 1, size)[:, None]
    colour = rng.uniform(90, 235, (count, 1, 1, 3))
    slope_x, slope_y = rng.uniform(-25, 25, (2, count, 1, 1, 3))
    paper = colour + slope_x * across + slope_y * across[:, None]
    paper += rng.normal(0, 5, paper.shape)
    images = 255 * drawn[..., :3] + (1 - drawn[..., 3:]) * paper.clip(0, 255)
    return Made(images=to_uint8(images), labels=labels, test=seventh(count), elements=elements)


def shapes(big: int = 128) -> np.ndarray:
    """A bar, a cross, an open ring and an angle, white on black: (4, big, big) uint8."""
    middle, half = big / 2, 0.28 * big
    drawn = []
    for kind in ("bar", "cross", "ring", "angle"):
        image = Image.new("L", (big, big))
        draw = ImageDraw.Draw(image)

        def block(left: float, top: float, right: float, bottom: float, draw=draw) -> None:
            corners = (left, top, right, bottom)
            draw.rectangle([middle + half * corner for corner in corners], fill=255)

        if kind == "bar":
            block(-1, -0.25, 1, 0.25)
        elif kind == "cross":
            block(-1, -0.2, 1, 0.2)
            block(-0.2, -1, 0.2, 1)
        elif kind == "ring":
            box = (middle - half, middle - half, middle + half, middle + half)
            draw.arc(box, 30, 330, fill=255, width=int(0.4 * half))
        else:
            block(-1, -1, -0.5, 1)
            block(-1, 0.5, 0.6, 1)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def few_noisy(seed: int, count: int = 400) -> Made:
    """Four shapes within 80 degrees, 32 x 32, under strong noise, as case 02. Floats.

    White is 1 and black 0; the noise has a standard deviation of 2.

    Args:
        seed: seed of poses and noise.
        count: number of images.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 4)
    elements = poses(rng, count, rotation=80, shift=0.08)
    pictures = torch.from_numpy(shapes())[:, None]
    images = moved(pictures, torch.from_numpy(labels), elements, 32)[:, 0]
    images += rng.normal(0, 2, images.shape)
    return Made(
        images=images.astype(np.float32), labels=labels, test=seventh(count), elements=elements
    )


def wafers(seed: int, count: int = 600, size: int = 32) -> Made:
    """Wafer maps with four kinds of failures in any direction, as bytes 0, 1 and 2, as case 03.

    0: outside the wafer; 1: a good chip; 2: a bad chip. Kinds: an arc at the rim, a spot, a
    scratch, a quarter. A chip in a failure is bad with probability 0.9, any other with 0.02.

    Args:
        seed: seed of poses and chips.
        count: number of images.
        size: side of the images in chips.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 4)
    elements = poses(rng, count, rotation=180)
    grid = np.stack(np.meshgrid(*2 * [np.arange(size) - (size - 1) / 2]))  # x, y
    u, v = np.einsum("nji,jhw->inhw", elements[:, :2, :2].numpy(), grid)  # turned back
    radius = np.hypot(*grid)
    kinds = np.stack(
        [
            (radius > 11) & (u > 3),
            np.hypot(u - 5, v) < 4,
            (np.abs(v - 3) < 1.3) & (np.abs(u) < 9),
            (u > 1) & (v > 1) & (radius < 13),
        ]
    )
    failure = kinds[labels, np.arange(count)]
    bad = rng.random(u.shape) < np.where(failure, 0.9, 0.02)
    maps = np.where(radius < 15, 1 + bad, 0).astype(np.uint8)
    return Made(images=maps, labels=labels, test=seventh(count), elements=elements)


def noise(seed: int, ratio: float, count: int = 6000, size: int = 48) -> Made:
    """Twelve particles in any direction, 48 x 48, under white noise, as case 18. Floats.

    A particle is a sum of 5 to 8 round blobs. The same seed gives the same particles and poses at
    every ratio.

    Args:
        seed: seed of particles, poses and noise.
        ratio: signal to noise: variance of the clean images over that of the noise.
        count: number of images.
        size: side of the images in pixels.
    """
    rng = np.random.default_rng(seed)
    kinds, blobs = 12, 8
    labels = rng.integers(0, kinds, count)
    elements = poses(rng, count, rotation=180, shift=0.05)
    radius, turn = rng.uniform(0, 11, (kinds, blobs)), rng.uniform(0, 2 * np.pi, (kinds, blobs))
    width, height = rng.uniform(1.5, 3.5, (kinds, blobs)), rng.uniform(0.5, 1, (kinds, blobs))
    height *= np.arange(blobs) < rng.integers(5, blobs + 1, (kinds, 1))
    centres = np.stack((radius * np.cos(turn), radius * np.sin(turn)), -1)  # (kinds, blobs, 2)
    turned = np.einsum("nij,nbj->nbi", elements[:, :2, :2].numpy(), centres[labels])
    x, y = np.moveaxis(turned + size * elements[:, None, :2, 2].numpy(), -1, 0)[..., None]
    line = np.arange(size) - (size - 1) / 2
    spread = 2 * width[labels, :, None] ** 2
    across = height[labels, :, None] * np.exp(-((line - x) ** 2) / spread)  # (count, blobs, size)
    clean = np.einsum("nbh,nbw->nhw", np.exp(-((line - y) ** 2) / spread), across)
    images = clean + rng.normal(0, clean.std() / np.sqrt(ratio), clean.shape)
    return Made(
        images=images.astype(np.float32), labels=labels, test=seventh(count), elements=elements
    )
