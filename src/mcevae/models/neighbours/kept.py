"""What the model of preset `quick` keeps of the training images, and how these are sorted first."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import mirrored, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.config import PlannedConfig
from mcevae.models.contract import Teacher
from mcevae.models.default.beginning import begin_with_averages, begin_with_graph
from mcevae.models.default.describing import hidden
from mcevae.models.neighbours.model import EXEMPLARS, NeighbourModel
from mcevae.teaching.extent import extent_of
from mcevae.teaching.graph import describe
from mcevae.teaching.rings import turned_back
from mcevae.teaching.tangent import penalty_of

LEAST = 10
"""Exemplars that each cluster gets, however small it is, if it has as many images."""
AVERAGED = 500
"""Most images of a cluster that its average is made of."""
CHUNK = 250
"""Images that are floats at a time."""


class Kept(Teacher):
    """Sorts the training images by the invariant graph, and fills the model with exemplars.

    Images that are mostly noise are sorted by class averages instead, as they are for the default
    model. No label is read.

    Args:
        config: settings of the run.
        pixels: (N, C, H, W) uint8 training images.
        model: the model that is filled.
    """

    model: NeighbourModel

    def __init__(
        self, config: PlannedConfig, pixels: UInt8[Tensor, "n c h w"], model: NeighbourModel
    ) -> None:
        super().__init__(model, pixels)
        self.config = config

    def prepare(self, epoch: int, epochs: int) -> str:
        """Sort the images and fill the model; return a message. See `Teacher.before`."""
        config, group, message = self.config, self.model.group, "clusters and poses as found before"
        if self.known is not None:
            labels, element = self.known
            clusters = int(labels.max()) + 1
        else:
            given = config, self.pixels, group, config.support.half_widths(group), self.watched
            if hidden(config, self.pixels, group):
                first = begin_with_averages(*given, hints=self.hints)
            else:
                first = begin_with_graph(*given, self.features, self.hints)
            assert first.grouping is not None  # both ways give clusters
            clusters, labels = first.grouping.clusters, first.grouping.labels
            element, message = first.element, first.message
        self.model.use(clusters)
        keep(self.model, self.pixels, labels, element, config.train.seed)
        return message


@torch.no_grad()
def keep(
    model: NeighbourModel,
    pixels: UInt8[Tensor, "n c h w"],
    labels: Int[Tensor, " n"],
    element: Float[Tensor, "n 3 3"],
    seed: int,
) -> None:
    """Choose exemplars among images whose clusters and poses are known, and average each cluster.

    Rotation and mirror image are taken from the poses; shift and scale are found again, as for any
    new image.

    Args:
        model: the model to fill, whose number of clusters is set.
        pixels: the images.
        labels: their clusters, 0 to K - 1.
        element: their poses.
        seed: seed of the choice.
    """
    group, device = model.group, model.averages.device
    model.extent = extent_of(pixels, group, model.background)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(pixels), generator=generator)
    of_each = [order[labels[order] == k] for k in range(model.clusters)]
    angle, sign = group.to_parameters(element)[:, 0], mirrored(element)
    differing: list[Tensor] = []
    slot = model.room
    for k, (members, count) in enumerate(zip(of_each, shares(of_each, EXEMPLARS), strict=True)):
        if not len(members):
            continue
        used = members[: max(AVERAGED, count)]
        rings, average = averaged(model, pixels[used], angle[used], sign[used])
        model.averages[k] = average
        own, slots = used[:count], slice(slot, slot + count)
        back = turned_back(rings, angle[used].to(device), sign[used].to(device))
        model.rings[k] = mean = back.mean(0) / back.mean(0).norm().clamp_min(1e-6)
        model.rings[slots], model.cluster[slots] = rings[:count], k
        model.angle[slots], model.mirrored[slots] = angle[own].to(device), sign[own].to(device)
        differing.append((back[:count] - mean).flatten(1))
        slot += count
    model.penalty.copy_(penalty_of(model.rings[model.room : slot]).diagonal())
    model.basis.copy_(directions(torch.cat(differing), len(model.basis)))


def shares(of_each: list[Tensor], room: int) -> list[int]:
    """How many exemplars each cluster gets: by its size, but at least `LEAST` if it has them."""
    sizes = [len(members) for members in of_each]
    total = max(1, sum(sizes))
    least = min(LEAST, room // len(sizes))
    wanted = [min(size, max(least, int(room * size / total))) for size in sizes]
    while sum(wanted) > room:  # the largest ones give to the small ones
        wanted[wanted.index(max(wanted))] -= 1
    return wanted


def averaged(
    model: NeighbourModel,
    pixels: UInt8[Tensor, "n c h w"],
    angle: Float[Tensor, " n"],
    sign: Tensor,
) -> tuple[Float[Tensor, "n c rings angles"], Float[Tensor, "c h w"]]:
    """Put images on rings, and average them, each moved back by its pose."""
    group, device = model.group, model.averages.device
    rings, total = [], torch.zeros_like(model.averages[0])
    for some, turn, flip in zip(*(x.split(CHUNK) for x in (pixels, angle, sign)), strict=True):
        x = to_float(some.to(device))
        known = describe([x], group, model.background, model.extent)
        proper = group.from_parameters(torch.cat([turn.to(device)[:, None], known.rest], 1))
        back = group.inverse(reflect(proper, flip.to(device)))
        total += warp(x, back, background=model.background).sum(0)
        rings.append(known.rings)
    return torch.cat(rings), (total / len(pixels)).clamp(0, 1)


def directions(
    differences: Float[Tensor, "n numbers"], count: int
) -> Float[Tensor, "count numbers"]:
    """The directions in which rows differ most, scaled so that each has variance 1 along them.

    If there are fewer directions, the rest are 0. They come from the smaller of the two matrices of
    products: of numbers, or of rows, which have the same eigenvalues.
    """
    few = len(differences) < differences.shape[1]
    rows = differences.double().cpu()
    products = (rows @ rows.mT if few else rows.mT @ rows) / len(rows)
    value, vector = torch.linalg.eigh(products)
    value, vector = value.flip(0)[:count], vector.flip(1)[:, :count]
    if few:
        vector = rows.mT @ vector
        vector = vector / vector.norm(dim=0).clamp_min(1e-12)
    sign = vector.gather(0, vector.abs().argmax(0, keepdim=True)).sign()  # else it is arbitrary
    scale = torch.where(value > 1e-8, value.clamp_min(1e-8).rsqrt(), 0.0)
    found = (vector * sign * scale).mT.to(differences)
    return torch.nn.functional.pad(found, (0, 0, 0, count - len(found)))
