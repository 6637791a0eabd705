"""What peers with poses share: a decoder of coordinates, and a prior of the pose."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import places
from mcevae.models.config import Config
from mcevae.models.distributions import GaussianLatent


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers of tanh units, as all networks of these peers have."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
        nn.Linear(hidden, outputs),
    )


class CoordinateDecoder(nn.Module):
    """Pixels as a function of where they lie and of a code (spatial-VAE, section 2).

    The value at p of an image moved by M is f(M^-1 p, code), so a pose costs no interpolation. The
    first layer of f is linear in both, W (M^-1 p) + V code: the code's part is computed once an
    image rather than once a pixel, and coordinates and code are never laid side by side.

    Args:
        dim: D, size of the code.
        hidden: units of both hidden layers.
        shape: (C, H, W) of the images.
    """

    points: Tensor

    def __init__(self, dim: int, hidden: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape
        self.where = nn.Linear(2, hidden, bias=False)
        self.what = nn.Linear(dim, hidden)
        self.rest = nn.Sequential(
            nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, shape[0])
        )
        across, down = places(torch.empty(1, *shape))
        grid = torch.stack(torch.broadcast_tensors(across, down), -1)  # (H, W, 2)
        self.register_buffer("points", grid.flatten(0, 1), persistent=False)

    def forward(
        self, code: Float[Tensor, "B D"], inverse: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Images of codes, values from 0 to 1, moved by the inverse of `inverse`."""
        sources = self.points @ inverse[:, :2, :2].mT + inverse[:, None, :2, 2]  # (B, H W, 2)
        hidden = self.where(2 * sources) + self.what(code)[:, None]  # published in half-sides
        logits = self.rest(hidden)  # (B, H W, C)
        return torch.sigmoid(logits.to(code.dtype)).mT.unflatten(-1, self.shape[1:])


def pose_latent(config: Config, group: MatrixGroup) -> GaussianLatent:
    """Rotation, and shift where the group has one, with prior N(0, s^2).

    Raises:
        UserError: the group does more than rotate and shift.
    """
    if group.name not in ("so2", "se2"):
        raise UserError(
            f"{config.model.kind} infers rotations and shifts only, not {group.name}; "
            "use --group so2 or --group se2."
        )
    own = config.baseline
    scale = [math.radians(own.rotation_prior), own.shift_prior, own.shift_prior]
    return GaussianLatent(group.dim, torch.tensor(scale[: group.dim]))
