"""The size of things is guessed from frames that nobody has looked at."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from mcevae import load
from mcevae.base.config import DataConfig
from mcevae.finding.sources import Frames
from mcevae.scenes.size import guessed_size
from tests.scenes.test_scenes import drawn

POND = Path(__file__).parents[2] / "docs" / "tutorials" / "make_pond.py"


def guess(folder: Path, frames: list[np.ndarray]) -> int | None:
    """The guess for frames of a file."""
    np.save(folder / "frames.npy", np.array(frames, np.float32))
    source = str(folder / "frames.npy")
    return guessed_size(Frames.of_files(source, DataConfig(source=source)))


def scattered(rng: np.random.Generator, pictures: list[np.ndarray], side: int) -> np.ndarray:
    """A frame with pictures of one shape at any places, of which no two are nearer than they are
    long."""
    frame, size, places = np.zeros((side, side)), len(pictures[0]), []
    for _ in range(3 * (side // size) ** 2 // 4):
        place = rng.integers(0, side - size + 1, 2)
        if all(np.hypot(*(place - other)) >= size for other in places):
            places.append(place)
            y, x = place
            frame[y : y + size, x : x + size] += pictures[rng.integers(len(pictures))]
    return frame


@pytest.mark.parametrize("size", [20, 28, 40, 56, 80])
def test_symbols_of_any_size(tmp_path: Path, size: int) -> None:
    rng, font, letters = np.random.default_rng(0), ImageFont.load_default(0.9 * size), []
    for letter in "RSKAQ4":
        for angle in rng.uniform(0, 360, 4):
            image = Image.new("L", (size, size))
            ImageDraw.Draw(image).text((size / 2, size / 2), letter, 255, font, anchor="mm")
            letters.append(np.asarray(image.rotate(angle, Image.Resampling.BICUBIC)) / 255)
    frames = [scattered(rng, letters, 9 * size) for _ in range(2)]
    found = guess(tmp_path, [f + rng.normal(0, 0.2, f.shape) for f in frames])
    assert found is not None and abs(found / size - 1) < 0.25


def test_digits_and_flat_shapes(tmp_path: Path) -> None:
    rng, digits = np.random.default_rng(0), load("mnist-mini").train.pixels[:200, 0].numpy() / 255
    frames = [scattered(rng, list(digits), 256) for _ in range(3)]
    found = guess(tmp_path, [f + rng.normal(0, 0.1, f.shape) for f in frames])
    assert found is not None and abs(found / 28 - 1) < 0.25
    found = guess(tmp_path, list(drawn(rng)[0]))
    assert (
        found is not None and abs(found / 20 - 1) < 0.25
    )  # a rim of 4 pixels around them is empty


def test_particles_at_a_tenth_of_the_noise_on_a_slope(tmp_path: Path) -> None:
    rng, particles = np.random.default_rng(0), []
    for _ in range(30):
        spots = np.zeros((36, 36))
        for _ in range(5):  # all within 24 pixels
            radius, angle = rng.uniform(2, 9), rng.uniform(0, 2 * np.pi)
            spots[int(18 + radius * np.sin(angle)), int(18 + radius * np.cos(angle))] = 1
        particles.append(gaussian_filter(spots, 2))
    frame = scattered(rng, particles, 800)
    noise = np.sqrt(np.var(particles) / 0.1)
    slope = np.linspace(0, 5 * noise, 800)
    found = guess(tmp_path, [frame + slope + rng.normal(0, noise, frame.shape)])
    assert found is not None and abs(found / 28 - 1) < 0.25


def test_dark_creatures_of_the_tutorial_on_uneven_light(tmp_path: Path) -> None:
    pond = runpy.run_path(str(POND))
    rng = np.random.default_rng(0)
    frames = [
        np.asarray(
            pond["drawn"]([pond["born"](rng) for _ in range(20)], pond["ground_of"](rng), rng)
        )
        for _ in range(4)
    ]
    found = guess(tmp_path, frames)
    assert found is not None and abs(found / 34 - 1) < 0.25


def test_large_frames_are_looked_at_in_a_window_that_is_fine_enough(tmp_path: Path) -> None:
    rng, bar = np.random.default_rng(0), np.zeros((30, 30))
    bar[3:27, 11:19] = 1
    small = scattered(rng, [bar, bar.T], 1100)
    found = guess(tmp_path, [small + rng.normal(0, 0.2, small.shape)])
    assert found is not None and abs(found / 30 - 1) < 0.25
    large = np.kron(scattered(rng, [bar, bar.T], 280), np.ones((4, 4)))
    found = guess(tmp_path, [large + rng.normal(0, 0.2, large.shape)])
    assert found is not None and abs(found / 120 - 1) < 0.25


@pytest.mark.parametrize(
    "frame", [np.full((100, 100), 0.4), np.linspace(0, 1, 10_000).reshape(100, 100)]
)
def test_no_size_where_nothing_stands_out(tmp_path: Path, frame: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    assert guess(tmp_path, [frame]) is None
    assert guess(tmp_path, [frame + rng.normal(0, 1, frame.shape)]) is None
