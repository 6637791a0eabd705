"""The objective of preset `default`: an ELBO and an equivariance term, eq. (6) for hypotheses."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.geometry.groups import Aff2, MatrixGroup, wrapped
from mcevae.geometry.warp import side, warp
from mcevae.models.config import Config
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.targets import TAUGHT, UNKNOWN
from mcevae.models.objective import LIKELIHOODS, Terms

ANGLE_WIDTH = math.radians(5)
"""Standard deviation of the target over the rotations of the grid."""
REST_WEIGHT = 0.3
"""Nats per pixel of error in the parameters other than the rotation."""


class HypothesisObjective:
    """Negative ELBO plus alpha times the equivariance term, to be minimised.

    The ELBO explains x under a hypothesis (k, M): the current target in training, the network's
    own reading otherwise. The equivariance term moves x to a new pose M' inside the support, with a
    little strain and elastic deformation, and asks q(. | M' M^-1 x) to say (k, M'), by
    cross-entropy: the divergence of eq. (6) between starred and new posterior. It trains the
    network; the ELBO trains the code and the decoder.

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
        out = model(x, sample=True, given=(cluster.clamp_min(0), element))
        share = known / known.sum().clamp_min(1)
        reconstruction = (self.likelihood(out.reconstruction, x) * share).sum()
        kl_variation = (inner.variation.kl(out.posterior.variation) * share).sum()
        invariance, moved = self.equivariance(inner, x, cluster, element, weight)
        joint = moved if joint is None else joint  # in training, to spare a pass: nothing learns it
        kl_cluster, kl_pose = hypothesis_kl(joint.detach(), inner.allowed)
        negative_elbo = reconstruction + self.config.objective.beta * (
            kl_cluster + kl_variation + kl_pose
        )
        return Terms(
            loss=negative_elbo + self.config.objective.alpha * invariance,
            negative_elbo=negative_elbo,
            reconstruction=reconstruction,
            kl_cluster=kl_cluster,
            kl_variation=kl_variation,
            kl_pose=kl_pose,
            invariance=invariance,
        )

    def equivariance(
        self,
        inner: DefaultModel,
        x: Float[Tensor, "B C H W"],
        cluster: Tensor,
        element: Float[Tensor, "B 3 3"],
        weight: Float[Tensor, " B"],
    ) -> tuple[Tensor, Float[Tensor, "B K R"]]:
        """Cross-entropy of the moved images' posterior against their known motion, and the latter.

        Where the cluster is unknown, only the rotation is asked for.
        """
        group = inner.group
        there = group.sample(len(x), self.support, device=x.device)
        motion = group.compose(
            there, group.compose(self.strain(len(x), group, x.device), group.inverse(element))
        )
        displacement = (
            torch.randn(len(x), 2, 5, 5, device=x.device) * self.config.start.augment_elastic
        )
        displacement = displacement - displacement.mean((2, 3), keepdim=True)
        moved = warp(x, motion, background=inner.background, displacement=displacement)
        logits, rest = inner.logits(moved)
        log_joint = F.log_softmax(logits.flatten(1), -1).view_as(logits)  # (B, K, R)
        goal = group.to_parameters(there)
        apart = wrapped(goal[:, :1] - inner.angles)
        target = torch.softmax(-apart.square() / (2 * ANGLE_WIDTH**2), -1)  # (B, R)
        rows = torch.arange(len(x), device=x.device)
        one = log_joint[rows, cluster.clamp_min(0)]
        any_cluster = log_joint.logsumexp(1)
        chosen = torch.where((cluster == UNKNOWN)[:, None], any_cluster, one)
        cost = -(target * chosen).sum(-1)
        if group.dim > 1:
            apart = ((rest - goal[:, 1:]).abs() * in_pixels(group, x)).sum(-1)
            cost = cost + REST_WEIGHT * apart * inner.whole(x)
        return (cost * weight).mean(), inner.probabilities(logits)

    def strain(
        self, count: int, group: MatrixGroup, device: torch.device
    ) -> Float[Tensor, "B 3 3"]:
        """Random small scale, stretch and shear about the centre, such as the group does not do."""
        first = max(3, group.dim)
        p = torch.randn(count, 6 - first, device=device) * self.config.start.augment_strain
        return Aff2().from_parameters(F.pad(p, (first, 0)))


def in_pixels(group: MatrixGroup, x: Float[Tensor, "B C H W"]) -> Float[Tensor, " rest"]:
    """Pixels that a unit of each parameter but the rotation moves what lies a quarter side out."""
    pixels = float(side(*x.shape[2:]))
    units = [pixels if unit == "side" else pixels / 4 for unit in group.units[1:]]
    return torch.tensor(units, device=x.device)


def hypothesis_kl(
    joint: Float[Tensor, "B K R"], allowed: Float[Tensor, " R"]
) -> tuple[Tensor, Tensor]:
    """KL of q(k | x) to the uniform prior and of q(r | k, x) to that on the support, batch means.

    Together they are KL(pi || p) of the mixture over hypotheses, the discrete part of eq. (13).
    """
    clusters = joint.sum(-1)  # (B, K)
    total = torch.special.xlogy(joint, joint).sum((1, 2))
    kl_cluster = torch.special.xlogy(clusters, clusters * joint.shape[1]).sum(-1)
    uniform = math.log(joint.shape[1]) + allowed.sum().log()
    return kl_cluster.mean(), (total + uniform - kl_cluster).mean()
