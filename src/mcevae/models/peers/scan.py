r"""SCAN on an invariant code: neighbours get the same cluster (Van Gansbeke et al., 2020).

Van Gansbeke, Vandenhende, Georgoulis, Proesmans and Van Gool, "SCAN: learning to classify images
without labels", ECCV 2020, arXiv 2005.12320, and their code (wvangansbeke/
Unsupervised-Classification). First a code is learned without labels, and the nearest neighbours of
each image in this code are found. Then a network Phi learns to give an image x and a neighbour n
the same cluster, and all clusters as many images:

    -mean log <Phi(x), Phi(n)> - 5 H(mean Phi(x)),   H the entropy.

At last images with a cluster of a probability above 0.99 teach it to their own changed copies, by
cross-entropy, weighed so that all clusters count alike. From there: 20 neighbours, of which one is
drawn at random each time; batches of 128; one head; Adam.

Kwon, Choi and Ryu ("Rotation and translation invariant representation learning with implicit neural
representations", ICML 2023) take an invariant code, IRL-INR, so that SCAN sorts images whatever
their pose. Here the neighbours are those of our invariant graph (`teaching.graph`: images on rings
about their middle, compared at all rotations, by the tangent distance), because it is there, is
invariant by its build and needs no training. Then there is no code with whose weights the network
could start, so it starts from random ones, with the encoder of all peers (there: a ResNet-18), and
Adam has 1e-3, not 1e-4. Neighbours and copies are moved within the support (there: random crops,
colours, and patches that are cut out). The second stage takes half of at most 60 epochs, not 50
of 250.

The model has no decoder and no poses: what it draws is the mean image of a cluster.
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import require, to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.nets import ConvEncoder
from mcevae.models.peers.common import cluster_means, unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec
from mcevae.teaching.graph import describe_pixels, invariant_graph, reach_of

EVEN, SURE = 5.0, 0.99
"""Weight of the entropy, and the probability above which an image teaches its cluster."""
SHARE = 0.5
"""Share of the epochs after which images teach their copies."""
UNKNOWN = -1
"""Stands for neighbours that are not found yet."""
LEAST = 1e-8
"""Smallest probability whose logarithm is taken."""
SEEN, TOGETHER = 2000, 500
"""Images whose means are drawn, and how many of them are read at once."""


def semantic_loss(own: Float[Tensor, "B K"], theirs: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """The loss of the second stage, and 5 log K, so that it is never below 0; in nats.

    Args:
        own: probabilities of the clusters of images; rows sum to 1.
        theirs: those of a neighbour of each.
    """
    together = (own * theirs).sum(-1).clamp_min(LEAST).log().mean()
    share = own.mean(0).clamp_min(LEAST)
    entropy = -(share * share.log()).sum()
    return EVEN * (math.log(own.shape[-1]) - entropy) - together


def self_label_loss(own: Float[Tensor, "B K"], copies: Float[Tensor, "B K"]) -> Float[Tensor, ""]:
    """The loss of the third stage, in nats; 0 if no image is sure of its cluster.

    Args:
        own: probabilities of the clusters of images, which teach; rows sum to 1.
        copies: those of their changed copies, which learn.
    """
    most, cluster = own.detach().max(-1)
    sure = (most > SURE).to(own.dtype)
    count = torch.zeros_like(own[0]).index_add_(0, cluster, sure)
    weight = sure / count[cluster].clamp_min(1)
    errors = -copies.gather(1, cluster[:, None])[:, 0].clamp_min(LEAST).log()
    return (weight * errors).sum() / weight.sum().clamp_min(LEAST)


class SCAN(Model[Tensor]):
    """Image -> features -> probabilities of clusters.

    The posterior of an output is these probabilities; z_c holds their logarithms.

    Args:
        config: K; filters of the encoder; number of neighbours; support of the copies' poses.
        shape: (C, H, W) of the images.
        group: group of the copies' poses. Images themselves get none: theirs are all the identity.

    Attributes:
        averages: (K, C, H, W), mean image of each cluster.
        labelling: 1 in the last stage, else 0. It is a number on the device so that it is in
            checkpoints.

    Raises:
        UserError: the group has no rotations, in which neighbours could be looked for.
    """

    averages: Tensor
    labelling: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        require(group.polar, f"preset scan turns images, and group {group.name} does not.")
        self.group, self.background = group, config.data.background_level
        self.support, self.clusters = config.support.half_widths(group), config.model.room
        self.encoder = ConvEncoder(shape, config.model.filters)
        self.head = nn.Linear(self.encoder.features, self.clusters)
        self.register_buffer("averages", torch.zeros(self.clusters, *shape))
        self.register_buffer("labelling", torch.zeros(()))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The mean image of the best cluster of each z_c."""
        return self.averages[z_c.argmax(-1)].to(z_c.dtype)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Tensor]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        found = self.head(self.encoder(x)).float().softmax(-1)
        z_c = found.clamp_min(LEAST).log()
        return unposed(found, z_c, found, self.canonical(z_c, z_c[:, :0]), self.group)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the loss of the stage. That of the second one stands as the reconstruction.

        Validation images have no neighbours; a moved copy stands for them.
        """
        partner = to_float(batch["partner"]) if "partner" in batch else x
        move = self.group.sample(len(x), self.support, dtype=torch.float32, device=x.device).to(x)
        moved = warp(partner, move, background=self.background)
        out: Output[Tensor] = model(torch.cat([x, moved]), sample=True)
        own, theirs = out.posterior.chunk(2)
        error = semantic_loss(own, theirs)
        penalty = self.labelling * (self_label_loss(own, theirs) - error)
        return assemble(error, kl_cluster=torch.zeros_like(error), penalty=penalty)

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which finds the neighbours; see `Model.teacher`."""
        return Neighbours(self, config, pixels)


class Neighbours(Teacher):
    """Finds the neighbours once, and draws one of them for each image before every epoch.

    In the last stage the partner of an image is the image itself.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.

    Attributes:
        index: (n, k), neighbours of the first n images, which may be compared; or `UNKNOWN`.
        partner: (N,), the image that each is compared with in this epoch.
    """

    model: SCAN

    def __init__(
        self, model: SCAN, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]
    ) -> None:
        super().__init__(model, pixels)
        self.seed, self.start = config.train.seed, config.start
        looked = min(len(pixels), self.start.subset), self.start.neighbours
        self.index = torch.full(looked, UNKNOWN)  # of one shape in all processes
        self.take(torch.arange(len(pixels)))

    def take(self, partner: Int[Tensor, " N"]) -> None:
        """Compare each image with another one from now on."""
        self.partner, self.partners = partner, self.pixels[partner]

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """The partner of each image, uint8."""
        return {"partner": self.partners}

    def before(self, epoch: int, epochs: int, move_on: Callable[[], None] | None = None) -> str:
        """See `Teacher.before`. Images that are new in memory have other neighbours."""
        if move_on and epoch > 0:
            self.index = torch.full_like(self.index, UNKNOWN)
        return super().before(epoch, epochs, move_on)

    def prepare(self, epoch: int, epochs: int) -> str:
        """See `Teacher.prepare`."""
        self.draw_means()
        own = torch.arange(len(self.pixels))
        begin = max(1, round(SHARE * epochs))
        self.model.labelling.fill_(float(epoch >= begin))
        if epoch >= begin:
            self.take(own)
            return "images teach their copies" if epoch == begin else ""
        said = ""
        if (self.index == UNKNOWN).any():
            self.index = self.compared()
            said = f"{self.index.shape[1]} neighbours of each of {len(self.index)} images found"
        noise = torch.Generator().manual_seed(self.seed + epoch)
        which = torch.randint(self.index.shape[1], (len(self.index), 1), generator=noise)
        own[: len(self.index)] = self.index.gather(1, which)[:, 0]
        self.take(own)
        return said

    @torch.no_grad()
    def compared(self) -> Int[Tensor, "n k"]:
        """Find the neighbours of the first images, as many as may be compared."""
        model, pixels = self.model, self.pixels[: self.start.subset]
        described = describe_pixels(pixels, model.group, model.background, self.watched)
        graph = invariant_graph(
            described.rings.to(model.averages.device),
            self.start.neighbours,
            reach=reach_of(model.support[0]),
            mirror=model.group.mirrors,
            track=self.watched,
        )
        return graph.index.cpu()

    @torch.no_grad()
    def draw_means(self) -> None:
        """Average some images by their clusters, to draw these."""
        model, training = self.model, self.model.training
        model.eval()
        x = to_float(self.pixels[:SEEN].to(model.averages.device))
        cluster = torch.cat([model(some).posterior.argmax(-1) for some in x.split(TOGETHER)])
        model.averages.copy_(cluster_means(x, cluster, model.clusters))
        model.train(training)

    def state(self) -> dict[str, Tensor]:
        """Neighbours and partners; see `Teacher.state`."""
        return {"index": self.index, "partner": self.partner}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take them again; see `Teacher.restore`."""
        partner, index, count = state["partner"], state["index"], len(self.pixels)
        fits = len(partner) == count and index.shape == self.index.shape
        if not fits or partner.min() < 0 or max(partner.max(), index.max()) >= count:
            raise ValueError(f"These are partners of {len(partner)} images, not of {count}.")
        self.index = index
        self.take(partner)


SPEC = ModelSpec(
    build=SCAN,
    reads=frozenset({"model.filters", "model.mirror", "start.neighbours", "start.subset"}),
    preset={
        "model": PAPER_SIZES,
        "start": {"neighbours": 20},
        "train": {**PAPER_TRAINING, "batch_size": 128},
    },
)
"""Neighbours, loss and batches as published."""
