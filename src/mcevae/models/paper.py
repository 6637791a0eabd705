"""The model. Read this first.

image x -> z_aug -> (z_c: cluster, z: variation, tau: pose)
(z_c, z) -> canonical image; exp(tau) moves it -> reconstruction of x        (figure 2)
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.models.distributions import ClusterLatent, GaussianLatent


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """q(z_c, z, tau | x), three independent diagonal Gaussians with batch shapes (B, D)."""

    cluster: Normal
    variation: Normal
    pose: Normal


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the model says of a batch of images.

    Attributes:
        posterior: what the latents below come from, of the model's own kind.
        z_c: (B, K), cluster latent.
        z: (B, V), variation.
        tau: (B, T), pose in the Lie algebra, units as `group.units`.
        element: (B, 3, 3), exp(tau), which moves the canonical image onto x.
        responsibilities: (B, K), probability of each cluster; rows sum to 1.
        canonical: (B, C, H, W), pose-free image, values from 0 to 1.
        reconstruction: (B, C, H, W), the canonical image moved by `element`.
    """

    posterior: Any
    z_c: Tensor
    z: Tensor
    tau: Tensor
    element: Tensor
    responsibilities: Tensor
    canonical: Tensor
    reconstruction: Tensor


class PaperModel(nn.Module):
    """Multi-clustering equivariant VAE of Bajaj, Roy and Zhang (figure 2, section 3).

    A variant is another component with the same verbs, handed to this class.

    Args:
        group: Lie group of the pose.
        encoder: images (B, C, H, W) to z_aug (B, F).
        cluster: the latent z_c.
        variation: the latent z.
        pose: the latent tau.
        extract_cluster: z_aug to the parameters of z_c.
        extract_variation: z_aug to those of z.
        extract_pose: z_aug to those of tau.
        decoder: (z_c, z) side by side to canonical images.
        background: value that moves in from outside the frame, from 0 to 1.
    """

    def __init__(
        self,
        *,
        group: MatrixGroup,
        encoder: nn.Module,
        cluster: ClusterLatent,
        variation: GaussianLatent,
        pose: GaussianLatent,
        extract_cluster: nn.Module,
        extract_variation: nn.Module,
        extract_pose: nn.Module,
        decoder: nn.Module,
        background: float = 0.0,
    ) -> None:
        super().__init__()
        self.group = group
        self.encoder = encoder
        self.cluster, self.variation, self.pose = cluster, variation, pose
        self.extract_cluster = extract_cluster
        self.extract_variation = extract_variation
        self.extract_pose = extract_pose
        self.decoder = decoder
        self.background = background

    def encode(self, x: Float[Tensor, "B C H W"]) -> Posterior:
        """Posterior of the latents given images with values from 0 to 1."""
        z_aug = self.encoder(x)
        return Posterior(
            cluster=self.cluster.posterior(self.extract_cluster(z_aug)),
            variation=self.variation.posterior(self.extract_variation(z_aug)),
            pose=self.pose.posterior(self.extract_pose(z_aug)),
        )

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Pose-free image of a cluster and a variation, values from 0 to 1."""
        return self.decoder(torch.cat([z_c, z], -1)).to(z.dtype)

    def decode(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], tau: Float[Tensor, "B T"]
    ) -> Float[Tensor, "B C H W"]:
        """The canonical image moved by exp(tau), bilinearly."""
        canonical = self.canonical(z_c, z)
        return warp(canonical, self.group.exp(tau), background=self.background)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output:
        """Encode, draw the latents, decode.

        Args:
            x: images with values from 0 to 1.
            sample: draw the latents from the posterior by eq. (17), or take its mean. None: draw
                in training mode only.
        """
        posterior = self.encode(x)
        draw = self.training if sample is None else sample
        z_c, z, tau = (
            q.rsample() if draw else q.loc
            for q in (posterior.cluster, posterior.variation, posterior.pose)
        )
        element = self.group.exp(tau)
        canonical = self.canonical(z_c, z)
        return Output(
            posterior=posterior,
            z_c=z_c,
            z=z,
            tau=tau,
            element=element,
            responsibilities=self.cluster.responsibilities(z_c),
            canonical=canonical,
            reconstruction=warp(canonical, element, background=self.background),
        )
