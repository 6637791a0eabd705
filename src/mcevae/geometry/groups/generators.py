"""Groups that are defined by a list of generators."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups.aff2 import Aff2
from mcevae.geometry.groups.contract import AFFINE, MatrixGroup
from mcevae.geometry.groups.matrices import Matrix, Vector, assemble, entries
from mcevae.geometry.groups.precision import full_precision


class GeneratorGroup(MatrixGroup):
    """The group that a list of generators spans; its parameters are its tangent coordinates.

    `exp` is the general one; `log` is that of `Aff2`, projected on the generators by least squares.

    Args:
        generators: T matrices of shape (3, 3), last row zero, in the coordinates of this module.
        name: what messages call the group.
        coordinates: T names of tangent coordinates; by default tau_0, tau_1, ...
        units: T units of them; by default those of the standard coordinates, "1" of all others.
        half_widths: T half-widths of the support; by default it depends on settings for the
            standard coordinates, as that of a named group does.

    Raises:
        ValueError: wrong shapes, values or number of names, generators that depend linearly on
            each other, or whose brackets G_i G_j - G_j G_i leave their span.
    """

    polar = False

    def __init__(
        self,
        generators: Sequence[Any],
        name: str = "generators",
        coordinates: Sequence[str] | None = None,
        *,
        units: Sequence[str] | None = None,
        half_widths: Sequence[float] | None = None,
    ) -> None:
        """Check the generators and keep their coordinates."""
        self.name = name
        matrices = [torch.as_tensor(G, dtype=torch.float64, device="cpu") for G in generators]
        if coordinates is None:
            coordinates = [f"tau_{i}" for i in range(len(matrices))]
        listed = {"coordinate names": coordinates, "units": units, "half-widths": half_widths}
        for what, values in listed.items():
            if values is not None and len(values) != len(matrices):
                raise ValueError(f"{len(matrices)} generators have {len(values)} {what}.")
        self.coordinates = tuple(coordinates)
        self._units, self._half_widths = units, half_widths
        self._basis = checked_algebra(matrices)  # (T, 6): generators in affine coordinates
        self._projection = torch.linalg.pinv(self._basis)  # (6, T)

    @property
    def units(self) -> tuple[str, ...]:
        """See `MatrixGroup.units`."""
        return super().units if self._units is None else tuple(self._units)

    def support(self, **settings: float) -> tuple[float, ...]:
        """See `MatrixGroup.support`; half-widths that were given stand whatever the settings."""
        if self._half_widths is None:
            return super().support(**settings)
        return tuple(self._half_widths)

    def hat(self, tau: Vector) -> Matrix:
        """See `MatrixGroup.hat`."""
        return assemble(tau @ self._basis.to(tau.dtype).to(tau.device), corner=0.0)

    def vee(self, X: Matrix) -> Vector:
        """See `MatrixGroup.vee`; X outside the algebra is projected on it."""
        return entries(X) @ self._projection.to(X.dtype).to(X.device)

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """Return the logarithm in the affine group, projected on the generators."""
        return self.vee(assemble(Aff2().log(M), corner=0.0))

    @property
    def changes(self) -> tuple[str, ...]:
        """See `MatrixGroup.changes`."""
        touched = self._basis.abs().amax(dim=0) > 0
        return tuple(name for name, moved in zip(AFFINE, touched, strict=True) if moved)


def checked_algebra(generators: list[Tensor]) -> Float[Tensor, "T 6"]:
    """Return the generators in affine coordinates, or raise ValueError if they span no algebra."""
    if not generators or any(G.shape != (3, 3) for G in generators):
        shapes = [tuple(G.shape) for G in generators]
        raise ValueError(f"Generators must be one or more 3x3 matrices, but have shapes {shapes}.")
    G = torch.stack(generators)
    if not G.isfinite().all() or G[:, 2].any():
        raise ValueError("Generators must be finite, and their last row must be zero.")
    basis = entries(G)
    tolerance = 1e-6  # allows for generators that were rounded to float32
    if torch.linalg.matrix_rank(basis, rtol=tolerance) < len(G):
        raise ValueError("Generators must be linearly independent.")
    products = G[:, None] @ G[None, :]
    brackets = entries(products - products.transpose(0, 1))  # (T, T, 6)
    outside = brackets - brackets @ torch.linalg.pinv(basis) @ basis
    if outside.abs().max() > tolerance * G.abs().max() ** 2:
        i, j = divmod(int(outside.abs().amax(dim=-1).argmax()), len(G))
        raise ValueError(
            f"Generators must be closed under the bracket, but that of numbers {i} and {j} "
            "lies outside their span."
        )
    return basis
