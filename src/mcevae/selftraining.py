"""What the network of preset `default` is taught about each training image, and when that changes.

Nobody knows the clusters and poses of the training images, so the network learns them from ever
better guesses, the starred quantities of eq. (8):

    epoch 0            poses from templates at every angle (`templates`); clusters unknown
    end of warm-up     poses as the network reads them now, which is truer than what it was taught;
                       clusters from the neighbourhood graph of the canonical images (`neighbours`)
    then a few times   cluster and pose drawn from the network's own sharpened posterior

Labels play no part.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.config import Config
from mcevae.groups import MatrixGroup
from mcevae.hypotheses import HypothesisVAE, wrapped
from mcevae.images import to_float
from mcevae.neighbours import start_clusters
from mcevae.templates import centroid, start_poses
from mcevae.warp import warp

UNKNOWN = -1
"""Cluster of an image that has none yet."""

AGREEMENT = 0.7
"""Share of the clusters that the network must agree with before new ones are drawn from it."""

BATCH = 1000


@dataclass(kw_only=True)
class Targets:
    """Current guesses for N training images, in their order; changed in place.

    Attributes:
        cluster: (N,), or `UNKNOWN`.
        element: (N, 3, 3), what moves the canonical image onto the image.
        weight: (N,), how much a guess counts, from 0 to 1.
    """

    cluster: Int[Tensor, " n"]
    element: Float[Tensor, "n 3 3"]
    weight: Float[Tensor, " n"]


class SelfTraining:
    """Keeps the targets of a run's training images.

    Args:
        config: settings of the run.
        pixels: (N, C, H, W) uint8 training images.
        group: of the poses.
    """

    def __init__(
        self, config: Config, pixels: UInt8[Tensor, "n c h w"], group: MatrixGroup
    ) -> None:
        self.config, self.pixels, self.group = config, pixels, group
        n = len(pixels)
        self.targets = Targets(
            cluster=torch.full((n,), UNKNOWN),
            element=group.identity(n),
            weight=torch.ones(n),
        )
        epochs = config.train.epochs
        self.warmup = max(1, round(config.start.warmup * epochs))
        self.interval = max(1, (epochs - self.warmup) // (config.start.redraws + 1))

    def before(self, epoch: int, model: HypothesisVAE) -> str:
        """Bring the targets up to date at the start of an epoch; says what was done."""
        start = self.config.start
        if epoch == 0:
            self.start()
            return f"poses from {start.templates} templates"
        if epoch < self.warmup:
            return ""
        if epoch == self.warmup:
            self.reread(model)
            return f"clusters from the neighbourhood graph, agreement {self.group_images():.2f}"
        if epoch > self.warmup and (epoch - self.warmup) % self.interval == 0:
            return self.redraw(model)
        return ""

    def start(self) -> None:
        """Poses from templates."""
        found = start_poses(
            self.pixels,
            self.group,
            self.config.support.half_widths(self.group),
            templates=self.config.start.templates,
            seed=self.config.train.seed,
            subset=self.config.start.subset,
        )
        self.targets.element.copy_(found.elements)

    @torch.no_grad()
    def posterior(self, model: HypothesisVAE, *, clustered: bool = True) -> tuple[Tensor, ...]:
        """Joint, element, confidence and anchored shift of every training image, on the CPU.

        Before there are clusters the rotation is read from the sum over them.
        """
        model.eval()
        device = model.angles.device
        parts = []
        for chunk in self.pixels.split(BATCH):
            x = to_float(chunk.to(device))
            joint, shift = model.infer(x)
            shift = torch.where(whole(x)[:, None], centroid((x - model.background).abs()), shift)
            if not clustered:
                joint = joint.sum(1, keepdim=True)
            _, element, mass = model.read(joint, shift)
            parts.append([t.cpu() for t in (joint, element, mass, shift)])
        model.train()
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    def reread(self, model: HypothesisVAE) -> None:
        """Poses from the network's likeliest rotation."""
        self.targets.element.copy_(self.posterior(model, clustered=False)[1])

    def group_images(self) -> float:
        """Clusters for a random subset of the canonical images; returns restarts' agreement."""
        seed = self.config.train.seed
        order = torch.randperm(len(self.pixels), generator=torch.Generator().manual_seed(seed))
        rows = order[: self.config.start.subset]
        back = self.group.inverse(self.targets.element[rows])
        canonical = torch.cat(
            [
                warp(to_float(images), M, background=self.config.data.background).clamp(0, 1)
                for images, M in zip(self.pixels[rows].split(BATCH), back.split(BATCH), strict=True)
            ]
        )
        found = start_clusters(
            canonical,
            self.config.model.clusters,
            neighbours=self.config.start.neighbours,
            restarts=self.config.start.restarts,
            seed=seed,
        )
        self.targets.cluster[rows] = found.labels
        return found.agreement

    def redraw(self, model: HypothesisVAE) -> str:
        """Draw every image's hypothesis from the squared posterior; says what came of it.

        Squaring prefers what is sure and still lets doubtful images try another hypothesis. A
        network that contradicts the targets it was given has not learned them yet, and drawing from
        it would throw the clusters away: they are kept until it agrees on `AGREEMENT` of them.
        """
        joint, _, mass, shift = self.posterior(model)
        known = self.targets.cluster != UNKNOWN
        agree = (joint.sum(-1).argmax(-1) == self.targets.cluster)[known].float().mean().item()
        if agree < AGREEMENT:
            return f"targets kept: the network agrees with {100 * agree:.0f} % of the clusters yet"
        rotations = joint.shape[2]
        drawn = torch.multinomial(joint.flatten(1).square(), 1)[:, 0]
        jitter = (torch.rand(len(drawn)) - 0.5) * (2 * torch.pi / rotations)
        angle = wrapped(model.angles.cpu()[drawn % rotations] + jitter)
        cluster = drawn // rotations
        self.targets.cluster.copy_(cluster)
        self.targets.element.copy_(model.element(angle, shift))
        self.targets.weight.copy_(mass)
        return f"clusters and poses drawn again; the network agreed with {100 * agree:.1f} %"


def whole(x: Float[Tensor, "B C H W"]) -> Tensor:
    """(B,) whether an image does not touch its border, so that its centroid can be trusted."""
    frame = F.pad(torch.zeros_like(x[:, :, 1:-1, 1:-1]), (1, 1, 1, 1), value=1.0)
    return (x * frame).sum((1, 2, 3)) < 0.5
