r"""A rotation-invariant self-organising map, in the manner of PINK (Polsterer et al., 2016).

Polsterer, Gieseke, Igel, Doser and Gianniotis, "Parallelized rotation and flipping invariant
Kohonen maps (PINK) on GPUs", ESANN 2016, and the settings of their program (HITS-AIN/PINK, version
2). K neurons lie on a grid, and each is an image. An image x goes to the neuron w that is nearest
over all rotations and mirror images, and then every neuron k is drawn towards x, turned onto it:

    w_k <- w_k + h (T_k x - w_k),   h = damping N(distance of k from the nearest neuron; 0, sigma).

From there: 360 rotations and mirror images; sigma 1.1 steps of the grid and damping 0.2, both
constant; one pass over the images in random order; neurons that start at 0; grids of hexagons or
squares. A cluster is a neuron, its canonical image is the neuron.

Here images and neurons lie on rings, as in `teaching.rings`, as many as half a side has pixels. The
distances at all rotations come from one Fourier transform along the angle, and neurons are moved in
Fourier space, so that no image is turned. What differs: neurons cover a disc with the side as
diameter (there a square, of 64 pixels in their benchmark with images of 124); shifts and scales
come from moments if the group has them (there images are centred); the nearest neurons of `BATCH`
images are found at one time, before these images change the map, in their order; rotations reach no
farther than two images of the support can lie apart; and sigma may shrink over the passes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mcevae.base.config import ensure_range
from mcevae.geometry.groups import MatrixGroup, reflect, wrapped
from mcevae.geometry.moments import places
from mcevae.geometry.warp import side, warp
from mcevae.images.arrays import require, to_float
from mcevae.models.config import Config, PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.likelihood import bce
from mcevae.models.peers.ring_spectra import (
    Matches,
    draw_along,
    energies,
    matched,
    rings_of,
    spectra,
)
from mcevae.models.registry import ModelSpec, PeerConfig
from mcevae.teaching.extent import frame_of
from mcevae.teaching.graph import reach_of
from mcevae.teaching.rings import allowed, polar

BATCH = 32
"""Images whose nearest neurons are found at one time. With 1 it is the rule as published; with 32
the products of matrices are large enough to be fast."""
ENERGY, MEASURED = 0.9999, 960
"""Neurons have the lowest frequencies of the angle that hold this share of what images show, and
how many images are looked at for that."""


@dataclass(frozen=True, kw_only=True)
class GridConfig(PeerConfig):
    """Settings of the map."""

    grid: Literal["hexagonal", "square"] = "hexagonal"
    """Grid of the neurons (preset som). hexagonal: rings of hexagons about the first one; square:
    rows."""
    passes: int = 1
    """How many times all images are shown to the map (preset som)."""
    neighbourhood: float = 1.1
    """Standard deviation, in steps of the grid, of how far an image draws the neighbours of its
    neuron along, at the start (preset som)."""
    neighbourhood_end: float = 1.1
    """The same at the end (preset som)."""
    damping: float = 0.2
    """How far neurons move with each image, times the density of the normal distribution at their
    distance (preset som)."""

    def __post_init__(self) -> None:
        reach = {"neighbourhood": (0.05, 1000), "neighbourhood_end": (0.05, 1000)}
        ensure_range(self, passes=(1, 1000), damping=(1e-6, 1), **reach)


def steps_apart(grid: str, count: int) -> Float[Tensor, "count count"]:
    """How many steps of the grid any two neurons are apart; on squares, the Euclidean distance.

    Args:
        grid: "hexagonal", where 331 neurons make a hexagon with a radius of 10, or "square".
        count: number of neurons.
    """
    if grid == "square":
        width = math.ceil(math.sqrt(count))
        place = torch.arange(count)
        at = torch.stack([place % width, place // width], 1).float()
        return torch.cdist(at, at)
    sides = ((-1, 1), (-1, 0), (0, -1), (1, -1), (1, 0), (0, 1))  # around a ring
    cells, ring = [(0, 0)], 0
    while len(cells) < count:
        ring += 1
        q, r = ring, 0
        for right, down in sides:
            for _ in range(ring):
                cells.append((q, r))
                q, r = q + right, r + down
    apart = torch.tensor(cells[:count])
    apart = apart[:, None] - apart
    return torch.stack([*apart.unbind(-1), apart.sum(-1)]).abs().amax(0).float()


class SelfOrganisingMap(Model[Matches]):
    """Image on rings -> the nearest neuron over all rotations and mirror images.

    z_c holds the squared distances with a minus sign; `responsibilities` are the posterior of
    Gaussians of variance 1/2 around the turned neurons.

    Args:
        config: K; number of rotations, a multiple of 4; grid, passes and neighbourhood; support.
        shape: (C, H, W) of the images.
        group: group of the poses, which must have rotations.

    Attributes:
        neurons: (K, C, rings, angles), weighted as `rings.polar` gives them, and so that squares
            sum to those of pixels.

    Raises:
        UserError: the group has no rotations, or their number is no multiple of 4.
    """

    steps: Tensor
    at: Tensor
    inside: Tensor

    def __init__(self, config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> None:
        super().__init__()
        require(group.polar, f"preset som turns images, and group {group.name} does not.")
        sizes = config.model
        self.angles, self.rings = sizes.rotations, max(2, round(side(*shape[1:]) / 2))
        require(self.angles % 4 == 0, f"--angles is {self.angles}; use a multiple of 4.")
        self.group, self.background = group, config.data.background_level
        self.own = config.own(GridConfig)
        first = torch.zeros(sizes.room, shape[0], self.rings, self.angles)
        self.neurons = nn.Parameter(first, requires_grad=False)
        reach = reach_of(config.support.half_widths(group)[0])
        self.register_buffer("steps", allowed(reach, self.angles), persistent=False)
        self.unit = side(*shape[1:]) * math.sqrt(math.pi / (2 * self.rings * self.angles))
        across, down = torch.broadcast_tensors(*places(torch.empty(1, *shape)))
        radius, angle = torch.hypot(across, down), torch.atan2(down, across)
        column = angle.remainder(2 * math.pi) * self.angles / (2 * math.pi)
        row = 2 * self.rings * radius - 0.5
        at = torch.stack([2 * column / self.angles, 2 * row / (self.rings - 1)], -1) - 1
        self.register_buffer("at", at, persistent=False)  # (H, W, 2), as `grid_sample` counts
        self.register_buffer("inside", (radius <= 0.5).float(), persistent=False)

    def read(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, "F two_b numbers"], Float[Tensor, "B rest"]]:
        """Spectra of images on rings, and the parameters of their poses other than the rotation."""
        differences = x.float() - self.background
        rest, middle, scale = frame_of(differences.abs(), self.group)
        rings = polar(differences, middle, scale, self.rings, self.angles)
        return spectra(self.unit * rings.flatten(1, 2)), rest

    def match(
        self, images: Float[Tensor, "F two_b numbers"], neurons: Float[Tensor, "F two_k numbers"]
    ) -> Matches:
        """Compare images with neurons, from their spectra."""
        mirror = self.group.mirrors
        return matched(images, neurons, self.steps, angles=self.angles, mirror=mirror)

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """The nearest neuron of each z_c, from its rings; outside them there is background."""
        radius = (torch.arange(self.rings, device=z_c.device) + 0.5) / self.rings
        rings = self.neurons[z_c.argmax(-1)] / (self.unit * radius.sqrt()[:, None])
        closed = torch.cat([rings, rings[..., :1]], -1)
        at = self.at.expand(len(rings), -1, -1, -1)
        images = F.grid_sample(closed, at, padding_mode="border", align_corners=True)
        return (self.background + self.inside * images).clamp(0, 1).to(z_c.dtype)

    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[Matches]:
        """See `Model.forward`. Nothing is drawn at random, whatever `sample` says."""
        spectrum, rest = self.read(x)
        neurons = spectra(self.neurons.flatten(1, 2))
        found = self.match(spectrum, neurons)
        best = found.square.argmin(1, keepdim=True)
        step, mirrored = (one.gather(1, best)[:, 0] for one in (found.step, found.mirrored))
        angle = wrapped(step * (2 * math.pi / self.angles))
        proper = self.group.from_parameters(torch.cat([angle[:, None], rest], 1))
        element, z_c = reflect(proper, mirrored), -found.square
        canonical = self.canonical(z_c, z_c[:, :0])
        return Output(
            posterior=found,
            z_c=z_c,
            z=z_c[:, :0],
            tau=self.group.log(element),
            element=element,
            responsibilities=z_c.softmax(-1),
            canonical=canonical,
            reconstruction=self.masked(warp(canonical, element, background=self.background)),
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Measure reconstructions; there is nothing else, and no gradient."""
        error = bce(model(x).reconstruction, x).mean()
        return assemble(error, kl_cluster=torch.zeros_like(error))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which shows the map all images; see `Model.teacher`."""
        return Shown(self, config, pixels)


class Shown(Teacher):
    """Shows all images to the map, in random order.

    Args:
        model: the map.
        config: settings of the run.
        pixels: the training images.
    """

    model: SelfOrganisingMap

    def __init__(
        self, model: SelfOrganisingMap, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]
    ) -> None:
        super().__init__(model, pixels)
        self.seed = config.train.seed

    @torch.no_grad()
    def prepare(self, epoch: int, epochs: int) -> str:
        """See `Teacher.prepare`."""
        model, own = self.model, self.model.own
        noise, device = torch.Generator().manual_seed(self.seed), model.neurons.device
        orders = [torch.randperm(len(self.pixels), generator=noise) for _ in range(own.passes)]
        batches = [some for order in orders for some in order.split(BATCH)]
        apart = steps_apart(own.grid, len(model.neurons)).to(device)
        used = self.frequencies(orders[0][:MEASURED].split(BATCH))
        neurons = spectra(model.neurons.flatten(1, 2))[:used].contiguous()
        for i, some in enumerate(self.watched(batches)):
            done = i / max(1, len(batches) - 1)
            sigma = own.neighbourhood ** (1 - done) * own.neighbourhood_end**done
            images = self.read(some)[:used]
            found = model.match(images, neurons)
            distance = apart[found.square.argmin(1)] / sigma
            density = torch.exp(-(distance**2) / 2) / (sigma * math.sqrt(2 * math.pi))
            share = (own.damping * density).clamp_max(1)
            draw_along(neurons, images, found, share, model.angles)
        model.neurons.copy_(rings_of(neurons, model.angles).view_as(model.neurons))
        return f"{len(apart)} neurons, to which all images were shown ({own.passes} x)"

    def read(self, some: Int[Tensor, " b"]) -> Float[Tensor, "F two_b numbers"]:
        """Spectra of some of the images."""
        return self.model.read(to_float(self.pixels[some].to(self.model.neurons.device)))[0]

    def frequencies(self, parts: Sequence[Tensor]) -> int:
        """How many of the lowest frequencies hold `ENERGY` of what images show."""
        each = [energies(self.read(some), self.model.angles).sum(1) for some in parts]
        held = torch.stack(each).sum(0).cumsum(0)
        return int((held < ENERGY * held[-1]).sum()) + 1


SPEC = ModelSpec(
    build=SelfOrganisingMap,
    reads=frozenset({"model.mirror", "model.rotations"}),
    settings=GridConfig,
    preset={"model": {"mirror": True, "rotations": 360}},
    trained=False,
)
"""The defaults of its authors' program, on their benchmark's grid."""
