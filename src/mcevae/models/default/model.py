"""The model of preset `default`: a mixture over clusters and poses.

image x -> q(k, r | x), a probability for each cluster k and each rotation r of a grid; a shift,
           and what else the group has (scale, stretch, shear). With mirror images (`--mirror`)
           the grid has each rotation twice, plain and mirrored. A group given by its generators
           has no grid, R = 1: the network gives all of its coordinates as numbers.
(x, k, pose) -> x moved back by its pose -> z
(k, z) -> canonical image; the pose moves it -> reconstruction of x

This is eq. (10) of the paper with weights that depend on x. Each component is a hypothesis: a pair
of a cluster and a pose. Rotations outside the support have no probability. This fixes the frame of
each cluster, and separates clusters that differ only in their pose, such as 6 and 9.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.distributions import Normal

from mcevae.geometry.groups import MatrixGroup, reflect, within, wrapped
from mcevae.geometry.moments import moments, whole
from mcevae.geometry.warp import warp
from mcevae.models.config import PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms
from mcevae.models.default.shifts import WORSE, Explained, centred, either_of
from mcevae.models.default.simulated import Simulated
from mcevae.models.distributions import GaussianLatent
from mcevae.models.nets import CodeDecoder, CodeEncoder, HypothesisNet
from mcevae.models.room import Room


@dataclass(frozen=True, kw_only=True)
class HypothesisPosterior:
    """q(k, r, z | x).

    Attributes:
        joint: (B, K, R), probability of each cluster and rotation; sums to 1 over both. With
            mirror images it is (B, K, 2 R): the rotations, then the same with a mirror image.
        element: (B, 3, 3), the pose read from it.
        variation: Normal with batch shape (B, V), given the likeliest hypothesis.
    """

    joint: Tensor
    element: Tensor
    variation: Normal


class DefaultModel(Room, Model[HypothesisPosterior]):
    """A mixture over clusters and poses.

    z_c holds the logarithms of the responsibilities. So `canonical` and `decode` take a pure
    cluster or a blend of clusters as K numbers, as in the paper's model.

    Attributes:
        clusters: K, the number of clusters in use. `use` can make it smaller than the net allows.
        rotations: R, the number of rotations of the grid.
        angles: (R,) the rotations of the grid, radians.
        mirrored: (R,) whether a mirror image comes before the rotation.
        allowed: (R,) 1 for rotations inside the support, 0 outside.
        simulated: what images are drawn from in training, if those at hand are mostly noise.

    If the group has reflections, the last three have 2 R entries, and so has every R below: first
    the rotations, then the same rotations of a mirror image.

    Args:
        group: group of the poses.
        support: half-widths of the group's parameters; only rotations inside have any prior mass.
        net: images with masks to logits (B, K, R) and the parameters other than the rotation.
        encoder: images to the parameters of z, given the cluster's weights.
        decoder: z to canonical images, given the cluster's weights.
        variation: prior and posterior of z.
        objective: what is minimised, called as `HypothesisObjective` is.
        teaching: makes the teacher from settings, training images and the model.
        background: value that moves in from outside the frame, from 0 to 1.
        from_canonical: whether z is read from the image moved back by its pose, or as it lies.
    """

    angles: Tensor
    mirrored: Tensor
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
        objective: Callable[..., Terms],
        teaching: Callable[..., Teacher],
        background: float = 0.0,
        from_canonical: bool = True,
    ) -> None:
        super().__init__()
        self.from_canonical = from_canonical
        self.group, self.net, self.encoder, self.decoder = group, net, encoder, decoder
        self.variation, self.background = variation, background
        self.objective, self.teaching = objective, teaching
        signs = 2 if group.mirrors else 1
        self.rotations = net.shape[1] // signs
        step = 2 * math.pi / self.rotations
        angles = wrapped(torch.arange(self.rotations) * step).repeat(signs)
        mirrored = torch.arange(signs).repeat_interleave(self.rotations) == 1
        self.register_buffer("angles", angles)
        self.register_buffer("mirrored", mirrored, persistent=False)
        self.register_buffer("allowed", within(angles, support[0], step).float())
        self.room = self.clusters = net.shape[0]
        self.simulated: Simulated | None = None

    @property
    def grows(self) -> Mapping[str, int]:
        """Logits come before the other parameters; cluster weights after pixels, and before z."""
        rest = self.net.last.out_features - math.prod(self.net.shape)
        logits = {f"net.last.{name}": rest for name in ("weight", "bias")}
        return {**logits, "encoder.0.weight": 0, "decoder.0.weight": self.variation.dim}

    def logits(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B rest"]]:
        """Compute logits of all hypotheses, and the parameters other than the rotation.

        Moments give a first guess of the pose. The net gets the image moved back by this guess, and
        a mask of the pixels that came from inside the image. It finds the pose relative to the
        guess. For a group given by generators there is no guess; the net gets the image itself.
        """
        mask = self._buffers.get("mask")
        inside = torch.ones_like(x[:, :1]) if mask is None else mask.expand(len(x), -1, -1, -1)
        seen = torch.cat([x, inside], 1)
        if not self.group.polar:
            logits, rest = self.net(seen)
            return logits[:, : self.clusters].float(), rest.float()
        upright = torch.zeros_like(x[:, 0, 0, 0])
        guess = self.element(upright, self.moments(x))
        back = self.group.inverse(guess)
        nothing = x.new_tensor([self.background] * x.shape[1] + [0.0])
        logits, rest = self.net(warp(seen, back, background=nothing))
        found = self.group.compose(guess, self.element(upright, rest.float()))
        return logits[:, : self.clusters].float(), self.group.to_parameters(found)[:, 1:]

    def moments(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B rest"]:
        """Guess the parameters other than the rotation from the moments of the images."""
        return moments((x - self.background).abs(), self.group)

    def whole(self, x: Float[Tensor, "B C H W"]) -> Bool[Tensor, " B"]:
        """Tell which images show all of their content, so that their moments are right."""
        return whole((x - self.background).abs())

    def infer(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B rest"]]:
        """Compute the probabilities of all hypotheses in the support, and the other parameters."""
        logits, rest = self.logits(x)
        return self.probabilities(logits), rest

    def probabilities(self, logits: Float[Tensor, "B K R"]) -> Float[Tensor, "B K R"]:
        """Apply a softmax over all hypotheses inside the support."""
        inside = logits.masked_fill(self.allowed == 0, -math.inf)
        return torch.softmax(inside.flatten(1), -1).view_as(logits)

    def read(
        self, joint: Float[Tensor, "B K R"], rest: Float[Tensor, "B rest"]
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, "B 3 3"], Float[Tensor, " B"]]:
        """Return the most probable cluster, its pose, and the probability near that hypothesis.

        The angle is a mean over three grid steps on each side of the peak of the smoothed
        probabilities; the mirrored and the other rotations are not mixed. If the grid has one angle
        only, it is this angle.
        """
        responsibilities = joint.sum(-1)
        cluster = responsibilities.argmax(-1)
        p = joint[torch.arange(joint.shape[0], device=joint.device), cluster]  # (B, R)
        by_sign = p.unflatten(-1, (-1, self.rotations))
        smooth = by_sign + by_sign.roll(1, -1) + by_sign.roll(-1, -1)
        peak = smooth.flatten(1).argmax(-1, keepdim=True)  # (B, 1)
        reach = min(3, (self.rotations - 1) // 2)
        steps = torch.arange(-reach, reach + 1, device=p.device)
        turn = peak % self.rotations
        near = peak - turn + (turn + steps) % self.rotations  # (B, 7)
        weight = p.gather(1, near)
        mass = weight.sum(-1)
        step = 2 * math.pi / self.rotations
        offset = (weight * steps).sum(-1) / mass.clamp_min(1e-12) * step
        best = peak[:, 0]
        angle = wrapped(self.angles[best] + offset)
        return cluster, self.element(angle, rest, self.mirrored[best]), mass

    def about(
        self, turn: Int[Tensor, " B"], rest: Float[Tensor, "B rest"]
    ) -> Float[Tensor, "B 3 3"]:
        """Draw poses about these rotations of the grid, up to half a step from them; on the CPU."""
        jitter = (torch.rand(len(turn)) - 0.5) * (2 * math.pi / self.rotations)
        angle = wrapped(self.angles.cpu()[turn] + jitter)
        return self.element(angle, rest, self.mirrored.cpu()[turn])

    def element(
        self,
        angle: Float[Tensor, " B"],
        rest: Float[Tensor, "B rest"],
        mirrored: Bool[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B 3 3"]:
        """Make group elements from angles in radians, the other parameters, and their signs.

        Args:
            angle: rotations in radians.
            rest: the other parameters of the group.
            mirrored: which elements have a mirror image before all else; None: none of them.
        """
        parameters = torch.cat([angle[:, None], rest], -1) if self.group.polar else rest
        proper = self.group.from_parameters(parameters)
        return proper if mirrored is None else reflect(proper, mirrored)

    def one_hot(self, cluster: Int[Tensor, " B"]) -> Float[Tensor, "B room"]:
        """Return the weights of pure clusters, as encoder and decoder take them."""
        return F.one_hot(cluster, self.net.shape[0]).float()

    def explain(
        self,
        x: Float[Tensor, "B C H W"],
        weights: Float[Tensor, "B room"],
        element: Float[Tensor, "B 3 3"],
        sample: bool,
    ) -> tuple[Normal, Tensor, Tensor]:
        """Return the posterior of z, a z, and the canonical image, for a given cluster and pose.

        Args:
            x: images with values from 0 to 1.
            weights: weights of the clusters.
            element: poses.
            sample: draw z from its posterior, or take the mean.
        """
        u = x
        if self.from_canonical:
            u = warp(x, self.group.inverse(element), background=self.background)
        q = self.variation.posterior(self.encoder(torch.cat([u.flatten(1), weights], -1)).float())
        z = q.rsample() if sample else q.loc
        return q, z, self.drawn(weights, z)

    def centre(
        self,
        x: Float[Tensor, "B C H W"],
        weights: Float[Tensor, "B room"],
        told: Explained,
        sample: bool,
    ) -> Explained:
        """Shift poses to the centroids of the whole content, and explain the images once more.

        Where this makes the drawing worse, the first explanation stays; see `shifts.centred`.

        Args:
            x, weights, sample: as for `explain`.
            told: the first explanation.
        """
        if "shift_x" not in self.group.coordinates or self._buffers.get("mask") is not None:
            return told
        element, _, _, canonical, drawn = told
        moved = centred(x, canonical, drawn, element, self.group, self.background)
        q, z, upright = self.explain(x, weights, moved, sample)
        other = (moved, q, z, upright, warp(upright, moved, background=self.background))
        before, after = ((x - each[-1]).square().sum((1, 2, 3)) for each in (told, other))
        return either_of(after <= WORSE * before, other, told)

    def encode(self, x: Float[Tensor, "B C H W"]) -> HypothesisPosterior:
        """Infer the posterior of the latents from images with values from 0 to 1."""
        return self(x, sample=False).posterior

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical image of a cluster (log-weights up to a constant) and a variation."""
        weights = F.pad(torch.softmax(z_c, -1), (0, self.net.shape[0] - z_c.shape[-1]))
        return self.drawn(weights, z)

    def drawn(
        self, weights: Float[Tensor, "B room"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical images of weights of clusters and variations."""
        canonical = self.decoder(torch.cat([weights, z], -1)).to(z.dtype)
        return self.masked(canonical, "upright_mask")

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        sample: bool | None = None,
        given: tuple[Int[Tensor, " B"], Float[Tensor, "B 3 3"]] | None = None,
        evidence: Float[Tensor, "B K"] | None = None,
    ) -> Output[HypothesisPosterior]:
        """Infer cluster and pose, or take given ones, and reconstruct the image from them.

        Args:
            x: images with values from 0 to 1.
            sample: draw z, or take its mean. None: draw in training mode only.
            given: clusters and elements to use instead of inferring them.
            evidence: logarithms of likelihoods of the clusters, from elsewhere; they join the
                posterior by Bayes' rule.
        """
        draw = self.draws(sample)
        if given is None:
            joint, rest = self.infer(x)
            if evidence is not None:
                joint = joint * evidence.exp()[..., None]
                joint = joint / joint.sum((1, 2), keepdim=True).clamp_min(1e-30)
            cluster, element, _ = self.read(joint, rest)
        else:
            cluster, element = given
            joint = F.one_hot(cluster, self.clusters).float()[..., None] * self.allowed
            joint = joint / joint.sum((1, 2), keepdim=True)
        weights = self.one_hot(cluster)
        q, z, canonical = self.explain(x, weights, element, draw)
        told = (element, q, z, canonical, warp(canonical, element, background=self.background))
        if given is None and not self.training:
            told = self.centre(x, weights, told, draw)
        element, q, z, canonical, drawn = told
        responsibilities = joint.sum(-1)
        return Output(
            posterior=HypothesisPosterior(joint=joint, element=element, variation=q),
            z_c=responsibilities.clamp_min(1e-6).log(),
            z=z,
            tau=self.group.log(element),
            element=element,
            responsibilities=responsibilities,
            canonical=canonical,
            reconstruction=self.masked(drawn),
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the terms of the objective; see `Model.terms`."""
        return self.objective(model, self, x, batch)

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which keeps a target for every training image; see `Model.teacher`."""
        return self.teaching(config, pixels, self)

    def rotation_probabilities(self, out: Output[HypothesisPosterior]) -> Float[Tensor, "B R"]:
        """Read them from the joint posterior; see `Model.rotation_probabilities`."""
        joint = out.posterior.joint
        rows = torch.arange(joint.shape[0], device=joint.device)
        own = joint[rows, out.responsibilities.argmax(-1)]
        return own / own.sum(-1, keepdim=True)
