"""The loss of the paper's model: the negative ELBO of eq. (7) plus the invariance term."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.modules.batchnorm import _BatchNorm

from mcevae.base.config import ObjectiveConfig
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.contract import Output, Terms, assemble
from mcevae.models.likelihood import LIKELIHOODS, bce
from mcevae.models.paper import PaperModel, Posterior

CPU_CHUNK = 200
"""Moved images encoded at a time on a CPU; more overflow its caches (benchmarks/draws.py)."""


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Let batch norm use the present batch, but not change its running averages.

    The targets of eq. (8) must be computed like the predictions. But the moved images are not part
    of the data, so they must not change the averages that evaluation uses.
    """
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    tracked = [layer.track_running_stats for layer in layers]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer, was in zip(layers, tracked, strict=True):
            layer.track_running_stats = was


class Objective:
    """Computes the loss, eq. (6).

    Args:
        config: mode, alpha, beta, draws and likelihood.
        group: group that M is drawn from.
        support: half-widths of M's uniform distribution.
    """

    def __init__(
        self, config: ObjectiveConfig, group: MatrixGroup, support: tuple[float, ...]
    ) -> None:
        self.config = config
        self.group = group
        self.support = support
        self.likelihood = LIKELIHOODS[config.likelihood]

    def __call__(
        self,
        model: nn.Module,
        inner: PaperModel,
        x: Float[Tensor, "B C H W"],
        batch: Mapping[str, Tensor] | None = None,
    ) -> Terms:
        """Compute the terms of the loss for a batch.

        Args:
            model: the object to call for a forward pass: `inner`, or its wrapper for several
                devices.
            inner: the bare model; it encodes the targets of eq. (8), which have no gradients.
            x: images.
            batch: has the true upright images x_gt as `upright`, (B, C, H, W) uint8; only
                supervised mode reads it.

        Raises:
            ValueError: the mode is supervised, and there are no upright images.
        """
        out: Output[Posterior] = model(x, sample=True)
        kl_cluster = inner.cluster.kl(out.posterior.cluster).mean()
        kl_variation = inner.variation.kl(out.posterior.variation).mean()
        kl_pose = inner.pose.kl(out.posterior.pose).mean()
        reconstruction = self.likelihood(out.reconstruction, x).mean()
        if self.config.alpha == 0:
            invariance = torch.zeros_like(reconstruction)
        elif self.config.mode == "supervised":
            if batch is None or "upright" not in batch:
                raise ValueError("supervised mode needs upright images")
            invariance = bce(out.canonical, to_float(batch["upright"])).mean()
        else:
            invariance = self.invariance(inner, x, out).mean()
        return assemble(
            reconstruction,
            kl_cluster=kl_cluster,
            kl_variation=kl_variation,
            kl_pose=kl_pose,
            beta=self.config.beta,
            invariance=invariance,
            alpha=self.config.alpha,
            elbo_beta=self.config.beta,
        )

    def invariance(
        self, model: PaperModel, x: Float[Tensor, "B C H W"], out: Output[Posterior]
    ) -> Float[Tensor, " B"]:
        """Eq. (8), averaged over the draws of M.

        z_c(x), z(x) and their targets are posterior means. The canonical images are drawn, as in
        the ELBO, and x and Mx share their noise, unless `invariance_noise` says otherwise: then
        the term is as small as it can be exactly when the posteriors agree, while with noise of
        its own each image pays for the other's and the decoder learns to ignore z_c. (Images at
        the posterior's mean would be no test: docs/paper-model.md.) Cross-entropy is linear in its
        target, so the targets' mean over the draws stands for all of them.
        """
        cluster, variation, canonical = self.targets(model, x, out)
        latent = torch.zeros(len(x), device=x.device)
        for q, targets in ((out.posterior.cluster, cluster), (out.posterior.variation, variation)):
            latent = latent + (q.loc - targets).square().sum(-1).mean(0)
        return latent + bce(out.canonical, canonical.mean(0))

    @torch.no_grad()
    def targets(
        self, model: PaperModel, x: Float[Tensor, "B C H W"], out: Output[Posterior]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return z_c*, z* and canonical images of Mx, each (D, B, ...), without gradients."""
        moved = x.repeat(self.config.draws, 1, 1, 1)  # (D B, C, H, W)
        elements = self.group.sample(len(moved), self.support, device=x.device)
        noise = torch.cat(
            [
                standardised(out.z_c, out.posterior.cluster),
                standardised(out.z, out.posterior.variation),
            ],
            -1,
        )
        noise = noise.repeat(self.config.draws, 1)  # (D B, K + V)
        if self.config.invariance_noise == "own":
            noise = torch.randn_like(noise)
        together = max(1, CPU_CHUNK // len(x)) if x.device.type == "cpu" else self.config.draws
        size = together * len(x)  # whole draws, so that batch norm sees batches like x
        chunks = zip(moved.split(size), elements.split(size), noise.split(size), strict=True)
        parts = []
        with frozen_statistics(model):
            for images, M, epsilon in chunks:
                moved_back = warp(images, M, background=model.background)
                q = model.encode(model.masked(moved_back))
                for_z_c, for_z = epsilon.split([out.z_c.shape[1], out.z.shape[1]], -1)
                z_c = q.cluster.loc + q.cluster.scale * for_z_c
                z = q.variation.loc + q.variation.scale * for_z
                parts.append((q.cluster.loc, q.variation.loc, model.canonical(z_c, z)))
        cluster, variation, canonical = (torch.cat(part) for part in zip(*parts, strict=True))
        shape = (self.config.draws, len(x))
        return (
            cluster.unflatten(0, shape),
            variation.unflatten(0, shape),
            canonical.unflatten(0, shape),
        )


def standardised(z: Float[Tensor, "B D"], q: Normal) -> Float[Tensor, "B D"]:
    """Return the standard normal noise that gives this draw from the posterior, eq. (17)."""
    return (z - q.loc) / q.scale
