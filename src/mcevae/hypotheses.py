"""The model of preset `default`: a mixture over clusters and pose hypotheses.

image x -> q(k, r | x), a probability for each cluster k and each rotation r of a grid; a shift
(x, k, pose) -> x moved back by its pose -> z, and a small refinement of the pose
(k, z) -> canonical image; the pose moves it -> reconstruction of x

This is eq. (10) of the paper with weights that depend on x, its components being pairs of a cluster
and a pose. Only rotations inside the support have any prior probability, which pins each cluster's
canonical frame, and tells apart clusters that differ in their pose alone, such as 6 and 9.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.distributions import GaussianLatent
from mcevae.groups import MatrixGroup
from mcevae.model import Output
from mcevae.nets import CodeDecoder, CodeEncoder, HypothesisNet
from mcevae.templates import centroid
from mcevae.warp import warp

REFINEMENT = (0.3, 0.05, 0.05)
"""Largest refinement of a hypothesis: radians, image sides along x and y."""


@dataclass(frozen=True, kw_only=True)
class HypothesisPosterior:
    """q(k, r, z | x).

    Attributes:
        joint: (B, K, R), probability of each cluster and rotation; sums to 1 over both.
        element: (B, 3, 3), the pose read from it, before refinement.
        variation: Normal with batch shape (B, V), given the likeliest hypothesis.
    """

    joint: Tensor
    element: Tensor
    variation: Normal
    refinement: Tensor


class HypothesisVAE(nn.Module):
    """Same verbs and outputs as `MCEVAE`.

    z_c holds the logarithms of the responsibilities, so that `canonical` and `decode` take a point
    of the simplex, a pure cluster or a blend, as K numbers like the paper's.

    Args:
        group: so2 or se2 (`Config` refuses others).
        support: half-widths of the group's parameters; only rotations inside have any prior mass.
        net: images with masks to logits (B, K, R) and shifts.
        encoder, decoder: of z, given the cluster's weights.
        variation: prior and posterior of z.
        background: value that moves in from outside the frame, from 0 to 1.
    """

    angles: Tensor
    allowed: Tensor
    limit: Tensor

    def __init__(
        self,
        *,
        group: MatrixGroup,
        support: tuple[float, ...],
        net: HypothesisNet,
        encoder: CodeEncoder,
        decoder: CodeDecoder,
        variation: GaussianLatent,
        background: float = 0.0,
    ) -> None:
        super().__init__()
        self.group, self.net, self.encoder, self.decoder = group, net, encoder, decoder
        self.variation, self.background = variation, background
        rotations = net.shape[1]
        angles = wrapped(torch.arange(rotations) * (2 * math.pi / rotations))
        self.register_buffer("angles", angles)
        edge = support[0] + math.pi / rotations  # a grid value stands for half a step either way
        self.register_buffer("allowed", (angles.abs() <= edge).float())
        self.register_buffer("limit", torch.tensor(REFINEMENT[: group.dim]))

    @property
    def clusters(self) -> int:
        """K."""
        return self.net.shape[0]

    def logits(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B 2"]]:
        """Raw logits of all hypotheses, and the shift in image sides.

        With shifts in the group, the net sees the image moved by its centroid, beside a mask of
        what came from inside the frame, and says how far the canonical centre is from there.
        """
        center = torch.zeros_like(x[:, 0, 0, :2])
        if "shift_x" in self.group.coordinates:
            center = centroid((x - self.background).abs())
        seen = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        nothing = x.new_tensor([self.background] * x.shape[1] + [0.0])
        logits, shift = self.net(warp(seen, translation(-center), background=nothing))
        return logits.float(), center + shift.float()

    def infer(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B 2"]]:
        """Probabilities of all hypotheses inside the support, and the shift in image sides."""
        logits, shift = self.logits(x)
        return self.probabilities(logits), shift

    def probabilities(self, logits: Float[Tensor, "B K R"]) -> Float[Tensor, "B K R"]:
        """Softmax over all hypotheses inside the support."""
        inside = logits.masked_fill(self.allowed == 0, -math.inf)
        return torch.softmax(inside.flatten(1), -1).view_as(logits)

    def read(
        self, joint: Float[Tensor, "B K R"], shift: Float[Tensor, "B 2"]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, "B 3 3"], Float[Tensor, " B"]]:
        """Likeliest cluster, its pose, and the probability near that hypothesis.

        The angle is the mean over three grid steps to both sides of the mode, smoothed by one.
        """
        responsibilities = joint.sum(-1)
        cluster = responsibilities.argmax(-1)
        p = joint[torch.arange(len(joint), device=joint.device), cluster]  # (B, R)
        smooth = p + p.roll(1, -1) + p.roll(-1, -1)
        steps = torch.arange(-3, 4, device=p.device)
        near = (smooth.argmax(-1, keepdim=True) + steps) % p.shape[1]  # (B, 7)
        weight = p.gather(1, near)
        mass = weight.sum(-1)
        step = 2 * math.pi / p.shape[1]
        offset = (weight * steps).sum(-1) / mass.clamp_min(1e-12) * step
        angle = wrapped(self.angles[near[:, 3]] + offset)
        return cluster, self.element(angle, shift), mass

    def element(
        self, angle: Float[Tensor, " B"], shift: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B 3 3"]:
        """Group elements from angles in radians and shifts in image sides."""
        return self.group.from_parameters(
            torch.cat([angle[:, None], shift], -1)[:, : self.group.dim]
        )

    def explain(
        self,
        x: Float[Tensor, "B C H W"],
        weights: Float[Tensor, "B K"],
        element: Float[Tensor, "B 3 3"],
        sample: bool,
    ) -> tuple[Normal, Tensor, Tensor, Tensor, Tensor]:
        """Posterior of z, drawn z, refinement, element and canonical image under a hypothesis."""
        u = warp(x, self.group.inverse(element), background=self.background)
        code = self.encoder(torch.cat([u.flatten(1), weights], -1)).float()
        latent, raw = code.split([2 * self.variation.dim, self.group.dim], -1)
        q = self.variation.posterior(latent)
        z = q.rsample() if sample else q.loc
        refinement = torch.tanh(raw) * self.limit
        moved = self.group.compose(element, self.group.from_parameters(refinement))
        return q, z, raw, moved, self.decoder(torch.cat([weights, z], -1)).to(z.dtype)

    def encode(self, x: Float[Tensor, "B C H W"]) -> HypothesisPosterior:
        """Posterior of the latents given images with values from 0 to 1."""
        return self(x, sample=False).posterior

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Pose-free image of a cluster (log-weights, any constant may be added) and a variation."""
        return self.decoder(torch.cat([torch.softmax(z_c, -1), z], -1)).to(z.dtype)

    def decode(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], tau: Float[Tensor, "B T"]
    ) -> Float[Tensor, "B C H W"]:
        """The canonical image moved by exp(tau), bilinearly."""
        canonical = self.canonical(z_c, z)
        return warp(canonical, self.group.exp(tau), background=self.background)

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        sample: bool | None = None,
        given: tuple[Int[Tensor, " B"], Float[Tensor, "B 3 3"]] | None = None,
    ) -> Output:
        """Infer the hypothesis, or take a given one, and explain the image under it.

        Args:
            x: images with values from 0 to 1.
            sample: draw z, or take its mean. None: draw in training mode only.
            given: clusters and elements to explain the images by, in place of inferring them.
        """
        draw = self.training if sample is None else sample
        if given is None:
            joint, shift = self.infer(x)
            cluster, element, _ = self.read(joint, shift)
        else:
            cluster, element = given
            joint = F.one_hot(cluster, self.clusters).float()[..., None] * self.allowed
            joint = joint / joint.sum((1, 2), keepdim=True)
        weights = F.one_hot(cluster, self.clusters).to(x.dtype)
        q, z, raw, moved, canonical = self.explain(x, weights, element, draw)
        responsibilities = joint.sum(-1)
        return Output(
            posterior=HypothesisPosterior(
                joint=joint, element=element, variation=q, refinement=raw
            ),
            z_c=responsibilities.clamp_min(1e-6).log(),
            z=z,
            tau=self.group.log(moved),
            element=moved,
            responsibilities=responsibilities,
            canonical=canonical,
            reconstruction=warp(canonical, moved, background=self.background),
        )


def wrapped(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """The same angles within [-pi, pi)."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


def translation(shift: Float[Tensor, "B 2"]) -> Float[Tensor, "B 3 3"]:
    """Elements that shift by (x, y) image sides."""
    matrix = torch.eye(3, dtype=shift.dtype, device=shift.device).repeat(len(shift), 1, 1)
    return torch.cat([matrix[:, :, :2], torch.cat([shift, matrix[:, 2, 2:]], -1)[..., None]], -1)
