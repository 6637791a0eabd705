"""Blurring keeps sums, is what it says at the border, and leaves channels apart."""

import pytest
import torch

from mcevae.teaching.blur import gaussian_blur


def test_a_point_becomes_a_gaussian() -> None:
    image = torch.zeros(1, 1, 31, 31)
    image[..., 15, 15] = 1
    blurred = gaussian_blur(image, 2.0)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    place = torch.arange(31.0) - 15
    variance = (blurred[0, 0].sum(0) * place.square()).sum()
    assert variance.item() == pytest.approx(4, rel=0.02)
    assert blurred.allclose(blurred.mT, atol=1e-7)


def test_what_lies_outside_is_the_nearest_pixel_or_nothing() -> None:
    white = torch.ones(2, 3, 16, 20)
    assert gaussian_blur(white, 1.5).allclose(white)
    dark = gaussian_blur(white, 1.5, outside="zero")
    assert dark[..., 8, 10].allclose(torch.ones(2, 3), atol=1e-3) and dark[..., 0, 0].max() < 0.5


def test_channels_are_apart_and_none_is_none() -> None:
    images = torch.rand(2, 3, 16, 16)
    assert gaussian_blur(images, 0.0) is images
    assert gaussian_blur(images, 1.0)[:, 1:2].allclose(gaussian_blur(images[:, 1:2], 1.0))
