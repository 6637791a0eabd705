"""Area and brightness of images, by which people choose."""

import numpy as np
import pytest
import torch

from mcevae.images import measures
from mcevae.images.measures import measured


def discs(radii: list[float], level: float = 0.0, ink: float = 1.0) -> torch.Tensor:
    """A disc in each image, (n, 1, 40, 40) from 0 to 1."""
    down, across = torch.meshgrid(torch.arange(40) - 19.5, torch.arange(40) - 19.5, indexing="ij")
    inside = [(down**2 + across**2 < radius**2).float() for radius in radii]
    return level + (ink - level) * torch.stack(inside)[:, None]


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    return (images.clamp(0, 1) * 255).round().byte()


def test_the_area_is_the_share_of_pixels_of_the_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    radii = [0.0, 4.0, 9.0, 12.0]
    dark = as_bytes(discs(radii, 0.1, 0.9))
    expected = [float((one > 0).float().mean()) for one in discs(radii)]
    found = measured(dark, 0.1)
    assert np.allclose(found["area"], expected, atol=1e-6)
    negative = measured(255 - dark, 0.9)  # a dark thing on white
    assert np.array_equal(negative["area"], found["area"])
    assert np.allclose(negative["brightness"], 1 - found["brightness"], atol=1e-6)
    colours = torch.cat([dark, dark, torch.full_like(dark, 26)], 1)
    assert np.array_equal(measured(colours, 0.1)["area"], found["area"])
    monkeypatch.setattr(measures, "AT_ONCE", 3)
    assert np.array_equal(measured(dark, 0.1)["area"], found["area"])


def test_noise_of_the_background_is_no_area() -> None:
    noise = 0.05 * torch.randn(20, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    found = measured(as_bytes(discs([9.0] * 20, 0.4, 0.9) + noise), 0.4)["area"]
    assert np.allclose(found, np.pi * 81 / 1600, atol=0.01)


def test_brightness_is_the_mean_of_all_pixels() -> None:
    images = torch.randint(0, 256, (5, 3, 7, 9), generator=torch.Generator().manual_seed(0))
    found = measured(images.byte(), 0.0)["brightness"]
    assert np.allclose(found, images.double().mean((1, 2, 3)) / 255, atol=1e-7)
