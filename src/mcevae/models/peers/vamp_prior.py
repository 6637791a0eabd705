r"""VampPrior (Tomczak and Welling, 2018, "VAE with a VampPrior", AISTATS).

A VAE whose prior is the mixture of the posteriors of K pseudo-inputs u_k, images of free pixels
that are learned with the networks: :math:`p(z) = \frac1K \sum_k q(z \mid u_k)`. The KL has no
closed form; as there, it is log q(z | x) - log p(z) at one draw of z. Each pseudo-input is a
cluster here, which the paper does not ask of them: :math:`p(k \mid z) \propto q(z \mid u_k)`. The
pseudo-inputs start at random training images, which is an option of its authors' code.

Otherwise than there (K of 500, layers of 300 gated units, codes of 40, a weight of the KL that
grows for 100 epochs, Adam 5e-4 on normed gradients): K is the number of clusters; networks, code
and optimizer are those of all peers. It has no poses. This is the model with one layer of codes,
not the hierarchical one.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Output, Teacher
from mcevae.models.peers.common import CONVOLVED, CodeConfig
from mcevae.models.peers.vae import VAE
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


class VampPrior(VAE):
    """VAE with the posteriors of pseudo-inputs as its prior; arguments of `VAE`."""

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__(config, shape, group)
        self.pseudo_inputs = nn.Parameter(nn.init.uniform_(torch.empty(config.model.room, *shape)))

    @property
    def grows(self) -> Mapping[str, int]:
        """The pseudo-inputs; see `Model.grows`."""
        return {"pseudo_inputs": 0}

    def log_components(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Log q(z | u_k), pixels of u_k held between 0 and 1."""
        q = self.encode(self.pseudo_inputs.clamp(0, 1))
        return q.log_prob(z[:, None]).sum(-1)

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Probability of each pseudo-input given a code, rows summing to 1."""
        return self.log_components(z).softmax(-1)

    def divergences(self, out: Output[Normal]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Estimate the KL of the code from the prior at the codes drawn; there is no other part."""
        log_prior = self.log_components(out.z_c).logsumexp(-1) - math.log(len(self.pseudo_inputs))
        kl = (out.posterior.log_prob(out.z_c).sum(-1) - log_prior).mean()
        return kl, torch.zeros_like(kl)

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which chooses the first pseudo-inputs; see `Model.teacher`."""
        return FirstInputs(self, config, pixels)


class FirstInputs(Teacher):
    """Starts the pseudo-inputs at random training images; some twice if there are too few.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.
    """

    model: VampPrior

    def __init__(
        self, model: VampPrior, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]
    ) -> None:
        super().__init__(model, pixels)
        self.seed = config.train.seed

    @torch.no_grad()
    def prepare(self, epoch: int, epochs: int) -> str:
        """Choose the images before the first epoch; see `Teacher.before`."""
        if epoch > 0:
            return ""
        inputs = self.model.pseudo_inputs
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.pixels), generator=generator)
        chosen = order[torch.arange(len(inputs)) % len(order)].to(self.pixels.device)
        inputs.copy_(to_float(self.pixels[chosen].to(inputs.device)))
        return f"{len(inputs)} pseudo-inputs start at random images"


SPEC = ModelSpec(
    build=VampPrior,
    reads=CONVOLVED,
    settings=CodeConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
