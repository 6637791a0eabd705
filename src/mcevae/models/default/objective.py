"""The objective of preset `default`: an ELBO plus an equivariance term, after eq. (6)."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.geometry.groups import AFFINE, Aff2, MatrixGroup, mirrored, wrapped
from mcevae.geometry.warp import side, warp
from mcevae.models.config import Config
from mcevae.models.contract import Output, Terms, assemble
from mcevae.models.default.model import DefaultModel, HypothesisPosterior
from mcevae.models.default.targets import TAUGHT, UNKNOWN
from mcevae.models.likelihood import LIKELIHOODS

ANGLE_WIDTH = math.radians(5)
"""Standard deviation of the target over the rotations of the grid."""
REST_WEIGHT = 0.3
"""Nats per pixel of error in the parameters other than the rotation."""


class HypothesisObjective:
    """Negative ELBO plus alpha times the equivariance term, to be minimised.

    The ELBO measures how well x is drawn from a cluster and a pose (k, M): from the target in
    training, otherwise from what the network finds. The equivariance term moves x to a new pose M'
    inside the support, with a little strain and elastic deformation. The network should then find
    (k, M'); the cross-entropy measures it. If images are mostly noise, what is moved is the average
    of the cluster, and noise is added. This is the divergence of eq. (6) between starred and
    new posterior. It trains the network; the ELBO trains the code and the decoder.

    Args:
        config: settings of the run.
        support: half-widths of M'.
    """

    def __init__(self, config: Config, support: tuple[float, ...]) -> None:
        self.config, self.support = config, support
        self.likelihood = LIKELIHOODS[config.objective.likelihood]

    def __call__(
        self,
        model: nn.Module,
        inner: DefaultModel,
        x: Float[Tensor, "B C H W"],
        batch: Mapping[str, Tensor] | None = None,
    ) -> Terms:
        """Terms of the loss for a batch.

        Args:
            model: what `inner` is called through.
            inner: the bare model.
            x: images.
            batch: holds the targets `cluster` (B,), `element` (B, 3, 3) and `weight` (B,);
                without them the network's own reading stands in.
        """
        joint = None
        if batch is not None and "cluster" in batch:
            cluster, element, weight = (batch[name] for name in TAUGHT)
        else:
            joint, rest = inner.infer(x)
            cluster, element, _ = inner.read(joint, rest)
            weight = torch.ones_like(x[:, 0, 0, 0])
        known = (cluster != UNKNOWN).float()
        given = cluster.clamp_min(0), element
        out: Output[HypothesisPosterior] = model(x, sample=True, given=given)
        share = known / known.sum().clamp_min(1)
        reconstruction = (self.likelihood(out.reconstruction, x) * share).sum()
        kl_variation = (inner.variation.kl(out.posterior.variation) * share).sum()
        invariance, moved = self.equivariance(inner, x, cluster, element, weight)
        joint = moved if joint is None else joint  # in training, to spare a pass: nothing learns it
        kl_cluster, kl_pose = hypothesis_kl(joint.detach(), inner.allowed)
        return assemble(
            reconstruction,
            kl_cluster=kl_cluster,
            kl_variation=kl_variation,
            kl_pose=kl_pose,
            beta=self.config.objective.beta,
            invariance=invariance,
            alpha=self.config.objective.alpha,
            elbo_beta=self.config.objective.beta,
        )

    def equivariance(
        self,
        inner: DefaultModel,
        x: Float[Tensor, "B C H W"],
        cluster: Tensor,
        element: Float[Tensor, "B 3 3"],
        weight: Float[Tensor, " B"],
    ) -> tuple[Tensor, Float[Tensor, "B K R"]]:
        """Move images, and measure how well the network finds cluster and new pose.

        If the cluster is unknown, only the pose counts.

        Args:
            inner: the bare model.
            x: images.
            cluster: target clusters, or `UNKNOWN`.
            element: target poses.
            weight: how much each target counts.

        Returns:
            The mean cross-entropy, and the posterior of the moved images.
        """
        group = inner.group
        there = group.sample(len(x), self.support, device=x.device)
        motion = group.compose(there, self.strain(len(x), group, x.device))
        displacement = (
            torch.randn(len(x), 2, 5, 5, device=x.device) * self.config.start.augment_elastic
        )
        displacement = displacement - displacement.mean((2, 3), keepdim=True)
        if inner.simulated is None:
            motion = group.compose(motion, group.inverse(element))
            moved = warp(x, motion, background=inner.background, displacement=displacement)
            whole = inner.whole(x)
        else:
            cluster, moved = inner.simulated.draw(motion, displacement, inner.background)
            whole = torch.ones_like(cluster, dtype=torch.bool)
        logits, rest = inner.logits(inner.masked(moved))
        log_joint = F.log_softmax(logits.flatten(1), -1).view_as(logits)  # (B, K, R)
        goal = group.to_parameters(there)
        near = -wrapped(goal[:, :1] - inner.angles).square() / (2 * ANGLE_WIDTH**2)
        other_sign = mirrored(there)[:, None] != inner.mirrored
        target = torch.softmax(near.masked_fill(other_sign, -math.inf), -1)  # (B, R)
        rows = torch.arange(len(x), device=x.device)
        one = log_joint[rows, cluster.clamp_min(0)]
        any_cluster = log_joint.logsumexp(1)
        chosen = torch.where((cluster == UNKNOWN)[:, None], any_cluster, one)
        cost = -(target * chosen).sum(-1)
        if rest.shape[1] > 0:
            apart = ((rest - goal[:, int(group.polar) :]).abs() * in_pixels(group, x)).sum(-1)
            cost = cost + REST_WEIGHT * apart * whole
        return (cost * weight).mean(), inner.probabilities(logits)

    def strain(
        self, count: int, group: MatrixGroup, device: torch.device
    ) -> Float[Tensor, "B 3 3"]:
        """Draw small random scales, stretches and shears, but only those that the group lacks."""
        free = [i for i, name in enumerate(AFFINE) if i >= 3 and name not in group.changes]
        p = torch.zeros(count, len(AFFINE), device=device)
        p[:, free] = torch.randn(count, len(free), device=device) * self.config.start.augment_strain
        return Aff2().from_parameters(p)


def in_pixels(group: MatrixGroup, x: Float[Tensor, "B C H W"]) -> Float[Tensor, " rest"]:
    """Return how many pixels one unit of each parameter, except the rotation, moves the content.

    It is measured a quarter of the image side from the centre.
    """
    pixels = float(side(*x.shape[2:]))
    G = group.generators(dtype=torch.float64)[int(group.polar) :, :2]
    shift, turn = G[..., 2].norm(dim=-1), G[..., :2].flatten(1).norm(dim=-1) / math.sqrt(2)
    return (pixels * torch.maximum(shift, turn / 4)).float().to(x.device)


def hypothesis_kl(
    joint: Float[Tensor, "B K R"], allowed: Float[Tensor, " R"]
) -> tuple[Tensor, Tensor]:
    """Return the mean KL of q(k | x), and of q(r | k, x), to uniform priors on the support.

    Their sum is KL(pi || p) of the mixture over hypotheses, the discrete part of eq. (13).
    """
    clusters = joint.sum(-1)  # (B, K)
    total = torch.special.xlogy(joint, joint).sum((1, 2))
    kl_cluster = torch.special.xlogy(clusters, clusters * joint.shape[1]).sum(-1)
    uniform = math.log(joint.shape[1]) + allowed.sum().log()
    return kl_cluster.mean(), (total + uniform - kl_cluster).mean()
