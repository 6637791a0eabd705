"""Code that peers with poses share: a decoder that takes coordinates, and a prior of the pose."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.base.config import ensure, ensure_range
from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import places
from mcevae.models.config import Config
from mcevae.models.distributions import GaussianLatent
from mcevae.models.registry import PeerConfig

BY_PLACE = frozenset({"model.hidden", "objective.beta", "objective.likelihood"})
"""Settings that peers with these networks read."""


@dataclass(frozen=True, kw_only=True)
class PosePriorConfig(PeerConfig):
    """Settings of the prior of rotation and shift."""

    rotation_prior: float = 45.0
    """Standard deviation of the prior of the rotation, in degrees (presets spatial-vae, jrvae)."""
    shift_prior: float = 0.05
    """Standard deviation of the prior of the shift, in image sides (presets spatial-vae,
    jrvae)."""

    def __post_init__(self) -> None:
        ensure(self.rotation_prior > 0, "--rotation-prior must be more than 0")
        ensure(self.shift_prior > 0, "--shift-prior must be more than 0")
        ensure_range(self, rotation_prior=(0, 10_000), shift_prior=(0, 100))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Make a network with two hidden layers of tanh units, as these peers use everywhere."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
        nn.Linear(hidden, outputs),
    )


class CoordinateDecoder(nn.Module):
    """Computes each pixel from its position and the code (spatial-VAE, section 2).

    In an image that was moved by M, the value at p is f(M^-1 p, code), so no interpolation is
    needed. The first layer of f is linear in both inputs: W (M^-1 p) + V code. So the part of the
    code is computed once for each image, not once for each pixel.

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
        """Draw the images of codes, values from 0 to 1, moved by the inverse of `inverse`."""
        sources = self.points @ inverse[:, :2, :2].mT + inverse[:, None, :2, 2]  # (B, H W, 2)
        hidden = self.where(2 * sources) + self.what(code)[:, None]  # half-sides, as in the paper
        logits = self.rest(hidden)  # (B, H W, C)
        return torch.sigmoid(logits.to(code.dtype)).mT.unflatten(-1, self.shape[1:])


def pose_latent(config: Config, group: MatrixGroup) -> GaussianLatent:
    """Make the latent for the rotation, and for the shift if the group has one: prior N(0, s^2).

    Raises:
        UserError: the group has more than rotations and shifts.
    """
    if group.name not in ("so2", "se2"):
        raise UserError(
            f"{config.model.kind} finds rotations and shifts only, not group {group.name}; "
            "use --group so2 or --group se2."
        )
    own = config.own(PosePriorConfig)
    scale = [math.radians(own.rotation_prior), own.shift_prior, own.shift_prior]
    return GaussianLatent(group.dim, torch.tensor(scale[: group.dim]))
