"""VAE (Kingma, Welling, 2014) and beta-VAE (Higgins et al., 2017): a code, no poses or clusters.

The paper's figure 5f: MCE-VAE's encoder and decoder, one Gaussian code of 16 numbers, and
beta = 2; `vae` is the case beta = 1.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.distributions import GaussianLatent
from mcevae.models.nets import ConvEncoder, Extractor, GatedDecoder
from mcevae.models.objective import LIKELIHOODS, Terms
from mcevae.models.paper import Output
from mcevae.models.peers.contract import Baseline, elbo, unposed


class VAE(Baseline):
    """Image -> code -> image.

    Peers that differ in the prior of the code or in what the loss asks of it say so in `draw`,
    `responsibilities`, `divergences` and `penalty`.

    Args:
        config: sizes of the code, the encoder, the extractor and the decoder; beta.
        shape: (C, H, W) of the images.
        group: of the poses, which are all the identity.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes = config.model
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.code = GaussianLatent(config.baseline.code)
        self.encoder = ConvEncoder(shape, sizes.channels)
        self.extract = Extractor(self.encoder.features, sizes.hidden, self.code.dim)
        self.decoder = GatedDecoder(self.code.dim, sizes.decoder_hidden, shape)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Normal:
        """Posterior of the code, batch shape (B, D)."""
        return self.code.posterior(self.extract(self.encoder(x)))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The image of a code, which is all in z_c."""
        return self.decoder(z_c).to(z_c.dtype)

    def draw(self, q: Normal) -> Float[Tensor, "B D"]:
        """A code from its posterior."""
        return q.rsample()

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Probability of each cluster given a code; here there is one."""
        return self.code.responsibilities(z)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output:
        """See `Baseline.forward`."""
        q = self.encode(x)
        z = self.draw(q) if (self.training if sample is None else sample) else q.loc
        image = self.canonical(z, z[:, :0])
        return unposed(q, z, self.responsibilities(z), image, self.group)

    def divergences(self, out: Output) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """KL(q || p) in nats, batch means: of the cluster (or the whole code) and of the rest."""
        kl = self.code.kl(out.posterior).mean()
        return kl, torch.zeros_like(kl)

    def penalty(self, out: Output, kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """What the loss adds to the reconstruction, given the sum of `divergences`: beta KL."""
        return self.beta * kl

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """The loss, and the ELBO as it is without the peer's own weights and penalties."""
        out: Output = model(x, sample=True)
        reconstruction = self.likelihood(out.reconstruction, x).mean()
        kl_cluster, kl_variation = self.divergences(out)
        plain = elbo(reconstruction, 1.0, kl_cluster=kl_cluster, kl_variation=kl_variation)
        return replace(plain, loss=reconstruction + self.penalty(out, kl_cluster + kl_variation))
