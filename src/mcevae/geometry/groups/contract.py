"""`MatrixGroup`: the methods that every group has."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups.matrices import (
    Matrix,
    Scalar,
    Vector,
    assemble,
    entries,
    exponential,
    inverse_2x2,
)
from mcevae.geometry.groups.polar import polar_parameters
from mcevae.geometry.groups.precision import full_precision

# The six coordinates of the affine group, each with its unit and the entry of `distance` that
# a difference in it shows in. Every named group takes the first few.
COORDINATES = {
    "rotation": ("rad", "rotation_deg"),
    "shift_x": ("side", "shift_side"),
    "shift_y": ("side", "shift_side"),
    "log_scale": ("log", "log_scale"),
    "stretch": ("log", "strain"),
    "shear": ("log", "strain"),
}
AFFINE = tuple(COORDINATES)

Device = torch.device | str | None
Dtype = torch.dtype | None


class MatrixGroup(ABC):
    """A group of 3x3 matrices, with the methods that every group has.

    A subclass sets `name` and `coordinates` and implements `log`. It overrides other methods if it
    has a closed form for them. Shapes broadcast over the batch as in torch.

    Attributes:
        name: what messages and files call the group.
        coordinates: T names.
        polar: whether its parameters are a polar decomposition, the rotation first; those of a
            group given by generators are its tangent coordinates.
        mirrors: whether it has reflections; see `Reflected`.
    """

    name: str
    coordinates: tuple[str, ...]
    polar: bool = True
    mirrors: bool = False

    @property
    def dim(self) -> int:
        """T, the number of coordinates."""
        return len(self.coordinates)

    @property
    def units(self) -> tuple[str, ...]:
        """One unit per coordinate: "rad", "side", "log", or "1" for a coordinate of your own."""
        return tuple(COORDINATES.get(name, ("1",))[0] for name in self.coordinates)

    def hat(self, tau: Vector) -> Matrix:
        """Return the Lie algebra element sum_i tau_i G_i."""
        return assemble(tau, corner=0.0)

    def vee(self, X: Matrix) -> Vector:
        """Return the coordinates of a Lie algebra element: the inverse of `hat`."""
        return entries(X)[..., : self.dim]

    def generators(self, *, dtype: Dtype = None, device: Device = None) -> Float[Tensor, "T 3 3"]:
        """Return the basis G_i of the Lie algebra, in the order of `coordinates`."""
        return self.hat(torch.eye(self.dim, dtype=dtype, device=device))

    @full_precision
    def exp(self, tau: Vector) -> Matrix:
        """Return M = exp(sum_i tau_i G_i)."""
        return exponential(self.hat(tau))

    @abstractmethod
    def log(self, M: Matrix) -> Vector:
        """Return the principal logarithm, its rotation within [-pi, pi], for M in the group."""

    @full_precision
    def compose(self, a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]) -> Matrix:
        """Return a b: first b, then a."""
        return a @ b

    @full_precision
    def inverse(self, M: Matrix) -> Matrix:
        """Return M^-1 in closed form, for any invertible affine M."""
        linear = inverse_2x2(M[..., :2, :2])
        moving_rows = torch.cat([linear, -linear @ M[..., :2, 2:]], dim=-1)
        return torch.cat([moving_rows, M[..., 2:, :]], dim=-2)

    @full_precision
    def adjoint(self, M: Matrix) -> Float[Tensor, "*batch T T"]:
        """Return Ad_M, for which M exp(tau) M^-1 = exp(Ad_M tau)."""
        G = self.generators(dtype=M.dtype, device=M.device)
        moved = M[..., None, :, :] @ G @ self.inverse(M)[..., None, :, :]  # (..., T, 3, 3)
        return self.vee(moved).mT  # column i holds the coordinates of M G_i M^-1

    @full_precision
    def act(
        self, M: Float[Tensor, "*#batch 3 3"], points: Float[Tensor, "*#batch N 2"]
    ) -> Float[Tensor, "*batch N 2"]:
        """Move points (x, y), given in image sides from the centre."""
        return points @ M[..., :2, :2].mT + M[..., None, :2, 2]

    def identity(
        self, *batch: int | torch.SymInt, dtype: Dtype = None, device: Device = None
    ) -> Matrix:
        """Return the identity, once for each place of the batch shape."""
        return torch.eye(3, dtype=dtype, device=device).repeat(*batch, 1, 1)

    def from_parameters(self, p: Vector) -> Matrix:
        """Return the element with the parameters that people read (see `polar`)."""
        return self.exp(p)

    def to_parameters(self, M: Matrix) -> Vector:
        """Return the parameters of M, its rotation within [-pi, pi]: undoes `from_parameters`."""
        return self.log(M)

    def support(
        self,
        *,
        rotation_deg: float = 90.0,
        shift: float = 0.25,
        scale: float = 1.0,
        strain: float = 0.0,
    ) -> tuple[float, ...]:
        """Return the T half-widths that `sample` takes, from settings that people think in.

        Settings the group has no coordinate for are ignored. The defaults are the paper's.

        Args:
            rotation_deg: largest rotation either way, degrees, 0 to 180.
            shift: largest shift either way along x and along y, as a fraction of the side, >= 0.
            scale: largest magnification, and the inverse of the smallest, >= 1.
            strain: largest stretch and shear either way, as logarithms, >= 0.

        Raises:
            ValueError: a setting is out of its range, or the group has a coordinate of its own.
        """
        if not 0 <= rotation_deg <= 180:
            raise ValueError(f"rotation_deg must lie between 0 and 180, but is {rotation_deg}.")
        limits = [("shift", shift, 0), ("scale", scale, 1), ("strain", strain, 0)]
        for setting, value, least in limits:
            if not least <= value < math.inf:
                raise ValueError(f"{setting} must be finite and at least {least}, but is {value}.")
        half_widths = (math.radians(rotation_deg), shift, shift, math.log(scale), strain, strain)
        widths = dict(zip(AFFINE, half_widths, strict=True))
        unknown = [coordinate for coordinate in self.coordinates if coordinate not in widths]
        if unknown:
            raise ValueError(
                f"No setting describes the coordinates {unknown} of the group {self.name!r}; "
                f"give `sample` a tuple of {self.dim} half-widths instead."
            )
        return tuple(widths[coordinate] for coordinate in self.coordinates)

    def sample(
        self,
        batch: int | Sequence[int],
        support: Sequence[float],
        *,
        generator: torch.Generator | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> Matrix:
        """Draw elements uniformly over a finite support (MCE-VAE, Section 3.1, below eq. 6).

        Each parameter p_i is uniform over |p_i| <= support_i.

        Args:
            batch: number of elements, or the shape of the batch.
            support: T half-widths, finite and >= 0.
            generator: draws the numbers, on its own device, so that a CPU seed gives the same
                elements on every device. None: torch's global generator.
            dtype: type of the elements.
            device: device of the elements.
        Raises:
            ValueError: `support` is not T finite numbers >= 0.
        """
        if len(support) != self.dim or not all(0 <= width < math.inf for width in support):
            raise ValueError(
                f"The support of {self.name!r} must be {self.dim} finite half-widths >= 0, one for "
                f"each of {self.coordinates}, but is {tuple(support)}."
            )
        shape = (batch,) if isinstance(batch, int) else tuple(batch)
        source = device if generator is None else generator.device
        uniform = torch.rand(*shape, self.dim, generator=generator, dtype=dtype, device=source)
        uniform = uniform.to(device)
        return self.from_parameters((2 * uniform - 1) * uniform.new_tensor(support))

    @full_precision
    def distance(
        self, a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]
    ) -> dict[str, Scalar]:
        """Return how far a and b lie apart, in common units; only for what the group can change.

        - "rotation_deg": angle of the polar rotation of a^-1 b, degrees, 0 to 180;
        - "shift_side": distance between where a and b put the image centre, in sides;
        - "log_scale": |half log det| of a^-1 b;
        - "strain": norm of the stretch and shear of a^-1 b.
        """
        relative = polar_parameters(self.compose(self.inverse(a), b))
        rotation, _, _, log_scale, stretch, shear = relative.unbind(-1)
        measures = {
            "rotation_deg": torch.rad2deg(rotation.abs()),
            "shift_side": torch.linalg.vector_norm(a[..., :2, 2] - b[..., :2, 2], dim=-1),
            "log_scale": log_scale.abs(),
            "strain": torch.hypot(stretch, shear),
        }
        shown = [COORDINATES[changed][1] for changed in self.changes]
        return {measure: measures[measure] for measure in shown}

    @property
    def changes(self) -> tuple[str, ...]:
        """The affine coordinates, out of six, that elements of the group can change."""
        return self.coordinates
