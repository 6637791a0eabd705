r"""DTI clustering: prototypes that are transformed to fit each image (Monnier et al., 2020).

Monnier, Groueix and Aubry, "Deep transformation-invariant clustering", NeurIPS 2020, arXiv
2006.11132, and their code (monniert/dti-clustering), of which this is K-means, `dtikmeans`. There
is no decoder: each of K prototypes is an image of free pixels, and for every prototype small
networks on one shared encoder (ResNet-20) predict how it must be transformed to look like x. The
loss is the mean over images of

    min_k || x - T_k(prototype k) ||^2,   T_k predicted from x,

and the cluster of an image is the prototype that wins. From there: predictors of two hidden layers
of 128 units that start at the identity; the sequence of affine map, morphological filter (a
weighted soft maximum over 7 x 7 pixels) and thin-plate spline (4 x 4 points) for MNIST, and colour
(a factor and an offset for each channel), affine map and spline for coloured digits; its
curriculum, in which a transform begins at 0, 3/8 and 1/2 of the epochs, or at 0, 3/10 and 3/5;
prototypes that start as random images; Adam 1e-3 and batches of 128; and a prototype that wins
less than a fifth of its even share becomes a copy of the commonest one, its predictors too, with
noise of 1e-4.

What differs: the six numbers of the affine map are a pose of the group, and strains for what the
group lacks; shares are counted at the start of every epoch on at most 6,400 images, not on the last
50 batches; copies keep their own state of Adam; the rate is constant, where theirs falls by ten for
the last eighth; outside the image there is background, not the nearest pixel.

A canonical image is the prototype with its colours and strains. The filter and the spline work on
the moved image, so they are in the reconstruction alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mcevae.base.errors import UserError
from mcevae.geometry.groups import Aff2, MatrixGroup
from mcevae.geometry.moments import places
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.likelihood import squared_error
from mcevae.models.peers.prototypes import Predictors, ResNet, smooth_maximum, thin_plate
from mcevae.models.presets import PAPER_SIZES, PAPER_TRAINING
from mcevae.models.registry import ModelSpec, PeerConfig

SEQUENCES: dict[str, dict[str, float]] = {
    "affine-morphological-tps": {"affine": 0, "morphological": 15 / 40, "tps": 20 / 40},
    "colour-affine-tps": {"colour": 0, "affine": 15 / 50, "tps": 30 / 50},
}
"""Transforms in their order, and the share of the epochs at which each begins."""
STRAINS = {"so2": 3, "se2": 3, "sim2": 2}
"""Numbers of an affine map that a group lacks: scale, stretch and shear, or the last two."""
KERNEL, GRID = 7, 4
"""Side of the morphological filter in pixels, and of the grid of the spline in points."""
RARE, NOISE = 0.2, 1e-4
"""Share of 1/K below which a prototype counts as empty, and noise of the copies."""
COUNTED, TOGETHER = 6400, 200
"""Images on which shares are counted, 50 batches, and how many of them at once."""


@dataclass(frozen=True, kw_only=True)
class TransformConfig(PeerConfig):
    """Settings of DTI clustering."""

    transforms: Literal["affine-morphological-tps", "colour-affine-tps"] = (
        "affine-morphological-tps"
    )
    """Transforms of the prototypes, in the order in which they begin (preset dti). tps: thin-plate
    spline. colour: for images that differ in brightness or colour."""


class DTI(Model[Tensor]):
    """Image -> transforms of every prototype -> the prototype that fits best.

    The posterior of an output is its squared errors (B, K). z_c holds them with a minus sign,
    `responsibilities` are the posterior of Gaussians of variance 1/2 around the transformed
    prototypes, and z has the parameters of all transforms but the pose.

    Args:
        config: K; units of the hidden layers; filters of the encoder's first layer and its three
            stages.
        shape: (C, H, W) of the images.
        group: group of the poses.

    Attributes:
        started: 1 once prototypes were taken from images. It is a number on the device so that it
            is in checkpoints, as is the next.
        active: (transforms,), 1 for each transform that has begun. The others are computed too, so
            that every parameter has a gradient at every step.
    """

    started: Tensor
    active: Tensor
    spline: Tensor
    unit: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        sizes, channels = config.model, shape[0]
        self.group, self.background = group, config.data.background_level
        self.sequence = SEQUENCES[config.own(TransformConfig).transforms]
        self.strains = STRAINS.get(group.name, 0)
        numbers = {
            "colour": 2 * channels,
            "affine": group.dim + self.strains,
            "morphological": 1 + KERNEL**2,
            "tps": 2 * GRID**2,
        }
        self.encoder = ResNet(channels, sizes.filters)
        self.predictors = nn.ModuleDict(
            {
                name: Predictors(sizes.room, sizes.filters[-1], sizes.hidden, numbers[name])
                for name in self.sequence
            }
        )
        self.split = {"strain": self.strains} | {
            name: numbers[name] for name in self.sequence if name != "affine"
        }
        self.prototypes = nn.Parameter(nn.init.uniform_(torch.empty(sizes.room, *shape)))
        self.register_buffer("started", torch.zeros(()))
        begun = torch.tensor([float(share == 0) for share in self.sequence.values()])
        self.register_buffer("active", begun)
        across, down = places(torch.empty(1, *shape))
        points = torch.stack(torch.broadcast_tensors(across, down), -1).flatten(0, 1)
        self.register_buffer("spline", thin_plate(points, GRID), persistent=False)  # (H W, points)
        # As in its authors' code, lengths are predicted in half-sides.
        unit = torch.tensor([0.5 if one == "side" else 1.0 for one in group.units])
        self.register_buffer("unit", unit, persistent=False)

    @property
    def grows(self) -> Mapping[str, int]:
        """The prototypes and their predictors; see `Model.grows`."""
        names = [name for name, _ in self.predictors.named_parameters(prefix="predictors")]
        return dict.fromkeys(["prototypes", *names], 0)

    def begun(self, name: str) -> Tensor:
        """1 if a transform has begun, else 0."""
        return self.active[list(self.sequence).index(name)]

    def predict(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "BK 3 3"], Float[Tensor, "BK V"]]:
        """Predict the poses of all prototypes, and the parameters of the other transforms."""
        features = self.encoder(x)
        found = {
            name: (self.begun(name) * predict(features).to(x.dtype)).flatten(0, 1)
            for name, predict in self.predictors.items()
        }
        pose, strain = found.pop("affine").split([self.group.dim, self.strains], -1)
        return self.group.from_parameters(pose * self.unit), torch.cat([strain, *found.values()], 1)

    def parts(self, z: Float[Tensor, "N V"]) -> dict[str, Tensor]:
        """Split z into the parameters of each transform, (N, numbers)."""
        return dict(zip(self.split, z.split([*self.split.values()], -1), strict=True))

    def coloured(
        self, prototypes: Float[Tensor, "N C H W"], z: Float[Tensor, "N V"]
    ) -> Float[Tensor, "N C H W"]:
        """Prototypes with the factors and offsets of their channels."""
        colour = self.parts(z).get("colour")
        if colour is None:
            return prototypes
        factor, offset = colour[..., None, None].chunk(2, 1)
        return prototypes * (1 + factor) + offset

    def strain(self, z: Float[Tensor, "N V"]) -> Float[Tensor, "N 3 3"]:
        """The part of the affine maps that the group lacks."""
        numbers = self.parts(z)["strain"]
        return Aff2().from_parameters(F.pad(numbers, (6 - self.strains, 0)))

    def draw(
        self,
        prototypes: Float[Tensor, "N C H W"],
        z: Float[Tensor, "N V"],
        element: Float[Tensor, "N 3 3"],
    ) -> Float[Tensor, "N C H W"]:
        """Transform prototypes; values may be outside 0 to 1."""
        parts, outside = self.parts(z), self.background
        images = self.coloured(prototypes, z)
        images = warp(images, element @ self.strain(z), background=outside)
        if "morphological" in parts:
            filtered = smooth_maximum(images, parts["morphological"], KERNEL, outside)
            images = images + self.begun("morphological") * (filtered - images)
        points = parts["tps"].unflatten(-1, (GRID**2, 2)) / 2  # image sides
        field = (self.spline @ points).mT.unflatten(-1, images.shape[-2:])  # (N, 2, H, W)
        still = self.group.identity(1, dtype=images.dtype, device=images.device)
        return self.masked(warp(images, still, background=outside, displacement=field))

    def chosen(self, z_c: Float[Tensor, "B K"]) -> Float[Tensor, "B C H W"]:
        """The prototype of the best cluster of each z_c."""
        return self.prototypes[z_c.argmax(-1)].to(z_c.dtype)

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The prototype of the best cluster, with its colours and strains."""
        images = self.coloured(self.chosen(z_c), z)
        return warp(images, self.strain(z), background=self.background).clamp(0, 1)

    def render(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], element: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the prototype of the best cluster with all of its transforms."""
        return self.draw(self.chosen(z_c), z, element).clamp(0, 1)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Tensor]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        count, clusters = x.shape[0], len(self.prototypes)
        element, z = self.predict(x)
        prototypes = self.prototypes.to(x.dtype).expand(count, -1, -1, -1, -1)
        images = self.draw(prototypes.flatten(0, 1), z, element)
        errors = squared_error(images, x.repeat_interleave(clusters, 0)).unflatten(0, (count, -1))
        best = torch.arange(count, device=x.device) * clusters + errors.argmin(-1)
        z_c, z, element = -errors, z[best], element[best]
        return Output(
            posterior=errors,
            z_c=z_c,
            z=z,
            tau=self.group.log(element),
            element=element,
            responsibilities=z_c.softmax(-1),
            canonical=self.canonical(z_c, z),
            reconstruction=images[best].clamp(0, 1),
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the least squared error over the prototypes. There is no divergence."""
        out: Output[Tensor] = model(x, sample=True)
        least = out.posterior.amin(-1).mean()
        return assemble(least, kl_cluster=torch.zeros_like(least))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which keeps the curriculum; see `Model.teacher`."""
        return Curriculum(self, config, pixels)

    @torch.no_grad()
    def start(self, pixels: UInt8[Tensor, "N C H W"], noise: torch.Generator) -> None:
        """Take random images as prototypes.

        Raises:
            UserError: there are fewer images than prototypes.
        """
        if len(pixels) < len(self.prototypes):
            raise UserError(
                f"{len(pixels)} training images cannot make {len(self.prototypes)} clusters; "
                "give more images or a smaller --clusters."
            )
        taken = torch.randperm(len(pixels), generator=noise)[: len(self.prototypes)]
        self.prototypes.copy_(to_float(pixels[taken]))
        self.started.fill_(1.0)

    @torch.no_grad()
    def reassign(self, won: Int[Tensor, " K"], noise: torch.Generator) -> list[int]:
        """Replace prototypes that win too few images by copies of the commonest one.

        Args:
            won: number of images that each prototype wins.
            noise: draws what is added to the copies, and to the commonest one.

        Returns:
            The numbers of the prototypes that were replaced.
        """
        commonest = int(won.argmax())
        empty = (won < RARE / len(won) * won.sum()).nonzero()[:, 0].tolist()
        for one in [*empty, commonest] if empty else []:
            added = NOISE * torch.randn(self.prototypes.shape[1:], generator=noise)
            self.prototypes[one] = self.prototypes[commonest] + added.to(self.prototypes)
            for weights in self.predictors.parameters():
                weights[one] = weights[commonest]
        return empty


class Curriculum(Teacher):
    """Takes the first prototypes, brings in the transforms one by one, and refills empty clusters.

    Args:
        model: the model that is trained.
        config: settings of the run.
        pixels: the training images.
    """

    model: DTI

    def __init__(self, model: DTI, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> None:
        super().__init__(model, pixels)
        self.seed = config.train.seed

    @torch.no_grad()
    def won(self, noise: torch.Generator) -> Int[Tensor, " K"]:
        """How many of some random images each prototype wins."""
        taken = torch.randperm(len(self.pixels), generator=noise)[:COUNTED]
        training, device = self.model.training, self.model.prototypes.device
        self.model.eval()
        winners = [
            self.model(to_float(self.pixels[some].to(device))).posterior.argmin(-1).cpu()
            for some in self.watched(taken.split(TOGETHER))
        ]
        self.model.train(training)
        return torch.cat(winners).bincount(minlength=len(self.model.prototypes))

    def prepare(self, epoch: int, epochs: int) -> str:
        """See `Teacher.prepare`."""
        noise, said = torch.Generator().manual_seed(self.seed + epoch), []
        if not self.model.started.item():
            self.model.start(self.pixels, noise)
            said.append(f"{len(self.model.prototypes)} images are the first prototypes")
        elif empty := self.model.reassign(self.won(noise), noise):
            said.append(f"prototypes {', '.join(map(str, empty))} were empty, and begin again")
        for i, (name, share) in enumerate(self.model.sequence.items()):
            if epoch >= math.ceil(share * epochs) and not self.model.active[i].item():
                self.model.active[i] = 1.0
                said.append(f"transform {name} begins")
        return "; ".join(said)


SPEC = ModelSpec(
    build=DTI,
    reads=frozenset({"model.hidden", "model.filters"}),
    settings=TransformConfig,
    preset={
        "model": {"hidden": 128, "filters": (16, 16, 32, 64), **PAPER_SIZES},
        "train": {**PAPER_TRAINING, "batch_size": 128},
    },
)
"""K-means with its authors' networks and curriculum."""
