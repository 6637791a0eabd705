"""Shared code of the groups of rotation, shift and scale."""

import torch

from mcevae.geometry.groups.contract import MatrixGroup
from mcevae.geometry.groups.matrices import Matrix, Vector, assemble, entries, pad
from mcevae.geometry.groups.precision import full_precision
from mcevae.geometry.groups.series import phi1


class Similarity(MatrixGroup):
    """Base class of the groups of rotation, shift and scale, which share a closed form.

    A point is the complex number x + iy, the linear part [[a, -b], [b, a]] is a + ib = e^w with
    w = log_scale + i rotation, and exp shifts by phi1(w) (tau_x + i tau_y), where phi1(w) =
    (e^w - 1) / w (Eade, "Lie Groups for 2D and 3D Transformations", 2017). So tangent coordinates
    and parameters differ only in that factor on the shift.
    """

    @full_precision
    def exp(self, tau: Vector) -> Matrix:
        """See `MatrixGroup.exp`; a closed form."""
        rotation, x, y, log_scale = pad(tau, 4).unbind(-1)
        re, im = phi1(log_scale, rotation)
        p = torch.stack([rotation, re * x - im * y, im * x + re * y, log_scale], dim=-1)
        return self.from_parameters(p[..., : self.dim])

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """See `MatrixGroup.log`; a closed form."""
        rotation, x, y, log_scale = pad(self.to_parameters(M), 4).unbind(-1)
        re, im = phi1(log_scale, rotation)  # zero only at whole turns, which log never returns
        square = re * re + im * im
        shift = [(re * x + im * y) / square, (re * y - im * x) / square]
        return torch.stack([rotation, *shift, log_scale], dim=-1)[..., : self.dim]

    @full_precision
    def from_parameters(self, p: Vector) -> Matrix:
        """See `MatrixGroup.from_parameters`."""
        rotation, x, y, log_scale = pad(p, 4).unbind(-1)
        scale = log_scale.exp()
        linear_and_shift = [scale * rotation.sin(), x, y, scale * rotation.cos()]
        return assemble(torch.stack(linear_and_shift, dim=-1), corner=1.0)

    @full_precision
    def to_parameters(self, M: Matrix) -> Vector:
        """See `MatrixGroup.to_parameters`."""
        b, x, y, a, _, _ = entries(M).unbind(-1)
        p = torch.stack([torch.atan2(b, a), x, y, 0.5 * torch.log(a * a + b * b)], dim=-1)
        return p[..., : self.dim]
