r"""VaDE (Jiang, Zheng, Tan, Tang, Zhou, 2017, "Variational Deep Embedding", IJCAI).

A VAE whose code has a learned mixture prior :math:`\sum_c \pi_c \mathcal N(\mu_c, \sigma_c^2)`
(their section 3.1), with q(z, c | x) = q(z | x) q(c | x) and
:math:`q(c|x) = p(c|z) \propto \pi_c \mathcal N(z; \mu_c, \sigma_c^2)`, gamma_c, at one draw of z
(eq. 16). The ELBO's eq. (12) is the reconstruction less
:math:`KL(\gamma \| \pi) + \sum_c \gamma_c KL(q(z|x) \| \mathcal N(\mu_c, \sigma_c^2))`.

From a random start it finds no clusters (section 3.2), so a plain autoencoder comes first, for the
share `--pretrain` of the epochs, and then a Gaussian mixture fitted to its codes. Otherwise than
there (layers of 500, 500 and 2000 units, stacked pretraining, codes of 10, Adam 2e-3 falling by
a tenth every 10 epochs): networks, code and optimizer are those of all peers.
"""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from mcevae.base.config import ensure
from mcevae.base.errors import TrainingError, UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Output, Teacher
from mcevae.models.peers.common import CONVOLVED, CodeConfig
from mcevae.models.peers.vae import VAE
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec

TOGETHER = 500
"""Images encoded at once for the start of the mixture."""
LEAST_VARIANCE = 1e-3
"""Added to the variances of that start, a share of the codes' own, against one-point components."""
SMALLEST = 1e-6
"""Added at least: all codes may be the same."""


@dataclass(frozen=True, kw_only=True)
class VaDEConfig(CodeConfig):
    """Settings of VaDE."""

    pretrain: float = 0.2
    """Share of the epochs that train a plain autoencoder first (preset vade)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        ensure(0 < self.pretrain < 1, f"--pretrain is {self.pretrain}; use a share between 0 and 1")


class VaDE(VAE):
    """VAE with a mixture prior; arguments of `VAE`.

    Attributes:
        started: 0 while a plain autoencoder is trained, then 1. It is a number on the device so
            that it is in checkpoints and that both stages are one computation: every parameter has
            a gradient in both, and nothing waits for the host.
    """

    started: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__(config, shape, group)
        size = (config.model.room, self.code.dim)
        self.logits = nn.Parameter(torch.zeros(size[0]))  # pi = softmax(logits)
        self.means = nn.Parameter(torch.zeros(size))
        self.log_variances = nn.Parameter(torch.zeros(size))
        self.register_buffer("started", torch.zeros(()))

    def components(self) -> Normal:
        """The components of the prior, batch shape (K, D)."""
        return Normal(self.means, (self.log_variances / 2).exp(), validate_args=False)

    def log_responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """Log gamma_c, by Bayes' rule."""
        log_likelihood = self.components().log_prob(z[:, None]).sum(-1)  # (B, K)
        return (self.logits.log_softmax(-1) + log_likelihood).log_softmax(-1)

    def responsibilities(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """gamma_c, rows summing to 1."""
        return self.log_responsibilities(z).exp()

    def draw(self, q: Normal) -> Float[Tensor, "B D"]:
        """Draw a code from its posterior, or take its mean while the plain autoencoder is trained.

        In evaluation a code is always drawn, because the ELBO that chooses the best epoch needs it.
        """
        noise = torch.randn_like(q.loc) * q.scale
        return q.loc + (self.started * noise if self.training else noise)

    def divergences(self, out: Output[Normal]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """KL(gamma || pi), and the KL of the code from each component, weighed by gamma."""
        log_gamma = self.log_responsibilities(out.z_c)
        gamma = log_gamma.exp()
        q = out.posterior
        one = Normal(q.loc[:, None], q.scale[:, None], validate_args=False)
        from_each = kl_divergence(one, self.components()).sum(-1)  # (B, K)
        kl_cluster = (gamma * (log_gamma - self.logits.log_softmax(-1))).sum(-1)
        return kl_cluster.mean(), (gamma * from_each).sum(-1).mean()

    def penalty(self, out: Output[Normal], kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """Beta KL, once the mixture is there."""
        return self.started * super().penalty(out, kl)

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which fits the mixture; see `Model.teacher`."""
        return MixtureStart(self, config, pixels)

    @torch.no_grad()
    def start(self, pixels: UInt8[Tensor, "N C H W"], seed: int) -> None:
        """Fit the mixture to the mean codes of the images, by expectation maximisation.

        Args:
            pixels: the training images.
            seed: of the mixture's first guess.

        Raises:
            UserError: there are fewer images than components.
            TrainingError: the codes are not finite.
        """
        if len(pixels) < len(self.means):
            raise UserError(
                f"{len(pixels)} training images cannot make {len(self.means)} clusters; "
                "give more images or a smaller --clusters."
            )
        training, device = self.training, self.means.device
        self.eval()
        chunks = pixels.split(TOGETHER)
        codes = torch.cat([self.encode(to_float(chunk.to(device))).loc for chunk in chunks])
        self.train(training)
        if not codes.isfinite().all():
            raise TrainingError(
                "the codes of the images are not finite, so no mixture can be fitted to them. "
                "Train again with a third of the --lr, and check the images for odd values."
            )
        mixture = GaussianMixture(
            len(self.means),
            covariance_type="diag",
            reg_covar=max(LEAST_VARIANCE * codes.var(0).mean().item(), SMALLEST),
            random_state=seed,
        )
        with warnings.catch_warnings():  # a start need not be the optimum
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(codes.double().cpu().numpy())
        self.logits.copy_(torch.from_numpy(mixture.weights_).clamp_min(1e-8).log())
        self.means.copy_(torch.from_numpy(mixture.means_))
        self.log_variances.copy_(torch.from_numpy(mixture.covariances_).log())
        self.started.fill_(1.0)


class MixtureStart(Teacher):
    """Fits the mixture to the codes when the epochs of the plain autoencoder are over.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.
    """

    model: VaDE

    def __init__(
        self, model: VaDE, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]
    ) -> None:
        super().__init__(model, pixels)
        self.share, self.seed = config.own(VaDEConfig).pretrain, config.train.seed

    @property
    def grouped(self) -> bool:
        """Whether the mixture is there yet."""
        return bool(self.model.started.item())

    def prepare(self, epoch: int, epochs: int) -> str:
        """Begin with the autoencoder, or fit the mixture, or do nothing; see `Teacher.before`."""
        first = min(max(1, round(self.share * epochs)), epochs - 1)
        if self.grouped:
            return ""
        if epoch < first:
            return "plain autoencoder first" if epoch == 0 else ""
        self.model.start(self.pixels, self.seed)
        return f"a mixture of {len(self.model.means)} Gaussians fitted to the codes"


SPEC = ModelSpec(
    build=VaDE,
    reads=CONVOLVED,
    settings=VaDEConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
