"""Fourier ring correlation: what is known of it from theory."""

import math

import pytest
import torch
from torch import Tensor

from mcevae.runs.ring_correlation import RingCorrelation, ring_correlation


def filtered(noise: Tensor, gain: Tensor) -> Tensor:
    """Noise with each frequency multiplied."""
    return torch.fft.ifft2(torch.fft.fft2(noise) * gain).real


def radius(height: int, width: int) -> Tensor:
    """Frequency of each coefficient, cycles in a pixel."""
    return torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 40, 61)])
def test_identical_halves_agree_wholly_down_to_two_pixels(shape: tuple[int, int, int]) -> None:
    found = ring_correlation(noise(0, *shape), noise(0, *shape))
    assert torch.allclose(found.correlation, torch.ones(max(shape) // 2), atol=1e-5)
    finest = 1 / found.frequency[-1].item()
    assert found.resolution() == pytest.approx(finest) and finest == pytest.approx(2, rel=0.02)
    opposite = ring_correlation(noise(0, *shape), -noise(0, *shape))
    assert opposite.correlation.max() < -0.999 and opposite.resolution() is None


def test_brightness_and_contrast_do_not_matter() -> None:
    a, b = noise(0, 1, 48, 48), noise(0, 1, 48, 48) + 0.5 * noise(1, 1, 48, 48)
    one, other = ring_correlation(a, b), ring_correlation(5 + 3 * a, b - 7)
    assert torch.allclose(one.correlation, other.correlation, atol=1e-4)


def test_independent_noise_does_not_agree() -> None:
    found = ring_correlation(noise(1, 1, 256, 256), noise(2, 1, 256, 256))
    assert found.correlation[16:].abs().mean() < 0.06
    resolution = found.resolution()
    assert resolution is None or resolution > 16


@pytest.mark.parametrize("size", [(256, 256), (256, 192)])
def test_agreement_ends_where_noise_outweighs_the_signal(size: tuple[int, int]) -> None:
    """Theory: correlation = S / (S + N), for power S of the signal and N of each half's noise.

    S = exp(-(f / w)^2) and N = 0.1 give the frequency at which the correlation is a threshold.
    """
    width, power = 0.12, 0.1
    gain = torch.exp(-((radius(*size) / width) ** 2) / 2)
    thing = filtered(noise(0, 1, *size), gain)
    halves = [thing + math.sqrt(power) * noise(seed, 1, *size) for seed in (1, 2)]
    found = ring_correlation(*halves)
    for threshold in (0.143, 0.5):
        ratio = threshold / (1 - threshold) * power
        expected = 1 / (width * math.sqrt(-math.log(ratio)))
        assert found.resolution(threshold) == pytest.approx(expected, rel=0.1)


def test_what_no_image_covers_does_not_count_as_agreement() -> None:
    a, b = noise(1, 1, 128, 128), noise(2, 1, 128, 128)
    a[..., :64] = b[..., :64] = noise(3, 128, 64)  # the same in both, because it is not seen
    covered = torch.ones(128, 128)
    covered[:, :64] = 0
    assert ring_correlation(a, b).correlation[8:].mean() > 0.4
    assert ring_correlation(a, b, covered).correlation[8:].mean().abs() < 0.06


def test_the_resolution_lies_between_rings() -> None:
    found = RingCorrelation(
        frequency=torch.tensor([0.1, 0.2, 0.3]), correlation=torch.tensor([1.0, 0.6, 0.0])
    )
    assert found.resolution(0.5) == pytest.approx(1 / (0.2 + 0.1 / 6))
    assert found.resolution(0.6) == pytest.approx(5.0, rel=1e-5)
