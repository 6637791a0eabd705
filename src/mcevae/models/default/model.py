"""The model of preset `default`: a mixture over clusters and pose hypotheses.

image x -> q(k, r | x), a probability for each cluster k and each rotation r of a grid; a shift,
           and whatever else the group can do (scale, stretch, shear)
(x, k, pose) -> x moved back by its pose -> z
(k, z) -> canonical image; the pose moves it -> reconstruction of x

This is eq. (10) of the paper with weights that depend on x, its components being pairs of a cluster
and a pose. Only rotations inside the support have any prior probability, which pins each cluster's
canonical frame, and tells apart clusters that differ in their pose alone, such as 6 and 9.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup, within, wrapped
from mcevae.geometry.moments import moments, whole
from mcevae.geometry.warp import warp
from mcevae.models.distributions import GaussianLatent
from mcevae.models.nets import CodeDecoder, CodeEncoder, HypothesisNet
from mcevae.models.paper import Output


@dataclass(frozen=True, kw_only=True)
class HypothesisPosterior:
    """q(k, r, z | x).

    Attributes:
        joint: (B, K, R), probability of each cluster and rotation; sums to 1 over both.
        element: (B, 3, 3), the pose read from it.
        variation: Normal with batch shape (B, V), given the likeliest hypothesis.
    """

    joint: Tensor
    element: Tensor
    variation: Normal


class DefaultModel(nn.Module):
    """Same verbs and outputs as `MCEVAE`.

    z_c holds the logarithms of the responsibilities, so that `canonical` and `decode` take a point
    of the simplex, a pure cluster or a blend, as K numbers like the paper's.

    Attributes:
        clusters: K, those in use: at first as many as the net has room for (`use`).

    Args:
        group: so2, se2, sim2 or aff2; rotation is its first coordinate.
        support: half-widths of the group's parameters; only rotations inside have any prior mass.
        net: images with masks to logits (B, K, R) and the T - 1 parameters other than the rotation.
        encoder: images to the parameters of z, given the cluster's weights.
        decoder: z to canonical images, given the cluster's weights.
        variation: prior and posterior of z.
        background: value that moves in from outside the frame, from 0 to 1.
        from_canonical: whether z is read from the image moved back by its pose, or as it lies.
    """

    angles: Tensor
    allowed: Tensor

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
        from_canonical: bool = True,
    ) -> None:
        super().__init__()
        self.from_canonical = from_canonical
        self.group, self.net, self.encoder, self.decoder = group, net, encoder, decoder
        self.variation, self.background = variation, background
        rotations = net.shape[1]
        angles = wrapped(torch.arange(rotations) * (2 * math.pi / rotations))
        self.register_buffer("angles", angles)
        self.register_buffer("allowed", within(angles, support[0], 2 * math.pi / rotations).float())
        self.clusters = net.shape[0]

    def use(self, clusters: int) -> None:
        """Leave out all but the first K of the clusters that the net has room for.

        Raises:
            ValueError: K is below 1 or more than there is room for.
        """
        if not 1 <= clusters <= self.net.shape[0]:
            raise ValueError(f"There is room for 1 to {self.net.shape[0]} clusters, not {clusters}")
        self.clusters = clusters

    def get_extra_state(self) -> Tensor:
        """K, which checkpoints hold beside the weights."""
        return torch.tensor(self.clusters)

    def set_extra_state(self, state: Tensor) -> None:
        """Inverse of `get_extra_state`."""
        self.use(int(state))

    def logits(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B rest"]]:
        """Raw logits of all hypotheses, and the parameters other than the rotation.

        The net sees the image moved back by its moments, as far as the group can, beside a mask of
        what came from inside the frame, and says how far the canonical pose is from there.
        """
        upright = torch.zeros_like(x[:, 0, 0, 0])
        guess = self.element(upright, self.moments(x))
        back = self.group.inverse(guess)
        seen = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        nothing = x.new_tensor([self.background] * x.shape[1] + [0.0])
        logits, rest = self.net(warp(seen, back, background=nothing))
        found = self.group.compose(guess, self.element(upright, rest.float()))
        return logits[:, : self.clusters].float(), self.group.to_parameters(found)[:, 1:]

    def moments(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B rest"]:
        """What the moments of the images' intensities say of these parameters."""
        return moments((x - self.background).abs(), self.group)

    def whole(self, x: Float[Tensor, "B C H W"]) -> Bool[Tensor, " B"]:
        """Which images show all of their content, so that those moments can be trusted."""
        return whole((x - self.background).abs())

    def infer(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B rest"]]:
        """Probabilities of all hypotheses inside the support, and the other parameters."""
        logits, rest = self.logits(x)
        return self.probabilities(logits), rest

    def probabilities(self, logits: Float[Tensor, "B K R"]) -> Float[Tensor, "B K R"]:
        """Softmax over all hypotheses inside the support."""
        inside = logits.masked_fill(self.allowed == 0, -math.inf)
        return torch.softmax(inside.flatten(1), -1).view_as(logits)

    def read(
        self, joint: Float[Tensor, "B K R"], rest: Float[Tensor, "B rest"]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, "B 3 3"], Float[Tensor, " B"]]:
        """Likeliest cluster, its pose, and the probability near that hypothesis.

        The angle is the mean over three grid steps to both sides of the mode, smoothed by one.
        """
        responsibilities = joint.sum(-1)
        cluster = responsibilities.argmax(-1)
        p = joint[torch.arange(joint.shape[0], device=joint.device), cluster]  # (B, R)
        smooth = p + p.roll(1, -1) + p.roll(-1, -1)
        steps = torch.arange(-3, 4, device=p.device)
        near = (smooth.argmax(-1, keepdim=True) + steps) % p.shape[1]  # (B, 7)
        weight = p.gather(1, near)
        mass = weight.sum(-1)
        step = 2 * math.pi / p.shape[1]
        offset = (weight * steps).sum(-1) / mass.clamp_min(1e-12) * step
        angle = wrapped(self.angles[near[:, 3]] + offset)
        return cluster, self.element(angle, rest), mass

    def element(
        self, angle: Float[Tensor, " B"], rest: Float[Tensor, "B rest"]
    ) -> Float[Tensor, "B 3 3"]:
        """Group elements from angles in radians and the other parameters."""
        return self.group.from_parameters(torch.cat([angle[:, None], rest], -1))

    def one_hot(self, cluster: Int[Tensor, " B"]) -> Float[Tensor, "B room"]:
        """Weights of pure clusters, as encoder and decoder take them."""
        return F.one_hot(cluster, self.net.shape[0]).float()

    def explain(
        self,
        x: Float[Tensor, "B C H W"],
        weights: Float[Tensor, "B room"],
        element: Float[Tensor, "B 3 3"],
        sample: bool,
    ) -> tuple[Normal, Tensor, Tensor]:
        """Posterior of z, drawn z and canonical image under a hypothesis."""
        u = x
        if self.from_canonical:
            u = warp(x, self.group.inverse(element), background=self.background)
        q = self.variation.posterior(self.encoder(torch.cat([u.flatten(1), weights], -1)).float())
        z = q.rsample() if sample else q.loc
        return q, z, self.decoder(torch.cat([weights, z], -1)).to(z.dtype)

    def encode(self, x: Float[Tensor, "B C H W"]) -> HypothesisPosterior:
        """Posterior of the latents given images with values from 0 to 1."""
        return self(x, sample=False).posterior

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Pose-free image of a cluster (log-weights, any constant may be added) and a variation."""
        weights = F.pad(torch.softmax(z_c, -1), (0, self.net.shape[0] - z_c.shape[-1]))
        return self.decoder(torch.cat([weights, z], -1)).to(z.dtype)

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
            joint, rest = self.infer(x)
            cluster, element, _ = self.read(joint, rest)
        else:
            cluster, element = given
            joint = F.one_hot(cluster, self.clusters).float()[..., None] * self.allowed
            joint = joint / joint.sum((1, 2), keepdim=True)
        q, z, canonical = self.explain(x, self.one_hot(cluster), element, draw)
        responsibilities = joint.sum(-1)
        return Output(
            posterior=HypothesisPosterior(joint=joint, element=element, variation=q),
            z_c=responsibilities.clamp_min(1e-6).log(),
            z=z,
            tau=self.group.log(element),
            element=element,
            responsibilities=responsibilities,
            canonical=canonical,
            reconstruction=warp(canonical, element, background=self.background),
        )
