"""Latent variables: make posteriors from a network's output, and compare them with their priors.

Each latent has the same methods: `posterior` turns an extractor's output into a distribution, `kl`
compares it with the prior, and cluster latents also give `responsibilities`. All divergences are
analytic.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

LOG_VARIANCE = (-10.0, 4.0)
"""Bounds of every log-variance. They are so wide that good training does not reach them."""


def gaussian(parameters: Float[Tensor, "*B twoD"], scale: Tensor | float = 1.0) -> Normal:
    """Make a diagonal Gaussian from an extractor's output.

    Args:
        parameters: (*B, 2 D), means beside raw log-variances. These are bounded smoothly to
            `LOG_VARIANCE`, so that no step can reach an infinite or zero variance and no
            gradient is cut off.
        scale: unit of the D coordinates.

    Returns:
        Normal with batch shape (*B, D), in float32 or better.
    """
    mean, raw = parameters.to(torch.promote_types(parameters.dtype, torch.float32)).chunk(2, -1)
    low, high = LOG_VARIANCE
    middle, half = (low + high) / 2, (high - low) / 2
    log_variance = middle + half * torch.tanh((raw - middle) / half)
    return Normal(mean * scale, torch.exp(log_variance / 2) * scale, validate_args=False)


class GaussianLatent(nn.Module):
    """D numbers with prior N(0, scale^2) and a diagonal Gaussian posterior.

    Used for the variation z, for the pose tau and, in place of the mixture, for z_c in the
    non-clustering ablation (figure 5e of the paper).

    Args:
        dim: D.
        scale: standard deviation of the prior in each coordinate, (D,). The posterior is
            expressed in the same unit.
    """

    scale: Tensor

    def __init__(self, dim: int, scale: Float[Tensor, " D"] | None = None) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("scale", torch.ones(dim) if scale is None else scale)

    def posterior(self, parameters: Float[Tensor, "B twoD"]) -> Normal:
        """Make the posterior q(. | x) from an extractor's output."""
        return gaussian(parameters, self.scale)

    def kl(self, posterior: Normal) -> Float[Tensor, " B"]:
        """KL(q || N(0, scale^2)) in nats, summed over the coordinates."""
        prior = Normal(torch.zeros_like(self.scale), self.scale, validate_args=False)
        return kl_divergence(posterior, prior).sum(-1)

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B 1"]:
        """Return 1 for a single component, because this latent has no clusters."""
        return torch.ones_like(z[:, :1])


class MixtureLatent(nn.Module):
    r"""The clustering latent z_c, as many numbers as clusters (K).

    Prior, eqs. (9) and (15): :math:`\sum_k p_k \mathcal N(z_c; e_k, I)`, `e_k` the k-th unit
    vector. Posterior, eqs. (10) and (16): :math:`\sum_k \pi_k q_k`, where `q_k` is
    `N(mu_k(x), sigma_k(x)^2)` in coordinate k and standard normal in the others. `posterior`
    returns the K one-dimensional factors as one diagonal Gaussian, from which eq. (17) samples:
    `z_c,k = mu_k + eps_k sigma_k`.

    Args:
        clusters: K.
        prior_weights: p, positive, summing to 1; None: all 1/K.
        posterior_weights: pi, the same.
    """

    log_p: Tensor
    log_pi: Tensor

    def __init__(
        self,
        clusters: int,
        prior_weights: tuple[float, ...] | None = None,
        posterior_weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__()
        self.dim = clusters
        equal = (1 / clusters,) * clusters
        self.register_buffer("log_p", torch.tensor(prior_weights or equal).log())
        self.register_buffer("log_pi", torch.tensor(posterior_weights or equal).log())

    def posterior(self, parameters: Float[Tensor, "B twoK"]) -> Normal:
        """Make the factors mu_k(x), sigma_k(x) of eq. (16) from an extractor's output."""
        return gaussian(parameters)

    def kl(self, posterior: Normal) -> Float[Tensor, " B"]:
        r"""Upper bound on KL(q(z_c | x) || p(z_c)) in nats, eq. (13) in its general form.

        By the log-sum inequality,
        :math:`KL(q \| p) \le KL(\pi \| p) + \sum_k \pi_k KL(q_k \| p_k)`, which is eq. (14) for
        `pi = p`. (Eq. (13) as printed weighs the second part by p and drops the first; it is
        then no bound where they differ.) Since `q_k` and the prior's k-th component differ only
        in coordinate k, each inner KL is one-dimensional, against N(1, 1).
        """
        one = torch.ones_like(posterior.loc)
        inner = kl_divergence(posterior, Normal(one, one, validate_args=False))  # (B, K)
        pi = self.log_pi.exp()
        return (pi * (self.log_pi - self.log_p)).sum() + (pi * inner).sum(-1)

    def responsibilities(self, z: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
        """Return the probability of each cluster given z_c, under the prior; rows sum to 1.

        `|z - e_k|^2` differs between clusters only by `-2 z_k`, so this is a softmax.
        """
        return torch.softmax(z + self.log_p, -1)


ClusterLatent = GaussianLatent | MixtureLatent
