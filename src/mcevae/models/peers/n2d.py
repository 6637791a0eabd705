"""N2D: an autoencoder, UMAP of its codes, and a Gaussian mixture (McConville et al., 2019).

McConville, Santos-Rodriguez, Piechocki and Craddock, "N2D: (not too) deep clustering via clustering
the local manifold of an autoencoded embedding", ICPR 2020, arXiv 1908.05968, and their code
(rymc/n2d). Nothing is clustered while the network is trained. From there: fully connected layers of
500, 500, 2000 and K units and their mirror image, rectified but for the code and the output; the
squared error; batches of 256; UMAP to K numbers with 20 neighbours and no least distance; a mixture
of K full Gaussians.

What differs: the codes are clustered after nine tenths of the epochs, as training must know when a
model has clusters, and the networks that gave these codes are kept. At most 10,000 images are laid
out. The publication clusters its training images alone; here any image gets the cluster of most of
its five nearest codes.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from mcevae.base.errors import TrainingError, UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.likelihood import squared_error
from mcevae.models.peers.common import unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec
from mcevae.teaching.counting import mixture
from mcevae.teaching.layout import laid_out, umap_edges

UNITS = (500, 500, 2000)
"""Units of the layers between the image and the code."""
SHARE = 0.9
"""Share of the epochs after which the codes are clustered."""
NEIGHBOURS = 20
"""Neighbours of UMAP."""
KEPT, VOTERS, TOGETHER = 10_000, 5, 500
"""Codes that are laid out and kept, how many vote for a new image, and images encoded at once."""


def layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with rectifiers between them."""
    made: list[nn.Module] = []
    for before, after in pairwise(widths):
        made += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*made[:-1])


class N2D(Model[Tensor]):
    """Image -> code -> image; and code -> the clusters of the codes that are nearest to it.

    The posterior of an output is the image as it was decoded, whose values may be outside 0 to 1.
    z_c is the code.

    Args:
        config: K.
        shape: (C, H, W) of the images.
        group: group of the poses, which are all the identity.

    Attributes:
        reader: the encoder when its codes were clustered. Training does not change it any more.
        codes: (KEPT, K), codes that were clustered.
        cluster: (KEPT,), their clusters; -1 where there is room left, and before that epoch.
    """

    codes: Tensor
    cluster: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        self.group, self.background = group, config.data.background_level
        self.shape, self.clusters = shape, config.model.room
        pixels = shape[0] * shape[1] * shape[2]
        widths = (pixels, *UNITS, self.clusters)
        self.encoder, self.decoder = layers(widths), layers(widths[::-1])
        self.reader = layers(widths).requires_grad_(False)
        self.register_buffer("codes", torch.zeros(KEPT, self.clusters))
        self.register_buffer("cluster", torch.full((KEPT,), -1))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Decode a code."""
        return self.decode_freely(z_c).clamp(0, 1)

    def decode_freely(self, code: Float[Tensor, "B K"]) -> Float[Tensor, "B C H W"]:
        """Decode a code to values that may be outside 0 to 1."""
        return self.decoder(code).to(code.dtype).unflatten(-1, self.shape)

    def responsibilities(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K"]:
        """The share of the votes that each cluster gets; all the same before there are clusters."""
        used = self.cluster >= 0
        distance = torch.cdist(self.reader(x.flatten(1)).float(), self.codes)
        nearest = distance.masked_fill(~used, torch.inf).topk(VOTERS, largest=False).indices
        votes = F.one_hot(self.cluster[nearest].clamp_min(0), self.clusters).to(x.dtype)
        known = used[nearest].unsqueeze(-1).to(x.dtype)  # there may be fewer codes than voters
        count = (votes * known).sum(1)
        return (count + 1e-6) / (count + 1e-6).sum(-1, keepdim=True)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Tensor]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        code = self.encoder(x.flatten(1)).to(x.dtype)
        image = self.decode_freely(code)
        return unposed(image, code, self.responsibilities(x), image.clamp(0, 1), self.group)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the squared error. There is no divergence."""
        out: Output[Tensor] = model(x)
        error = squared_error(out.posterior, x).mean()
        return assemble(error, kl_cluster=torch.zeros_like(error))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which clusters the codes; see `Model.teacher`."""
        return CodeClusters(self, config, pixels)

    @torch.no_grad()
    def sort(self, pixels: UInt8[Tensor, "N C H W"], seed: int) -> None:
        """Keep the encoder as it is, and cluster its codes of the first `KEPT` images.

        Args:
            pixels: the training images.
            seed: of the layout and of the mixture.

        Raises:
            UserError: there are fewer images than clusters.
            TrainingError: the codes are not finite.
        """
        if len(pixels) < self.clusters:
            raise UserError(
                f"{len(pixels)} training images cannot make {self.clusters} clusters; "
                "give more images or a smaller --clusters."
            )
        self.reader.load_state_dict(self.encoder.state_dict())
        codes = torch.cat(
            [
                self.reader(to_float(some.to(self.codes.device)).flatten(1))
                for some in pixels[:KEPT].split(TOGETHER)
            ]
        )
        if not codes.isfinite().all():
            raise TrainingError(
                "the codes of the images are not finite, so they cannot be clustered. "
                "Train again with a third of the --lr, and check the images for odd values."
            )
        points, dim = codes.double().cpu().numpy(), max(2, self.clusters)
        near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points))).fit(points)
        distance, index = near.kneighbors(points)
        init = "spectral" if len(points) > dim + 2 else "random"
        edges = umap_edges(index, distance)
        placed = laid_out(edges, points, dim, init=init, seed=seed, min_dist=0.0)
        found = torch.from_numpy(mixture(placed, self.clusters, seed))
        self.cluster.fill_(-1)
        self.codes[: len(codes)] = codes
        self.cluster[: len(codes)] = found.to(self.cluster)


class CodeClusters(Teacher):
    """Clusters the codes once, when most of the epochs are over.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.
    """

    model: N2D

    def __init__(self, model: N2D, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> None:
        super().__init__(model, pixels)
        self.seed = config.train.seed

    @property
    def grouped(self) -> bool:
        """Whether the codes were clustered."""
        return bool((self.model.cluster >= 0).any())

    def prepare(self, epoch: int, epochs: int) -> str:
        """Cluster the codes, or do nothing; see `Teacher.before`."""
        if self.grouped or epoch < min(max(1, round(SHARE * epochs)), epochs - 1):
            return ""
        self.model.sort(self.pixels, self.seed)
        return f"UMAP and {self.model.clusters} Gaussians sort the codes"


SPEC = ModelSpec(
    build=N2D,
    reads=frozenset(),
    preset={"model": PAPER_SIZES, "train": {**PAPER_TRAINING, "batch_size": 256}},
)
"""Networks, batches and layout as published."""
