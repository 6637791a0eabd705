"""3x3 matrices and their six affine coordinates; small functions that every group shares."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Matrix = Float[Tensor, "*batch 3 3"]
Vector = Float[Tensor, "*batch T"]
Scalar = Float[Tensor, "*batch"]


def pad(v: Float[Tensor, "*batch n"], size: int) -> Float[Tensor, "*batch size"]:
    """Append zeros for the coordinates that a smaller group does not have."""
    return F.pad(v, (0, size - v.shape[-1]))


def assemble(v: Float[Tensor, "*batch n"], corner: float) -> Matrix:
    """Return sum_i v_i E_i, with E_i the affine generators, and `corner` at the bottom right."""
    rotation, x, y, scale, stretch, shear = pad(v, 6).unbind(-1)
    zero = torch.zeros_like(x)
    rows = [
        *(scale + stretch, shear - rotation, x),
        *(shear + rotation, scale - stretch, y),
        *(zero, zero, zero + corner),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def entries(X: Matrix) -> Vector:
    """Return the six v_i of `assemble`."""
    p, q, x = X[..., 0, :].unbind(-1)
    r, s, y = X[..., 1, :].unbind(-1)
    return torch.stack([(r - q) / 2, x, y, (p + s) / 2, (p - s) / 2, (r + q) / 2], dim=-1)


def inverse_2x2(A: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch 2 2"]:
    """Return the inverse of invertible 2x2 matrices, by their adjugate."""
    p, q, r, s = A.flatten(-2).unbind(-1)
    adjugate = torch.stack([s, -q, -r, p], dim=-1).unflatten(-1, (2, 2))
    return adjugate / (p * s - q * r)[..., None, None]


def exponential(X: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
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
