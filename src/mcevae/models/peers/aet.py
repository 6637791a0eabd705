"""AET: a code from which one can tell how an image was moved (Zhang et al., 2019).

Zhang, Qi, Wang and Luo, "AET vs. AED: unsupervised representation learning by auto-encoding
transformations rather than data", CVPR 2019, arXiv 1901.04596, and their code
(maple-research-lab/AET, cifar/affine). One encoder reads an image and its moved copy; from both
codes a regressor predicts the matrix of the move; the loss is the squared error of its six numbers.
Nothing is reconstructed, and the code is not asked to be invariant.

What differs: copies are moved within the support of the group (there: affine maps, rotations within
180 degrees, shifts within 0.2 sides, scales of 0.7 to 1.3, shears within 30 degrees); encoder, code
and optimizer are those of all peers (there: a network in network with four blocks, and SGD with a
rate of 0.1 for 1,500 epochs on batches of 512). The publication classifies its features with
labels; here k-means sorts the code. What it draws is the mean of the training images.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.nets import ConvEncoder, Extractor
from mcevae.models.peers.common import CodeConfig, single_cluster, unposed
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec

NUMBERS = 6
"""Numbers of a move: the upper two rows of its matrix, shifts in half-sides."""
TOGETHER = 1000
"""Images that are averaged at once."""


class AET(Model[Tensor]):
    """Image -> code; and the codes of an image and its moved copy -> the move.

    The posterior of an output is the code, which is z_c too.

    Args:
        config: size of the code, of the encoder and of the extractor; support of the moves.
        shape: (C, H, W) of the images.
        group: group of the moves. Images themselves get none: their poses are all the identity.

    Attributes:
        average: (C, H, W), mean of the training images.
    """

    average: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes, code = config.model, config.own(CodeConfig).code
        self.group, self.background = group, config.data.background_level
        self.support = config.support.half_widths(group)
        self.encoder = ConvEncoder(shape, sizes.filters)
        self.extract = Extractor(self.encoder.features, sizes.hidden, code)
        self.regress = nn.Sequential(
            nn.Linear(4 * code, sizes.hidden), nn.ReLU(), nn.Linear(sizes.hidden, NUMBERS)
        )
        self.register_buffer("average", torch.zeros(shape))

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The mean image, whatever the code."""
        return self.average.to(z_c.dtype).expand(len(z_c), -1, -1, -1)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Tensor]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        code = self.extract(self.encoder(x)).to(x.dtype)
        image = self.canonical(code, code[:, :0])
        return unposed(code, code, single_cluster(x), image, self.group)

    def predicted(
        self, before: Float[Tensor, "B D"], after: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B 6"]:
        """The numbers of the move from the codes of an image and of its moved copy."""
        return self.regress(torch.cat([before, after], -1)).to(before.dtype)

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the squared error of the move. There is no divergence."""
        move = self.group.sample(len(x), self.support, dtype=torch.float32, device=x.device).to(x)
        copies = warp(x, move, background=self.background)
        out: Output[Tensor] = model(torch.cat([x, copies]))
        numbers = move[:, :2] * move.new_tensor([1.0, 1.0, 2.0])
        found = self.predicted(*out.posterior.chunk(2))
        error = (found - numbers.flatten(1)).square().sum(-1).mean()
        return assemble(error, kl_cluster=torch.zeros_like(error))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which averages the images; see `Model.teacher`."""
        return Averaging(self, pixels)


class Averaging(Teacher):
    """Averages the training images before the first epoch."""

    model: AET

    @torch.no_grad()
    def prepare(self, epoch: int, epochs: int) -> str:
        """See `Teacher.prepare`."""
        if epoch > 0:
            return ""
        average = self.model.average
        sums = [to_float(some).sum(0) for some in self.pixels.split(TOGETHER)]
        average.copy_(torch.stack(sums).sum(0) / len(self.pixels))
        return "every image is drawn as the mean of all"


SPEC = ModelSpec(
    build=AET,
    reads=frozenset({"model.filters", "model.hidden"}),
    settings=CodeConfig,
    preset={"model": PAPER_SIZES, "train": PAPER_TRAINING},
)
