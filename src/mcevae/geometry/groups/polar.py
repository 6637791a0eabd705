"""Compute the parameters that people read, by a polar decomposition of the linear part."""

import torch

from mcevae.geometry.groups.matrices import Matrix, Vector, entries
from mcevae.geometry.groups.series import angle_over_sine


def polar_parameters(M: Matrix) -> Vector:
    """Return rotation, shift_x, shift_y, log_scale, stretch and shear of any affine M, det > 0.

    M = translate(shift) . rotate(rotation) . exp(symmetric part).
    """
    # Polar decomposition: on z = x + iy the linear part is (a + ib) z + (c + id) conj(z), and
    # turning it back by the angle of a + ib leaves a symmetric positive definite matrix.
    b, x, y, a, c, d = entries(M).unbind(-1)
    size = torch.hypot(a, b)
    root_det = (a * a + b * b - c * c - d * d).sqrt()
    sinh_stretch = (a * c + b * d) / (size * root_det)
    sinh_shear = (a * d - b * c) / (size * root_det)
    ratio = angle_over_sine(-(sinh_stretch**2) - sinh_shear**2, size / root_det)
    strain = [ratio * sinh_stretch, ratio * sinh_shear]
    return torch.stack([torch.atan2(b, a), x, y, root_det.log(), *strain], dim=-1)
