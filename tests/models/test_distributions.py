"""Divergences against numerical integration and Monte-Carlo."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from mcevae.models.distributions import LOG_VARIANCE, GaussianLatent, MixtureLatent, gaussian

WEIGHTS = [(None, None), ((0.9, 0.1), None), ((0.3, 0.7), (0.6, 0.4)), ((0.2, 0.8), (0.2, 0.8))]


def posterior(count: int, dim: int, seed: int = 0) -> Normal:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    log_variance = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    return gaussian(torch.cat([mean, log_variance], -1))


def log_q(latent: MixtureLatent, q: Normal, z: Tensor) -> Tensor:
    """Density of the posterior mixture, eqs. (10) and (16), of one image at points (n, K)."""
    k = latent.dim
    standard = Normal(0.0, 1.0).log_prob(z)  # (n, K)
    own = Normal(q.loc, q.scale).log_prob(z)
    parts = standard.sum(-1, keepdim=True) - standard + own  # coordinate k from q_k, others N(0, 1)
    assert parts.shape[-1] == k
    return torch.logsumexp(parts + latent.log_pi, -1)


def log_p(latent: MixtureLatent, z: Tensor) -> Tensor:
    """Density of the prior mixture, eqs. (9) and (15)."""
    means = torch.eye(latent.dim, dtype=z.dtype)
    parts = Normal(means, 1.0).log_prob(z[:, None]).sum(-1)  # (n, K)
    return torch.logsumexp(parts + latent.log_p, -1)


def test_variances_are_bounded_and_gradients_are_alive() -> None:
    parameters = torch.tensor([[0.0, -1e4], [0.0, 1e4], [0.0, 0.0]], requires_grad=True)
    q = gaussian(parameters)
    low, high = (math.exp(bound / 2) for bound in LOG_VARIANCE)
    assert q.scale.min().item() >= low * (1 - 1e-5)
    assert q.scale.max().item() <= high * (1 + 1e-5)
    q.scale.sum().backward()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()


def test_half_precision_is_widened() -> None:
    assert gaussian(torch.zeros(2, 6, dtype=torch.bfloat16)).loc.dtype == torch.float32


def test_gaussian_kl_equals_numerical_integration() -> None:
    latent = GaussianLatent(2, torch.tensor([0.5, 2.0])).double()
    q = latent.posterior(torch.tensor([[0.3, -0.2, 0.1, -1.0]], dtype=torch.float64))
    total = 0.0
    for mean, std, scale in zip(q.loc[0], q.scale[0], latent.scale, strict=True):
        x = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
        density = Normal(mean, std)
        integrand = density.log_prob(x).exp() * (
            density.log_prob(x) - Normal(0.0, scale).log_prob(x)
        )
        total += torch.trapezoid(integrand, x).item()
    assert latent.kl(q).item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("seed", range(3))
def test_mixture_bound_is_above_the_integral(
    weights: tuple[tuple[float, ...] | None, tuple[float, ...] | None], seed: int
) -> None:
    latent = MixtureLatent(2, *weights).double()
    q = posterior(1, 2, seed)
    axis = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    log_posterior = log_q(latent, q, z)
    integrand = log_posterior.exp() * (log_posterior - log_p(latent, z))
    true = integrand.sum().item() * (axis[1] - axis[0]).item() ** 2
    assert log_posterior.exp().sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1)
    assert latent.kl(q).item() >= true - 1e-9
    assert latent.kl(q).item() < true + 3  # a bound, not a wall


def test_mixture_bound_is_exact_for_one_component() -> None:
    latent = MixtureLatent(1).double()
    q = posterior(1, 1)
    x = torch.linspace(-30, 30, 200_001, dtype=torch.float64)[:, None]
    log_posterior = log_q(latent, q, x)
    integrand = log_posterior.exp() * (log_posterior - log_p(latent, x))
    assert latent.kl(q).item() == pytest.approx(torch.trapezoid(integrand, x[:, 0]).item(), 1e-6)


def test_mixture_bound_against_monte_carlo_in_ten_dimensions() -> None:
    torch.manual_seed(0)
    latent = MixtureLatent(10, tuple(range(1, 11) / torch.arange(1, 11).sum().numpy())).double()
    q = posterior(1, 10)
    n = 200_000
    which = torch.multinomial(latent.log_pi.exp(), n, replacement=True)
    z = torch.randn(n, 10, dtype=torch.float64)
    rows = torch.arange(n)
    z[rows, which] = (q.loc + q.scale * z)[rows, which]
    ratio = log_q(latent, q, z) - log_p(latent, z)
    estimate, error = ratio.mean().item(), ratio.std().item() / math.sqrt(n)
    assert latent.kl(q).item() >= estimate - 4 * error


@pytest.mark.parametrize("weights", WEIGHTS)
def test_bound_adds_the_discrete_kl_to_the_weighted_one(
    weights: tuple[tuple[float, ...] | None, tuple[float, ...] | None],
) -> None:
    """Eq. (14) for pi = p, and KL(pi || p) more where they differ, by Monte-Carlo of each part."""
    latent = MixtureLatent(2, *weights).double()
    q = posterior(3, 2)
    p_weights, pi = (torch.tensor(w or (0.5, 0.5), dtype=torch.float64) for w in weights)
    torch.manual_seed(0)
    z = q.loc + q.scale * torch.randn(400_000, 3, 2, dtype=torch.float64)
    inner = (q.log_prob(z) - Normal(1.0, 1.0).log_prob(z)).mean(0)
    expected = (pi * (pi / p_weights).log()).sum() + (inner * pi).sum(-1)
    assert latent.kl(q).allclose(expected, atol=0.01)


def test_kl_vanishes_only_at_the_prior() -> None:
    latent = MixtureLatent(3)
    at_prior = Normal(torch.ones(1, 3), torch.ones(1, 3))
    assert latent.kl(at_prior).item() == pytest.approx(0, abs=1e-6)
    assert latent.kl(Normal(torch.zeros(1, 3), torch.ones(1, 3))).item() > 0.1


def test_responsibilities_are_bayes_rule() -> None:
    latent = MixtureLatent(2, (0.8, 0.2)).double()
    z = torch.randn(5, 2, dtype=torch.float64)
    joint = Normal(torch.eye(2, dtype=torch.float64), 1.0).log_prob(z[:, None]).sum(-1).exp()
    joint = joint * torch.tensor([0.8, 0.2])
    assert latent.responsibilities(z).allclose(joint / joint.sum(-1, keepdim=True), atol=1e-6)


def test_gaussian_latent_does_not_cluster() -> None:
    assert GaussianLatent(4).responsibilities(torch.randn(3, 4)).tolist() == [[1.0]] * 3
