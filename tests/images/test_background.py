"""Backgrounds are planes, whatever lies on them and whatever other images there are."""

import pytest
import torch
from torch import Tensor

from mcevae.images.background import border, fitted_plane, flattened


def sloping(count: int) -> tuple[Tensor, Tensor]:
    """Planes with a bright thing on each that touches the border, and the planes alone."""
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.rand(3, count, 3, 1, 1, generator=generator)
    across, down = torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 30)[:, None]
    planes = 0.4 + 0.2 * a + 0.1 * b * across + 0.1 * c * down
    images = planes.clone()
    images[:, :, 10:18, :9] = 1.0
    noise = 0.01 * torch.randn(images.shape, generator=generator)
    return images + noise, planes


def test_a_thing_at_the_border_does_not_tilt_the_plane() -> None:
    images, planes = sloping(20)
    found = fitted_plane(images, border(30, 40))
    assert (found - planes).abs().max() < 0.01
    flat = flattened(images, 0.5)
    assert flat[:, :, 18:].mean((2, 3)).allclose(torch.tensor(0.5), atol=0.01)


def test_a_plane_does_not_depend_on_the_images_beside_it() -> None:
    images, _ = sloping(6)
    images[3] = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(1))  # takes longest
    together = fitted_plane(images, border(30, 40))
    for image, plane in zip(images, together, strict=True):
        assert fitted_plane(image[None], border(30, 40))[0].numpy() == pytest.approx(
            plane.numpy(), abs=2e-6
        )
