"""Matrix Lie groups acting on image coordinates, all under one contract.

An element is a plain tensor of shape (..., 3, 3): a homogeneous matrix that acts on points
(x, y, 1), its last row (0, 0, 1). Points have x to the right and y DOWN, their origin at the image
centre, and the image side as unit. Angles are radians, positive from the x axis towards the y axis,
which is clockwise on the screen.

Two coordinate systems, each of T numbers, name an element:

- tangent coordinates `tau`, with M = exp(sum_i tau_i G_i) (MCE-VAE, Bajaj, Roy, Zhang, Section 2);
- `parameters`, which people read: M = translate(shift) . rotate(rotation) . exp(symmetric part).
  The shift is where the image centre lands, the rotation is the polar angle, `log_scale` is half
  the log determinant, `stretch` and `shear` are the traceless part of the symmetric logarithm.

Every function keeps the device and dtype of its tensors; half precision is widened to float32, and
autocast is switched off inside.

>>> se2 = get_group("se2")
>>> quarter_turn = se2.exp(torch.tensor([torch.pi / 2, 0.0, 0.0]))
>>> right = torch.tensor([[0.5, 0.0]])
>>> torch.round(100 * se2.act(quarter_turn, right)).int()  # in hundredths: now below
tensor([[ 0, 50]], dtype=torch.int32)
"""

import contextlib
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

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

Matrix = Float[Tensor, "*batch 3 3"]
Vector = Float[Tensor, "*batch T"]
Scalar = Float[Tensor, "*batch"]
Device = torch.device | str | None
Dtype = torch.dtype | None
Function = TypeVar("Function", bound=Callable[..., Any])


def full_precision(function: Function) -> Function:
    """Run `function` outside autocast, its half-precision tensors widened to float32.

    At least one argument must be a tensor: the first one says whose autocast is switched off.
    """

    def widen(value: Any) -> Any:
        half = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
        return value.float() if half else value

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        first = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        kind = first.device.type
        able = torch.amp.is_autocast_available(kind)  # not the meta device, for one
        with torch.autocast(kind, enabled=False) if able else contextlib.nullcontext():
            return function(*map(widen, args), **{k: widen(v) for k, v in kwargs.items()})

    return cast(Function, run)


def wrapped(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The same angles within [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


WHOLE_CIRCLE = math.radians(170)
"""A support of rotations wider than this either way has no middle to be found."""


def within(
    angle: Float[Tensor, "*batch"], half_width: float, step: float
) -> Bool[Tensor, "*batch"]:
    """Which angles of a grid lie in a support; each stands for half a step either way."""
    if half_width > WHOLE_CIRCLE:
        return torch.ones_like(angle, dtype=torch.bool)
    return angle.abs() <= half_width + step / 2 + 1e-4  # the same on both sides, rounded or not


class MatrixGroup(ABC):
    """A group of 3x3 matrices: what every group here can do.

    A subclass sets `name` and `coordinates` and gives `log`; it overrides the rest where it has a
    closed form. Shapes broadcast over the batch as in torch.
    """

    name: str
    coordinates: tuple[str, ...]

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
        return _assemble(tau, corner=0.0)

    def vee(self, X: Matrix) -> Vector:
        """Return the coordinates of a Lie algebra element: the inverse of `hat`."""
        return _entries(X)[..., : self.dim]

    def generators(self, *, dtype: Dtype = None, device: Device = None) -> Float[Tensor, "T 3 3"]:
        """Return the basis G_i of the Lie algebra, in the order of `coordinates`."""
        return self.hat(torch.eye(self.dim, dtype=dtype, device=device))

    @full_precision
    def exp(self, tau: Vector) -> Matrix:
        """Return M = exp(sum_i tau_i G_i)."""
        return _matrix_exp(self.hat(tau))

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
        linear = _inverse_2x2(M[..., :2, :2])
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
        """Return the element with the parameters that people read (see the top of this module).

        Those of a group given by generators are its tangent coordinates.
        """
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

        Each parameter p_i is uniform over |p_i| <= support_i. Numbers are drawn on the device of
        `generator` when one is given, so that a CPU seed means the same elements everywhere.

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
        """Return how far a and b lie apart, in units people know; only what the group can change.

        - "rotation_deg": angle of the polar rotation of a^-1 b, degrees, 0 to 180;
        - "shift_side": distance between where a and b put the image centre, in sides;
        - "log_scale": |half log det| of a^-1 b;
        - "strain": norm of the stretch and shear of a^-1 b.
        """
        relative = Aff2().to_parameters(self.compose(self.inverse(a), b))
        rotation, _, _, log_scale, stretch, shear = relative.unbind(-1)
        measures = {
            "rotation_deg": torch.rad2deg(rotation.abs()),
            "shift_side": torch.linalg.vector_norm(a[..., :2, 2] - b[..., :2, 2], dim=-1),
            "log_scale": log_scale.abs(),
            "strain": torch.hypot(stretch, shear),
        }
        shown = [COORDINATES[changed][1] for changed in self._changes]
        return {measure: measures[measure] for measure in shown}

    @property
    def _changes(self) -> tuple[str, ...]:
        """Which of the six affine coordinates elements of the group differ in."""
        return self.coordinates


class _Similarity(MatrixGroup):
    """The groups of rotation, shift and scale, through one closed form.

    A point is the complex number x + iy, the linear part [[a, -b], [b, a]] is a + ib = e^w with
    w = log_scale + i rotation, and exp shifts by phi1(w) (tau_x + i tau_y), where phi1(w) =
    (e^w - 1) / w (Eade, "Lie Groups for 2D and 3D Transformations", 2017). So tangent coordinates
    and parameters differ only in that factor on the shift.
    """

    @full_precision
    def exp(self, tau: Vector) -> Matrix:
        """See `MatrixGroup.exp`; a closed form."""
        rotation, x, y, log_scale = _pad(tau, 4).unbind(-1)
        re, im = _phi1(log_scale, rotation)
        p = torch.stack([rotation, re * x - im * y, im * x + re * y, log_scale], dim=-1)
        return self.from_parameters(p[..., : self.dim])

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """See `MatrixGroup.log`; a closed form."""
        rotation, x, y, log_scale = _pad(self.to_parameters(M), 4).unbind(-1)
        re, im = _phi1(log_scale, rotation)  # zero only at whole turns, which log never returns
        square = re * re + im * im
        shift = [(re * x + im * y) / square, (re * y - im * x) / square]
        return torch.stack([rotation, *shift, log_scale], dim=-1)[..., : self.dim]

    @full_precision
    def from_parameters(self, p: Vector) -> Matrix:
        """See `MatrixGroup.from_parameters`."""
        rotation, x, y, log_scale = _pad(p, 4).unbind(-1)
        scale = log_scale.exp()
        linear_and_shift = [scale * rotation.sin(), x, y, scale * rotation.cos()]
        return _assemble(torch.stack(linear_and_shift, dim=-1), corner=1.0)

    @full_precision
    def to_parameters(self, M: Matrix) -> Vector:
        """See `MatrixGroup.to_parameters`."""
        b, x, y, a, _, _ = _entries(M).unbind(-1)
        p = torch.stack([torch.atan2(b, a), x, y, 0.5 * torch.log(a * a + b * b)], dim=-1)
        return p[..., : self.dim]


class SO2(_Similarity):
    """Rotations about the image centre. Coordinates: rotation."""

    name = "so2"
    coordinates = AFFINE[:1]


class SE2(_Similarity):
    """Rotations and shifts (MCE-VAE, eq. 1). Coordinates: rotation, shift_x, shift_y."""

    name = "se2"
    coordinates = AFFINE[:3]


class SIM2(_Similarity):
    """Rotations, shifts and scalings. Coordinates: rotation, shift_x, shift_y, log_scale."""

    name = "sim2"
    coordinates = AFFINE[:4]


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
        b, _, _, a, c, d = _entries(M).unbind(-1)
        det = b * b + a * a - c * c - d * d
        a, b, c, d = (entry / det.sqrt() for entry in (a, b, c, d))
        # The linear part is now a I + B, with B traceless and B^2 = -sin^2(phi) I, a = cos(phi).
        # Near a half turn B is all rounding error, whose direction means nothing: call it rotation.
        half_turn = (a < 0) & (b * b + c * c + d * d < (32 * torch.finfo(M.dtype).eps) ** 2)
        sine_squared = b * b - c * c - d * d
        ratio = _angle_over_sine(torch.where(half_turn, 1.0, sine_squared), a)
        rotation = torch.where(half_turn, torch.atan2(b, a), ratio * b)
        stretch, shear = (torch.where(half_turn, 0.0, ratio * entry) for entry in (c, d))
        none = torch.zeros_like(rotation)
        tau = torch.stack([rotation, none, none, 0.5 * det.log(), stretch, shear], dim=-1)
        # exp shifts by V tau_shift, where V is the top right block of exp [[L, I], [0, 0]].
        L = self.hat(tau)[..., :2, :2]
        eye = torch.eye(2, dtype=M.dtype, device=M.device).expand_as(L)
        V = _matrix_exp(F.pad(torch.cat([L, eye], dim=-1), (0, 0, 0, 2)))[..., :2, 2:]
        shift = (_inverse_2x2(V) @ M[..., :2, 2:]).squeeze(-1)
        return torch.cat([tau[..., :1], shift, tau[..., 3:]], dim=-1)

    @full_precision
    def from_parameters(self, p: Vector) -> Matrix:
        """See `MatrixGroup.from_parameters`."""
        strain = _matrix_exp(self.hat(F.pad(p[..., 4:], (4, 0))))
        return SIM2().from_parameters(p[..., :4]) @ strain

    @full_precision
    def to_parameters(self, M: Matrix) -> Vector:
        """See `MatrixGroup.to_parameters`."""
        # Polar decomposition: on z = x + iy the linear part is (a + ib) z + (c + id) conj(z), and
        # turning it back by the angle of a + ib leaves a symmetric positive definite matrix.
        b, x, y, a, c, d = _entries(M).unbind(-1)
        size = torch.hypot(a, b)
        root_det = (a * a + b * b - c * c - d * d).sqrt()
        sinh_stretch = (a * c + b * d) / (size * root_det)
        sinh_shear = (a * d - b * c) / (size * root_det)
        ratio = _angle_over_sine(-(sinh_stretch**2) - sinh_shear**2, size / root_det)
        strain = [ratio * sinh_stretch, ratio * sinh_shear]
        return torch.stack([torch.atan2(b, a), x, y, root_det.log(), *strain], dim=-1)


class GeneratorGroup(MatrixGroup):
    """The group that a list of generators spans; its parameters are its tangent coordinates.

    `exp` is the general one; `log` is that of `Aff2`, projected on the generators by least squares.

    Args:
        generators: T matrices of shape (3, 3), last row zero, in the coordinates of this module.
        name: what messages call the group.
        coordinates: T names of tangent coordinates; by default tau_0, tau_1, ...

    Raises:
        ValueError: wrong shapes, values or number of names, generators that depend linearly on
            each other, or whose brackets G_i G_j - G_j G_i leave their span.
    """

    def __init__(
        self,
        generators: Sequence[Any],
        name: str = "generators",
        coordinates: Sequence[str] | None = None,
    ) -> None:
        """Check the generators and keep their coordinates."""
        self.name = name
        matrices = [torch.as_tensor(G, dtype=torch.float64, device="cpu") for G in generators]
        if coordinates is None:
            coordinates = [f"tau_{i}" for i in range(len(matrices))]
        if len(coordinates) != len(matrices):
            raise ValueError(
                f"{len(matrices)} generators have {len(coordinates)} coordinate names."
            )
        self.coordinates = tuple(coordinates)
        self._basis = _check_algebra(matrices)  # (T, 6): generators in affine coordinates
        self._projection = torch.linalg.pinv(self._basis)  # (6, T)

    def hat(self, tau: Vector) -> Matrix:
        """See `MatrixGroup.hat`."""
        return _assemble(tau @ self._basis.to(tau.dtype).to(tau.device), corner=0.0)

    def vee(self, X: Matrix) -> Vector:
        """See `MatrixGroup.vee`; X outside the algebra is projected on it."""
        return _entries(X) @ self._projection.to(X.dtype).to(X.device)

    @full_precision
    def log(self, M: Matrix) -> Vector:
        """Return the logarithm in the affine group, projected on the generators."""
        return self.vee(_assemble(Aff2().log(M), corner=0.0))

    @property
    def _changes(self) -> tuple[str, ...]:
        touched = self._basis.abs().amax(dim=0) > 0
        return tuple(name for name, moved in zip(AFFINE, touched, strict=True) if moved)


GROUPS = {group.name: group for group in (SO2, SE2, SIM2, Aff2)}


def get_group(name: str) -> MatrixGroup:
    """Return the group called "so2", "se2", "sim2" or "aff2".

    Raises:
        ValueError: there is no such group; the message lists those there are.
    """
    if name not in GROUPS:
        raise ValueError(f"There is no group {name!r}; choose one of {', '.join(GROUPS)}.")
    return GROUPS[name]()


def _check_algebra(generators: list[Tensor]) -> Float[Tensor, "T 6"]:
    """Return the generators in affine coordinates, or raise ValueError if they span no algebra."""
    if not generators or any(G.shape != (3, 3) for G in generators):
        shapes = [tuple(G.shape) for G in generators]
        raise ValueError(f"Generators must be one or more 3x3 matrices, but have shapes {shapes}.")
    G = torch.stack(generators)
    if not G.isfinite().all() or G[:, 2].any():
        raise ValueError("Generators must be finite, and their last row must be zero.")
    basis = _entries(G)
    tolerance = 1e-6  # allows for generators that were rounded to float32
    if torch.linalg.matrix_rank(basis, rtol=tolerance) < len(G):
        raise ValueError("Generators must be linearly independent.")
    products = G[:, None] @ G[None, :]
    brackets = _entries(products - products.transpose(0, 1))  # (T, T, 6)
    outside = brackets - brackets @ torch.linalg.pinv(basis) @ basis
    if outside.abs().max() > tolerance * G.abs().max() ** 2:
        i, j = divmod(int(outside.abs().amax(dim=-1).argmax()), len(G))
        raise ValueError(
            f"Generators must be closed under the bracket, but that of numbers {i} and {j} "
            "lies outside their span."
        )
    return basis


def _pad(v: Float[Tensor, "*batch n"], size: int) -> Float[Tensor, "*batch size"]:
    """Append zeros: the coordinates a smaller group leaves at rest."""
    return F.pad(v, (0, size - v.shape[-1]))


def _assemble(v: Float[Tensor, "*batch n"], corner: float) -> Matrix:
    """Return sum_i v_i E_i, with E_i the affine generators, and `corner` at the bottom right."""
    rotation, x, y, scale, stretch, shear = _pad(v, 6).unbind(-1)
    zero = torch.zeros_like(x)
    rows = [
        *(scale + stretch, shear - rotation, x),
        *(shear + rotation, scale - stretch, y),
        *(zero, zero, zero + corner),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _entries(X: Matrix) -> Vector:
    """Return the six v_i of `_assemble`."""
    p, q, x = X[..., 0, :].unbind(-1)
    r, s, y = X[..., 1, :].unbind(-1)
    return torch.stack([(r - q) / 2, x, y, (p + s) / 2, (p - s) / 2, (r + q) / 2], dim=-1)


def _inverse_2x2(A: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch 2 2"]:
    p, q, r, s = A.flatten(-2).unbind(-1)
    adjugate = torch.stack([s, -q, -r, p], dim=-1).unflatten(-1, (2, 2))
    return adjugate / (p * s - q * r)[..., None, None]


def _matrix_exp(X: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """Return the matrix exponential of X, of norm up to about 10, by scaling and squaring.

    `torch.matrix_exp` waits for the host, is missing on some devices, and gives one matrix alone
    fewer digits than a batch (pytorch issue 196592). Working on E = exp(X / 2^s) - I, of which
    exp(2X / 2^s) - I = 2E + E^2, keeps small X exact (Higham, "Functions of Matrices", 2008, 10.3).
    """
    squarings = 6
    step = X / 2**squarings
    eye = torch.eye(X.shape[-1], dtype=X.dtype, device=X.device)
    E = step / 10
    for n in range(9, 0, -1):  # step + step^2 / 2! + ... + step^10 / 10!
        E = step @ (eye + E) / n
    for _ in range(squarings):
        E = 2 * E + E @ E
    return eye + E


def _phi1(re: Scalar, im: Scalar) -> tuple[Scalar, Scalar]:
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


def _angle_over_sine(sine_squared: Scalar, cosine: Scalar) -> Scalar:
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
