"""Groups with mirror images: O(2), E(2), and SIM(2) and Aff(2) with reflections.

An element is M = P F^s. F is the mirror image left-right, x -> -x, which is applied first; s is 0
or 1; and P, the proper part, is an element of a group that keeps orientation. The sign of the
determinant says what s is, so an element is still a plain 3 x 3 matrix.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mcevae.geometry.groups.contract import Device, Dtype, MatrixGroup
from mcevae.geometry.groups.matrices import Matrix, Scalar, Vector
from mcevae.geometry.groups.precision import full_precision

MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
"""F, which exchanges left and right."""


def mirrored(M: Matrix) -> Bool[Tensor, "*batch"]:
    """Tell which elements turn left into right (s = 1)."""
    return M[..., 0, 0] * M[..., 1, 1] < M[..., 0, 1] * M[..., 1, 0]


def reflect(M: Matrix, which: Bool[Tensor, "*batch"]) -> Matrix:
    """Return M F where `which` is True, and M elsewhere."""
    left = 1 - 2 * which.to(M.dtype)
    one = torch.ones_like(left)
    return M * torch.stack([left, one, one], dim=-1)[..., None, :]


def proper_part(M: Matrix) -> Matrix:
    """Return P of M = P F^s."""
    return reflect(M, mirrored(M))


class Reflected(MatrixGroup):
    """A group of affine maps, together with its reflections.

    Tangent coordinates and parameters are those of the proper part. So `exp` and `from_parameters`
    give proper elements, which `reflect` makes mirrored ones; `log` and `to_parameters` do not tell
    whether an element is mirrored, and `mirrored` does.

    Args:
        proper: the group of the proper parts: so2, se2, sim2 or aff2. Its elements must stay in it
            when x is exchanged for -x, which is not so for every group given by generators.

    Raises:
        ValueError: `proper` is given by generators.
    """

    mirrors = True

    def __init__(self, proper: MatrixGroup) -> None:
        if not proper.polar:
            raise ValueError(f"The group {proper.name!r} is given by generators: it has no mirror.")
        self.proper = proper
        self.name, self.coordinates = proper.name, proper.coordinates

    @full_precision
    def exp(self, tau: Vector) -> Matrix:
        """Return the proper element exp(sum_i tau_i G_i)."""
        return self.proper.exp(tau)

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """Return the principal logarithm of the proper part."""
        return self.proper.log(proper_part(M))

    @full_precision
    def from_parameters(self, p: Vector) -> Matrix:
        """Return the proper element with these parameters."""
        return self.proper.from_parameters(p)

    @full_precision
    def to_parameters(self, M: Matrix) -> Vector:
        """Return the parameters of the proper part."""
        return self.proper.to_parameters(proper_part(M))

    def sample(
        self,
        batch: int | Sequence[int],
        support: Sequence[float],
        *,
        generator: torch.Generator | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> Matrix:
        """Draw proper parts as `MatrixGroup.sample` does, and mirror each with probability 1/2.

        Args:
            batch: number of elements, or the shape of the batch.
            support: T half-widths of the proper parts, finite and >= 0.
            generator: draws the numbers, see `MatrixGroup.sample`.
            dtype: type of the elements.
            device: device of the elements.
        """
        M = self.proper.sample(batch, support, generator=generator, dtype=dtype, device=device)
        source = device if generator is None else generator.device
        coin = torch.rand(M.shape[:-2], generator=generator, device=source) < 0.5
        return reflect(M, coin.to(M.device))

    @full_precision
    def distance(
        self, a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]
    ) -> dict[str, Scalar]:
        """Return how far the proper parts lie apart, and in "mirrored" 1 if only one is mirrored.

        See `MatrixGroup.distance`. The distances do not change under a common move.
        """
        apart = self.proper.distance(proper_part(a), proper_part(b))
        return {**apart, "mirrored": (mirrored(a) ^ mirrored(b)).to(a.dtype)}
