"""VAE (Kingma, Welling, 2014) and beta-VAE (Higgins et al., 2017), without poses or clusters.

The paper's figure 5f: MCE-VAE's encoder and decoder, one Gaussian code of 16 numbers, and
beta = 2; `vae` is the case beta = 1.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output, Terms, assemble
from mcevae.models.distributions import GaussianLatent
from mcevae.models.likelihood import LIKELIHOODS
from mcevae.models.nets import ConvEncoder, Extractor, GatedDecoder
from mcevae.models.peers.common import CONVOLVED, CodeConfig, unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


class VAE(Model[Normal]):
    """Image -> code -> image.

    Peers with another prior of the code or another loss override `draw`, `responsibilities`,
    `divergences` and `penalty`.

    Args:
        config: sizes of the code, the encoder, the extractor and the decoder; beta.
        shape: (C, H, W) of the images.
        group: group of the poses, which are all the identity.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes = config.model
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.code = GaussianLatent(config.own(CodeConfig).code)
        self.encoder = ConvEncoder(shape, sizes.filters)
        self.extract = Extractor(self.encoder.features, sizes.hidden, self.code.dim)
        self.decoder = GatedDecoder(self.code.dim, sizes.decoder_hidden, shape)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Normal:
        """Infer the posterior of the code, batch shape (B, D)."""
        return self.code.posterior(self.extract(self.encoder(x)))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code; z_c holds the whole code."""
        return self.decoder(z_c).to(z_c.dtype)

    def draw(self, q: Normal) -> Float[Tensor, "B D"]:
        """Draw a code from its posterior."""
        return q.rsample()

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Return the probability of each cluster given a code; here there is only one cluster."""
        return self.code.responsibilities(z)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Normal]:
        """See `Model.forward`."""
        q = self.encode(x)
        z = self.draw(q) if self.draws(sample) else q.loc
        image = self.canonical(z, z[:, :0])
        return unposed(q, z, self.responsibilities(z), image, self.group)

    def divergences(self, out: Output[Normal]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Return the mean KL(q || p) in nats, of the cluster (or whole code) and of the rest."""
        kl = self.code.kl(out.posterior).mean()
        return kl, torch.zeros_like(kl)

    def penalty(self, out: Output[Normal], kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Return what the loss adds to the reconstruction: beta times the sum `kl`."""
        return self.beta * kl

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the loss, and the ELBO without the peer's own weights and penalties."""
        out: Output[Normal] = model(x, sample=True)
        reconstruction = self.likelihood(out.reconstruction, x).mean()
        kl_cluster, kl_variation = self.divergences(out)
        return assemble(
            reconstruction,
            kl_cluster=kl_cluster,
            kl_variation=kl_variation,
            penalty=self.penalty(out, kl_cluster + kl_variation),
        )


PLAIN = ModelSpec(
    build=VAE,
    reads=CONVOLVED,
    settings=CodeConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
"""The VAE."""

WEIGHTED = ModelSpec(
    build=VAE,
    reads=CONVOLVED,
    settings=CodeConfig,
    preset={"model": PAPER_SIZES, "objective": {"beta": 2.0}, "train": PAPER_TRAINING},
)
"""The beta-VAE of figure 5f: 16 latent dimensions, beta 2."""
