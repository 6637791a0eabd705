r"""beta-TCVAE (Chen, Li, Grosse, Duvenaud, 2018, "Isolating Sources of Disentanglement in VAEs").

The mean KL of a VAE's code splits into three parts, their eq. (2), with q(z) the posterior averaged
over the data:

    index-code mutual information   KL(q(z, n) || q(z) p(n)),   n the image
    total correlation               KL(q(z) || prod_d q(z_d))
    dimension-wise KL               sum_d KL(q(z_d) || p(z_d))

The loss weighs the total correlation alone by beta, eq. (4) with alpha = gamma = 1. Beta is 6, as
in the authors' runs on dSprites and 3D faces; they draw batches of 2048, whose size the estimate
below leans on, and codes of 10. Here batches and code are those of all peers.

q(z) is estimated by minibatch-weighted sampling, their eq. (3):
:math:`\log q(z_i) \approx \log\sum_j q(z_i | x_j) - \log(N M)`, M images in the batch, N in the
data set. N is a constant without a gradient, so 1 is put in its place: the terms are then those of
the batch as if it were the data, of a readable size, and learning is the same.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal

from mcevae.models.paper import Output
from mcevae.models.peers.vae import VAE


class BetaTCVAE(VAE):
    """VAE whose loss weighs the total correlation of its code by beta; arguments of `VAE`."""

    def penalty(self, out: Output, kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Index-code information + beta total correlation + dimension-wise KL."""
        information, correlation, dimensions = decompose(out.posterior, out.z_c)
        return information + self.beta * correlation + dimensions


def decompose(
    q: Normal, z: Float[Tensor, "B D"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """The three parts of the mean KL in nats, estimated from one draw of each image of a batch.

    Args:
        q: posteriors, batch shape (B, D).
        z: a draw from each.

    Returns:
        Index-code mutual information, total correlation and dimension-wise KL. Their sum is the
        usual one-draw estimate, the mean of log q(z | x) - log p(z).
    """
    every = Normal(q.loc[None], q.scale[None], validate_args=False)
    log_pairs = every.log_prob(z[:, None])  # (B, B, D), of draw i under the posterior of image j
    images = math.log(z.shape[0])
    log_q = log_pairs.sum(-1).logsumexp(1) - images  # (B,)
    log_q_each = (log_pairs.logsumexp(1) - images).sum(-1)  # (B,), of the product of marginals
    log_q_given_x = q.log_prob(z).sum(-1)
    log_p = Normal(torch.zeros_like(z), 1.0, validate_args=False).log_prob(z).sum(-1)
    return (
        (log_q_given_x - log_q).mean(),
        (log_q - log_q_each).mean(),
        (log_q_each - log_p).mean(),
    )
