"""The model. Read this first.

image x -> z_aug -> (z_c: cluster, z: variation, tau: pose)
(z_c, z) -> canonical image; exp(tau) moves it -> reconstruction of x        (figure 2)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.models.contract import Model, Output, Terms
from mcevae.models.distributions import ClusterLatent, GaussianLatent


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """q(z_c, z, tau | x), three independent diagonal Gaussians with batch shapes (B, D)."""

    cluster: Normal
    variation: Normal
    pose: Normal


class PaperModel(Model[Posterior]):
    """Multi-clustering equivariant VAE of Bajaj, Roy and Zhang (figure 2, section 3).

    To make a variant, give this class another component with the same methods.

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
        objective: computes the terms of the loss, like `objective.Objective`.
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
        objective: Callable[..., Terms],
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
        self.objective = objective
        self.background = background

    def encode(self, x: Float[Tensor, "B C H W"]) -> Posterior:
        """Infer the posterior of the latents from images with values from 0 to 1."""
        z_aug = self.encoder(x)
        return Posterior(
            cluster=self.cluster.posterior(self.extract_cluster(z_aug)),
            variation=self.variation.posterior(self.extract_variation(z_aug)),
            pose=self.pose.posterior(self.extract_pose(z_aug)),
        )

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical image of a cluster and a variation, values from 0 to 1."""
        canonical = self.decoder(torch.cat([z_c, z], -1)).to(z.dtype)
        return self.masked(canonical, "upright_mask")

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Posterior]:
        """Encode, draw the latents by eq. (17), decode; see `Model.forward`."""
        posterior = self.encode(x)
        draw = self.draws(sample)
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
            reconstruction=self.masked(warp(canonical, element, background=self.background)),
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the terms of the objective; see `Model.terms`."""
        return self.objective(model, self, x, batch)
