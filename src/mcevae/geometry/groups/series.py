"""Quotients such as (e^w - 1) / w, smooth where numerator and denominator are both zero."""

import torch

from mcevae.geometry.groups.matrices import Scalar


def phi1(re: Scalar, im: Scalar) -> tuple[Scalar, Scalar]:
    """Return (e^w - 1) / w for w = re + i im, smooth through w = 0."""
    square = re * re + im * im
    small = square < 1e-2
    # `where` alone would pass on the NaN gradient of the branch it drops (0 / 0 here, overflow
    # there), so what goes into each branch is made safe too.
    near_re, near_im = torch.where(small, re, 0.0), torch.where(small, im, 0.0)
    safe = torch.where(small, 1.0, square)
    # Series 1 + w/2 (1 + w/3 (1 + ...)); at |w| < 0.1 the first term left out is below 1e-17.
    series_re, series_im = torch.ones_like(re), torch.zeros_like(im)
    for n in range(10, 1, -1):
        series_re, series_im = (
            1 + (near_re * series_re - near_im * series_im) / n,
            (near_re * series_im + near_im * series_re) / n,
        )
    # e^w - 1 without cancellation, over w.
    top_re = torch.expm1(re) * torch.cos(im) - 2 * torch.sin(im / 2) ** 2
    top_im = torch.exp(re) * torch.sin(im)
    return (
        torch.where(small, series_re, (top_re * re + top_im * im) / safe),
        torch.where(small, series_im, (top_im * re - top_re * im) / safe),
    )


def angle_over_sine(sine_squared: Scalar, cosine: Scalar) -> Scalar:
    """Return phi / sin(phi), smooth through phi = 0, for phi in (-pi, pi).

    A negative `sine_squared` means an imaginary angle i r, and r / sinh(r) is returned, or NaN when
    `cosine` is negative as well, which no r explains.
    """
    small = (sine_squared.abs() < 1e-2) & (cosine > 0)
    # Series of arcsin(s) / s in s^2; at s^2 < 0.01 the first term left out is below 1e-17.
    near = torch.where(small, sine_squared, 0.0)
    series = torch.ones_like(sine_squared)
    for n in range(7, -1, -1):
        series = 1 + series * near * (2 * n + 1) ** 2 / ((2 * n + 2) * (2 * n + 3))
    sine = torch.where(small, 1.0, sine_squared.abs()).sqrt()
    real = sine_squared > 0
    # phi = arg(cos + i sin) and r = log(cosh + sinh); each `where` keeps a gradient finite.
    hyperbolic = torch.log(torch.where(real | small, 1.0, cosine + sine))
    angle = torch.where(real, torch.atan2(sine, cosine), hyperbolic)
    return torch.where(small, series, angle / sine)
