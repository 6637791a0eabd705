r"""GMVAE: a Gaussian-mixture VAE with the cluster enumerated (Dilokthanakul et al., 2016).

Two models have this name. This is the simpler and more common one: generative
p(y) p(z | y) p(x | z), inference q(y | x) q(z | x, y), as in the M2 model of Kingma, Rezende,
Mohamed and Welling (2014, eq. 7) with a prior of its own for every y. Dilokthanakul et al. have one
more latent w that bends the components, and no q(y | x): their p(y | z, w) is read from the mixture
by Bayes' rule, and they need a threshold on its KL against all clusters becoming one (section 3.3).
Here q(y | x) is what a user asks for, and the sum over y is exact: the loss is the
negative of

    sum_y q(y|x) [log p(x|z_y) - KL(q(z|x,y) || p(z|y))] - KL(q(y|x) || p(y)),   z_y ~ q(z|x,y),

with p(y) = 1/K, p(z | y) = N(mu_y, sigma_y^2) learned, and one draw of each z_y. A step decodes
K times the batch. Codes and networks are those of all peers (theirs: z of 200, w of 150 numbers,
K of 10 to 16 on MNIST).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output, Terms, assemble
from mcevae.models.distributions import gaussian
from mcevae.models.likelihood import LIKELIHOODS
from mcevae.models.nets import ConvEncoder, Extractor, GatedDecoder
from mcevae.models.peers.common import CONVOLVED, CodeConfig, unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Enumerated:
    """q(y, z | x).

    Attributes:
        log_y: (B, K), log q(y | x).
        code: q(z | x, y), batch shape (B, K, D).
        z: (B, K, D), a draw from it or its mean.
    """

    log_y: Tensor
    code: Normal
    z: Tensor


class GMVAE(Model[Enumerated]):
    """Image -> cluster y, and a code given y -> image.

    The code of an image is that of its likeliest cluster.

    Args:
        config: K; sizes of the code, the encoder, the extractors and the decoder; beta.
        shape: (C, H, W) of the images.
        group: group of the poses, which are all the identity.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes, code = config.model, config.own(CodeConfig).code
        clusters = sizes.room
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.encoder = ConvEncoder(shape, sizes.filters)
        features = self.encoder.features
        self.classify = nn.Sequential(
            nn.Linear(features, sizes.hidden), nn.ReLU(), nn.Linear(sizes.hidden, clusters)
        )
        self.extract = Extractor(features + clusters, sizes.hidden, code)
        self.decoder = GatedDecoder(code, sizes.decoder_hidden, shape)
        self.means = nn.Parameter(torch.randn(clusters, code))
        self.log_variances = nn.Parameter(torch.zeros(clusters, code))

    def components(self) -> Normal:
        """p(z | y), batch shape (K, D)."""
        return Normal(self.means, (self.log_variances / 2).exp(), validate_args=False)

    def encode(self, x: Float[Tensor, "B C H W"], sample: bool = False) -> Enumerated:
        """Infer both posteriors, with a draw of every code or its mean."""
        h = self.encoder(x)  # (B, F)
        # The first layer, of the features and each cluster's one-hot code, without the many zeros.
        first, *rest = self.extract
        assert isinstance(first, nn.Linear)
        of_image, of_cluster = first.weight.split((h.shape[1], len(self.means)), 1)
        hidden = F.linear(h, of_image, first.bias)[:, None] + of_cluster.mT  # (B, K, hidden)
        code = gaussian(nn.Sequential(*rest)(hidden))
        log_y = self.classify(h).float().log_softmax(-1)
        return Enumerated(log_y=log_y, code=code, z=code.rsample() if sample else code.loc)

    def canonical(
        self, z_c: Float[Tensor, "B D"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code; z_c holds the whole code."""
        return self.decoder(z_c).to(z_c.dtype)

    def forward(
        self, x: Float[Tensor, "B C H W"], sample: bool | None = None
    ) -> Output[Enumerated]:
        """See `Model.forward`."""
        q = self.encode(x, self.draws(sample))
        z = q.z[torch.arange(x.shape[0], device=x.device), q.log_y.argmax(-1)]  # (B, D)
        image = self.canonical(z, z[:, :0])
        return unposed(q, z, q.log_y.exp(), image, self.group)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the ELBO, summed over the clusters."""
        out: Output[Enumerated] = model(x, sample=True)
        q = out.posterior
        y, (images, clusters) = q.log_y.exp(), q.log_y.shape
        z = q.z.flatten(0, 1)  # (B K, D)
        errors = self.likelihood(self.canonical(z, z[:, :0]), x.repeat_interleave(clusters, 0))
        reconstruction = (y * errors.unflatten(0, (images, clusters))).sum(-1).mean()
        from_prior = kl_divergence(q.code, self.components()).sum(-1)  # (B, K)
        kl_variation = (y * from_prior).sum(-1).mean()
        kl_cluster = (y * (q.log_y + math.log(clusters))).sum(-1).mean()
        return assemble(
            reconstruction, kl_cluster=kl_cluster, kl_variation=kl_variation, beta=self.beta
        )


SPEC = ModelSpec(
    build=GMVAE,
    reads=CONVOLVED,
    settings=CodeConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
