"""spatial-VAE (Bepler et al., 2019): the decoder is a function of the place in the plane.

Section 2 of "Explicitly disentangling image content from translation and rotation with
spatial-VAE", NeurIPS 2019, arXiv 1909.11663, and the settings of its authors' train_mnist.py:
encoder and decoder with two hidden layers of 500 tanh units, Adam 1e-4, batches of 100; priors
N(0, (pi/4)^2) for the rotation and N(0, 0.1^2) for the shift in half-sides, which is 0.05 of the
image side. For images moved uniformly within 90 degrees and a quarter of
the side, priors of the same spread are --rotation-prior 52 (0.91 rad) and --shift-prior 0.144 (0.29
half-sides). Their content code has 2 numbers on MNIST; here it is as large as every peer's
(--code-size 2 gives theirs).

Theirs rotates and then shifts the coordinates; here the content is moved by an element that rotates
and then shifts. One is the inverse of the other, and a round prior of the shift is the same for
both.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output, Terms, assemble
from mcevae.models.distributions import GaussianLatent
from mcevae.models.likelihood import LIKELIHOODS
from mcevae.models.peers.common import CodeConfig, single_cluster
from mcevae.models.peers.posed import (
    BY_PLACE,
    CoordinateDecoder,
    PosePriorConfig,
    mlp,
    pose_latent,
)
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """q(z, pose | x): diagonal Gaussians, batch shapes (B, D) and (B, T).

    The pose is in parameters of the group: a rotation in radians, and a shift in image sides.
    """

    code: Normal
    pose: Normal


@dataclass(frozen=True, kw_only=True)
class SpatialConfig(CodeConfig, PosePriorConfig):
    """Settings of spatial-VAE."""

    def __post_init__(self) -> None:
        CodeConfig.__post_init__(self)
        PosePriorConfig.__post_init__(self)


class SpatialVAE(Model[Posterior]):
    """Image -> content code and pose -> values at the pixels' places, moved back by the pose.

    Args:
        config: sizes of the code and the hidden layers; priors of the pose; beta.
        shape: (C, H, W) of the images.
        group: so2 or se2.

    Raises:
        UserError: another group.
    """

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        self.group, self.background = group, config.data.background_level
        self.beta, self.likelihood = config.objective.beta, LIKELIHOODS[config.objective.likelihood]
        self.code, self.pose = (
            GaussianLatent(config.own(SpatialConfig).code),
            pose_latent(config, group),
        )
        hidden, numbers = config.model.hidden, 2 * (self.code.dim + self.pose.dim)
        pixels = shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), *mlp(pixels, hidden, numbers))
        self.decoder = CoordinateDecoder(self.code.dim, hidden, shape)

    def encode(self, x: Float[Tensor, "B C H W"]) -> Posterior:
        """Infer the posterior of content and pose."""
        code, pose = self.encoder(x).split([2 * self.code.dim, 2 * self.pose.dim], -1)
        return Posterior(code=self.code.posterior(code), pose=self.pose.posterior(pose))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code (all of it in z_c), with the identity as its pose."""
        return self.decoder(
            z_c, self.group.identity(z_c.shape[0], dtype=z_c.dtype, device=z_c.device)
        )

    def render(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], element: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the image of a code at coordinates moved by the inverse of the element."""
        return self.decoder(z_c, self.group.inverse(element))

    def forward(
        self, x: Float[Tensor, "B C H W"], sample: bool | None = None, canonical: bool = True
    ) -> Output[Posterior]:
        """See `Model.forward`. Without `canonical`, the canonical image is the reconstruction.

        (No term of the loss needs the canonical image, and it costs as much time again.)
        """
        q = self.encode(x)
        draw = self.draws(sample)
        z, pose = (own.rsample() if draw else own.loc for own in (q.code, q.pose))
        element = self.group.from_parameters(pose)
        image = self.decoder(z, self.group.inverse(element))
        return Output(
            posterior=q,
            z_c=z,
            z=z[:, :0],
            tau=self.group.log(element),
            element=element,
            responsibilities=single_cluster(x),
            canonical=self.canonical(z, z[:, :0]) if canonical else image,
            reconstruction=image,
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the reconstruction error, and the divergences of content and pose."""
        out: Output[Posterior] = model(x, sample=True, canonical=False)
        return assemble(
            self.likelihood(out.reconstruction, x).mean(),
            kl_cluster=self.code.kl(out.posterior.code).mean(),
            kl_pose=self.pose.kl(out.posterior.pose).mean(),
            beta=self.beta,
        )


SPEC = ModelSpec(
    build=SpatialVAE,
    reads=BY_PLACE,
    settings=SpatialConfig,
    preset={
        "model": {"hidden": 500, **PAPER_SIZES},
        "train": {**PAPER_TRAINING, "lr": 1e-4},
    },
)
"""Its authors' networks and rate."""
