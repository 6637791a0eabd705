"""Affine maps that keep orientation."""

import torch
import torch.nn.functional as F

from mcevae.geometry.groups.contract import AFFINE, MatrixGroup
from mcevae.geometry.groups.matrices import Matrix, Vector, entries, exponential, inverse_2x2
from mcevae.geometry.groups.polar import polar_parameters
from mcevae.geometry.groups.precision import full_precision
from mcevae.geometry.groups.series import angle_over_sine
from mcevae.geometry.groups.sim2 import SIM2


class Aff2(MatrixGroup):
    """Affine maps that keep orientation (det > 0).

    Coordinates: rotation, shift_x, shift_y, log_scale, stretch, shear. Two things to know: `exp`
    does not reach every element, and `log` is NaN for those it misses, whose linear part has
    negative eigenvalues and is not a half turn; `to_parameters` has no such gap.
    """

    name = "aff2"
    coordinates = AFFINE

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """See `MatrixGroup.log`; NaN where no real logarithm exists."""
        b, _, _, a, c, d = entries(M).unbind(-1)
        det = b * b + a * a - c * c - d * d
        a, b, c, d = (entry / det.sqrt() for entry in (a, b, c, d))
        # The linear part is now a I + B, with B traceless and B^2 = -sin^2(phi) I, a = cos(phi).
        # Near a half turn B is all rounding error, whose direction means nothing: call it rotation.
        half_turn = (a < 0) & (b * b + c * c + d * d < (32 * torch.finfo(M.dtype).eps) ** 2)
        sine_squared = b * b - c * c - d * d
        ratio = angle_over_sine(torch.where(half_turn, 1.0, sine_squared), a)
        rotation = torch.where(half_turn, torch.atan2(b, a), ratio * b)
        stretch, shear = (torch.where(half_turn, 0.0, ratio * entry) for entry in (c, d))
        none = torch.zeros_like(rotation)
        tau = torch.stack([rotation, none, none, 0.5 * det.log(), stretch, shear], dim=-1)
        # exp shifts by V tau_shift, where V is the top right block of exp [[L, I], [0, 0]].
        L = self.hat(tau)[..., :2, :2]
        eye = torch.eye(2, dtype=M.dtype, device=M.device).expand_as(L)
        V = exponential(F.pad(torch.cat([L, eye], dim=-1), (0, 0, 0, 2)))[..., :2, 2:]
        shift = (inverse_2x2(V) @ M[..., :2, 2:]).squeeze(-1)
        return torch.cat([tau[..., :1], shift, tau[..., 3:]], dim=-1)

    @full_precision
    def from_parameters(self, p: Vector) -> Matrix:
        """See `MatrixGroup.from_parameters`."""
        strain = exponential(self.hat(F.pad(p[..., 4:], (4, 0))))
        return SIM2().from_parameters(p[..., :4]) @ strain

    @full_precision
    def to_parameters(self, M: Matrix) -> Vector:
        """See `MatrixGroup.to_parameters`."""
        return polar_parameters(M)
