r"""IIC: clusters that an image and its transformed copy agree about (Ji et al., 2019).

Ji, Henriques and Vedaldi, "Invariant information clustering for unsupervised image classification
and segmentation", ICCV 2019, arXiv 1807.06653, and their code (xu-ji/IIC). A network gives an image
x and a randomly transformed copy x' probabilities of K clusters, Phi(x) and Phi(x'). Training
maximises the mutual information of the two clusters under the joint distribution

    P = mean over images of Phi(x) Phi(x')^T, made symmetric,

which is largest if both agree, are sure, and all clusters are as common. From there: a second head
with 5 K clusters (`overclustering`) on the same features, trained every third epoch; five sub-heads
each, of one linear layer; five copies of each of 140 images a step; copies that are turned, scaled
by windows of 16, 20 or 24 pixels in place of 20, and made brighter or darker.

What differs: the encoder is that of all peers, not a VGG, Adam has 1e-3, not 1e-4, and there are 60
epochs at most, not 3,200. Copies are moved within the support, so that clusters are invariant to
what the user says that occurs; there it is 25 degrees, for half of them. The sub-head that counts
is that of the largest information on training images, when the epoch began.

It has no decoder: what it draws of an image is the mean of the images of its cluster.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.groups.precision import full_precision
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.nets import ConvEncoder
from mcevae.models.peers.common import cluster_means, unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec

SUBHEADS, COPIES, MORE = 5, 5, 5
"""Sub-heads of each head, copies of each image, and clusters of the second head for each of K."""
CYCLE = 3
"""Epochs of which the last one trains the second head."""
ZOOM, JITTER = (20 / 24, 20 / 16), 0.4
"""Smallest and largest magnification of a copy, and largest change of brightness and contrast."""
LEAST = 1e-8
"""Smallest probability whose logarithm is taken."""
SEEN, TOGETHER = 2000, 500
"""Images that choose the sub-head and make the averages, and how many of them at once."""


@full_precision  # near the start, all of the joint distribution is hardly above the product
def information(one: Float[Tensor, "B S K"], other: Float[Tensor, "B S K"]) -> Float[Tensor, " S"]:
    """Mutual information in nats of the clusters of B pairs, for each of S sub-heads.

    Args:
        one, other: probabilities of the clusters; rows sum to 1.
    """
    joint = torch.einsum("bsi,bsj->sij", one, other) / len(one)
    joint = ((joint + joint.mT) / 2).clamp_min(LEAST)
    marginal = joint.sum(-1)
    independent = marginal[:, :, None] * marginal[:, None]
    return (joint * (joint.log() - independent.log())).sum((-2, -1))


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """Probabilities by each sub-head.

    Attributes:
        few: (B, S, K), of the clusters.
        many: (B, S, 5 K), of the clusters of the second head.
    """

    few: Tensor
    many: Tensor


class IIC(Model[Sorted]):
    """Image -> features -> probabilities of clusters, by several sub-heads.

    z_c holds the logarithms of the responsibilities.

    Args:
        config: K; filters of the encoder; support of the copies' poses.
        shape: (C, H, W) of the images.
        group: group of the copies' poses. Images themselves get none: theirs are all the identity.

    Attributes:
        chosen: number of the sub-head that counts.
        averages: (K, C, H, W), mean image of each of its clusters.
        over: 1 in epochs that train the second head, else 0. All three are on the device, so that
            they are in checkpoints and every parameter has a gradient at every step.
    """

    chosen: Tensor
    averages: Tensor
    over: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        self.group, self.background = group, config.data.background_level
        self.support, self.clusters = config.support.half_widths(group), config.model.room
        self.encoder = ConvEncoder(shape, config.model.filters)
        self.few = nn.Linear(self.encoder.features, SUBHEADS * self.clusters)
        self.many = nn.Linear(self.encoder.features, SUBHEADS * MORE * self.clusters)
        self.register_buffer("chosen", torch.zeros((), dtype=torch.long))
        self.register_buffer("averages", torch.zeros(self.clusters, *shape))
        self.register_buffer("over", torch.zeros(()))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The mean image of the best cluster of each z_c."""
        return self.averages[z_c.argmax(-1)].to(z_c.dtype)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Sorted]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        features = self.encoder(x)
        few, many = (
            head(features).float().unflatten(-1, (SUBHEADS, -1)).softmax(-1)
            for head in (self.few, self.many)
        )
        own = few.index_select(1, self.chosen[None])[:, 0]
        z_c = own.clamp_min(LEAST).log()
        image = self.canonical(z_c, z_c[:, :0])
        return unposed(Sorted(few=few, many=many), z_c, own, image, self.group)

    def transformed(
        self, x: Float[Tensor, "B C H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Move, magnify, and brighten or darken each image at random.

        Args:
            x: the images.
            generator: source of chance, on the CPU; None: torch's own of the device.
        """
        where = x.device if generator is None else torch.device("cpu")

        def between(low: float, high: float) -> Tensor:
            if generator is None:
                drawn = torch.rand_like(x[:, 0, 0, 0])
            else:
                drawn = torch.rand(len(x), generator=generator)
            return (low + (high - low) * drawn).to(x)

        moved = self.group.sample(
            len(x), self.support, generator=generator, dtype=torch.float32, device=where
        ).to(x.device)
        zoom = between(*ZOOM)
        bigger = torch.diag_embed(torch.stack([zoom, zoom, torch.ones_like(zoom)], -1))
        copies = warp(x, moved.to(x) @ bigger, background=self.background)
        bright, contrast = (between(1 - JITTER, 1 + JITTER)[:, None, None, None] for _ in range(2))
        copies = (bright * copies).clamp(0, 1)
        middle = copies.mean((1, 2, 3), keepdim=True)
        return (middle + contrast * (copies - middle)).clamp(0, 1)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute log K less the information, the part of it that is missing, at least 0.

        It stands in place of the reconstruction and the negative ELBO. The loss is that of the head
        whose turn it is.
        """
        both = torch.cat([x, self.transformed(x.repeat(COPIES, 1, 1, 1))])
        out: Output[Sorted] = model(both, sample=True)
        missing = []
        for p in (out.posterior.few, out.posterior.many):
            one, other = p.split([len(x), COPIES * len(x)])
            found = information(one.repeat(COPIES, 1, 1), other)
            missing.append(math.log(p.shape[-1]) - found.mean())
        few, many = missing
        return assemble(few, kl_cluster=torch.zeros_like(few), penalty=self.over * (many - few))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which gives the heads their turns; see `Model.teacher`."""
        return Turns(self, config, pixels)

    @torch.no_grad()
    def choose(self, pixels: UInt8[Tensor, "N C H W"], noise: torch.Generator) -> None:
        """Choose the sub-head with the largest information, and average images by its clusters.

        Args:
            pixels: the training images.
            noise: draws the copies.
        """
        training = self.training
        self.eval()
        parts = [to_float(some.to(self.over.device)) for some in pixels.split(TOGETHER)]
        probabilities = [
            (self(x).posterior.few, self(self.transformed(x, noise)).posterior.few) for x in parts
        ]
        self.train(training)
        one, other = (torch.cat(both) for both in zip(*probabilities, strict=True))
        self.chosen.copy_(information(one, other).argmax())
        cluster = one[:, self.chosen].argmax(-1)
        self.averages.copy_(cluster_means(torch.cat(parts), cluster, self.clusters))


class Turns(Teacher):
    """Before each epoch, says which head it trains, and chooses the sub-head that counts.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.
    """

    model: IIC

    def __init__(self, model: IIC, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> None:
        super().__init__(model, pixels)
        self.seed = config.train.seed

    def prepare(self, epoch: int, epochs: int) -> str:
        """See `Teacher.prepare`."""
        noise = torch.Generator().manual_seed(self.seed + epoch)
        self.model.choose(self.pixels[:SEEN], noise)
        self.model.over.fill_(float(epoch % CYCLE == CYCLE - 1))
        turn = "the overclustering head learns" if self.model.over.item() else "the clusters learn"
        return f"{turn}; sub-head {self.model.chosen.item() + 1} of {SUBHEADS} counts"


SPEC = ModelSpec(
    build=IIC,
    reads=frozenset({"model.filters"}),
    preset={"model": PAPER_SIZES, "train": {**PAPER_TRAINING, "batch_size": 140}},
)
"""Heads, sub-heads and copies as published."""
