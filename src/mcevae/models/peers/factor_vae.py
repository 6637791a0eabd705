r"""FactorVAE (Kim, Mnih, 2018, "Disentangling by Factorising").

The ELBO less gamma times the total correlation of the code, their eq. (2):
:math:`KL(q(z) \| \prod_d q(z_d))`. A discriminator tells codes from codes whose coordinates come
from different images each; D being its probability of the former, the total correlation is the
mean of :math:`\log D(z) / (1 - D(z))`, eq. (3), which is its logit.

Of the paper: a discriminator of 6 hidden layers of leaky ReLU (slope 0.2; 1000 units there, as
many as the extractor has here), one draw an image, and gamma, for which it tries values up to 100
(best near 35 on dSprites; 10 here, `--gamma`). Otherwise than there: the permuted codes are fresh
draws for the same batch rather than for a second one, and encoder, decoder and discriminator share
one Adam instead of having two (1e-4 each, the discriminator's with betas 0.5 and 0.9; batches of
64, codes of 10).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.func import functional_call

from mcevae.base.config import MOST_WEIGHT, ensure_range
from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.contract import Output
from mcevae.models.peers.common import CONVOLVED, CodeConfig
from mcevae.models.peers.vae import VAE
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec

LAYERS = 6
SLOPE = 0.2


@dataclass(frozen=True, kw_only=True)
class FactorConfig(CodeConfig):
    """Settings of FactorVAE."""

    gamma: float = 10.0
    """Weight of the total correlation in the loss (preset factor-vae)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure_range(self, gamma=(0, MOST_WEIGHT))


class FactorVAE(VAE):
    """VAE whose loss adds gamma times the total correlation of its code; arguments of `VAE`."""

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__(config, shape, group)
        self.gamma = config.own(FactorConfig).gamma
        self.discriminator = discriminator(self.code.dim, config.model.hidden)

    def total_correlation(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """Eq. (3), nats. Gradients reach the codes but not the discriminator."""
        fixed = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        return functional_call(self.discriminator, fixed, (z,)).float().mean()

    def discrimination(
        self, z: Float[Tensor, "B D"], other: Float[Tensor, "B D"]
    ) -> Float[Tensor, ""]:
        """Return the discriminator's cross-entropy. Gradients do not reach the codes.

        Args:
            z: codes.
            other: codes of the same distribution, to be permuted.
        """
        true = self.discriminator(z.detach()).float()
        false = self.discriminator(permuted(other.detach())).float()
        return (F.softplus(-true).mean() + F.softplus(false).mean()) / 2

    def penalty(self, out: Output[Normal], kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return KL and total correlation, for the VAE, plus the discriminator's own loss.

        The two parts share no gradients, so one step of one optimizer trains both networks.
        """
        z = out.z_c
        other = out.posterior.rsample()  # `sample` would refuse what is not finite
        return (
            super().penalty(out, kl)
            + self.gamma * self.total_correlation(z)
            + self.discrimination(z, other)
        )


def discriminator(dim: int, hidden: int) -> nn.Sequential:
    """Make a network from codes (B, `dim`) to the log-odds (B, 1) that they are not permuted."""
    sizes = [dim, *[hidden] * LAYERS]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, nn.Linear(hidden, 1))


def permuted(z: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Each coordinate permuted over the batch by itself, algorithm 1: draws of prod_d q(z_d)."""
    return z.gather(0, torch.rand_like(z).argsort(0))


SPEC = ModelSpec(
    build=FactorVAE,
    reads=CONVOLVED,
    settings=FactorConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
