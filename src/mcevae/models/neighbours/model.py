"""The model of preset `quick`: a new image is like the nearest of the images that it has kept.

It has no network, and nothing is trained. The invariant graph (`teaching.graph`) gives training
images clusters and poses. Some of them are kept as exemplars, on rings, with one mean picture of
each cluster, which is free of noise:

image x -> rings about its middle -> the nearest exemplars over all turns (and mirror images)
        -> their votes: the cluster; the nearest ones of this cluster and how x is turned against
           them: the pose; shift and scale come from moments
(x, pose) -> x on rings moved back -> z, how it differs from the mean of its cluster
cluster -> canonical image: the average of the cluster; the pose moves it -> reconstruction of x

The memory is bounded: there is room for `EXEMPLARS` images and for K averages.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup, reflect, wrapped
from mcevae.geometry.warp import warp
from mcevae.models.config import PlannedConfig
from mcevae.models.contract import Model, Output, Teacher, Terms, assemble
from mcevae.models.likelihood import bce
from mcevae.models.room import Room
from mcevae.teaching.graph import describe, reach_of
from mcevae.teaching.rings import ANGLES, RINGS, turned_back, undone
from mcevae.teaching.tangent import voters_of
from mcevae.teaching.upright import moved

EXEMPLARS = 1000
"""Room for kept images. The time that an image takes grows with it."""
SHARPNESS = 10.0
"""A vote counts exp(-SHARPNESS d), with d how much farther it is than the nearest one."""
NEAR = math.radians(30)
"""Voters whose poses are this near to that of the nearest one give the pose together."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The exemplars nearest to B images.

    Attributes:
        index: (B, M) exemplars, the nearest first.
        distance: (B, M) tangent distance to each of them in the best turn, at least 0.
    """

    index: Int[Tensor, "B M"]
    distance: Float[Tensor, "B M"]


class NeighbourModel(Room, Model[Nearest]):
    """Places images by their nearest neighbours among kept exemplars.

    z_c holds the logarithms of the responsibilities; `canonical` draws the likeliest cluster.

    Attributes:
        clusters: K, the number of clusters in use. `use` can make it smaller than there is room.
        averages: (room, C, H, W), what is drawn of each cluster.
        rings: (room + EXEMPLARS, C, RINGS, ANGLES), the mean of each cluster and the exemplars.
        cluster: (room + EXEMPLARS,), their clusters; -1 where there is room left.
        angle, mirrored: (room + EXEMPLARS,), their poses: each is R(angle) F^mirrored of the
            canonical image.
        penalty: (7,), on small changes of the images, see `tangent.penalty_of`.
        basis: (V, numbers), directions of z: in these, exemplars differ most from their means.
        extent: diameter of the outermost ring, see `teaching.extent`.

    Args:
        group: group of the poses, which must have rotations.
        half_width: half-width of the support of rotations, radians.
        shape: (C, H, W) of the images.
        room: the most clusters.
        variation: V.
        teaching: makes the teacher from settings, training images and the model.
        background: value that moves in from outside the frame, from 0 to 1.
    """

    averages: Tensor
    rings: Tensor
    cluster: Tensor
    angle: Tensor
    mirrored: Tensor
    penalty: Tensor
    basis: Tensor

    def __init__(
        self,
        *,
        group: MatrixGroup,
        half_width: float,
        shape: tuple[int, int, int],
        room: int,
        variation: int,
        teaching: Callable[..., Teacher],
        background: float = 0.0,
    ) -> None:
        super().__init__()
        self.group, self.background = group, background
        self.reach, self.teaching = reach_of(half_width), teaching
        self.room = self.clusters = room
        channels, slots = shape[0], room + EXEMPLARS
        # Nothing is trained: the averages are weights only in that images are drawn with them.
        self.averages = nn.Parameter(torch.zeros(room, *shape), requires_grad=False)
        self.register_buffer("rings", torch.zeros(slots, channels, RINGS, ANGLES))
        free = torch.full((EXEMPLARS,), -1)
        self.register_buffer("cluster", torch.cat([torch.arange(room), free]))
        self.register_buffer("angle", torch.zeros(slots))
        self.register_buffer("mirrored", torch.zeros(slots, dtype=torch.bool))
        self.register_buffer("penalty", torch.ones(7))
        self.register_buffer("basis", torch.zeros(variation, channels * RINGS * ANGLES))
        self.extent = 1.0

    def get_extra_state(self) -> Tensor:
        """Return K and the extent. The extent is no weight: a blur needs it as a plain number."""
        return torch.tensor([self.clusters, self.extent], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Load K and the extent; runs of before have K alone: their rings cover the whole frame."""
        clusters, *extent = state.flatten().tolist()
        self.use(int(clusters))
        self.extent = extent[0] if extent else 1.0
        if not 0 < self.extent <= 1:
            raise ValueError(f"the extent of rings is {self.extent}, not above 0 and at most 1")

    def nearest(
        self, rings: Float[Tensor, "B c rings angles"]
    ) -> tuple[Nearest, Float[Tensor, "B M"], Bool[Tensor, "B M"]]:
        """Find the exemplars that vote, and the pose that each of them gives an image.

        Args:
            rings: the images on rings.

        Returns:
            The exemplars, and the angles and the signs of the poses.
        """
        known = ((self.cluster >= 0) & (self.cluster < self.clusters)).nonzero()[:, 0]
        found, distance, turn = voters_of(
            rings,
            self.rings[known],
            penalty=torch.diag(self.penalty),
            reach=self.reach,
            mirror=self.group.mirrors,
        )
        index = known[found]
        onto = undone(turn.angle, turn.mirrored)  # images are turned onto exemplars
        own = self.angle[index].flatten(), self.mirrored[index].flatten()
        angle, mirrored = (each.view_as(index) for each in moved(onto, turn.mirrored, *own))
        return Nearest(index=index, distance=distance), angle, mirrored

    def votes(self, nearest: Nearest) -> Float[Tensor, "B K"]:
        """Count the votes of the nearest exemplars for each cluster; rows sum to 1."""
        weight = torch.exp(-SHARPNESS * (nearest.distance - nearest.distance[:, :1]))
        votes = weight.new_zeros(len(weight), self.clusters)
        votes = votes.scatter_add(1, self.cluster[nearest.index], weight)
        return votes / votes.sum(1, keepdim=True)

    def agreed(
        self,
        nearest: Nearest,
        angle: Float[Tensor, "B M"],
        mirrored: Bool[Tensor, "B M"],
        cluster: Int[Tensor, " B"],
    ) -> tuple[Float[Tensor, " B"], Bool[Tensor, " B"]]:
        """Find poses: each is the mean of voters of the cluster that lie as the nearest one.

        Args:
            nearest: the voters.
            angle, mirrored: the pose that each of them gives.
            cluster: of the images. If it has no voter, all of them count.
        """
        own = self.cluster[nearest.index] == cluster[:, None]
        own = own | ~own.any(1, keepdim=True)
        best = own.int().argmax(1, keepdim=True)  # the first is the nearest
        sign, middle = mirrored.gather(1, best), angle.gather(1, best)
        apart = wrapped(angle - middle)
        counts = own & (mirrored == sign) & (apart.abs() <= NEAR)
        farther = nearest.distance - nearest.distance.gather(1, best)
        weight = torch.exp(-SHARPNESS * farther) * counts
        offset = (weight * apart).sum(1) / weight.sum(1)
        return wrapped(middle[:, 0] + offset), sign[:, 0]

    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the average of the likeliest cluster. It does not depend on z."""
        return self.averages[z_c.argmax(-1)]

    def forward(
        self,
        x: Float[Tensor, "B C H W"],
        sample: bool | None = None,
        evidence: Float[Tensor, "B K"] | None = None,
    ) -> Output[Nearest]:
        """Find the nearest exemplars, and cluster and pose from them.

        Args:
            x: images with values from 0 to 1.
            sample: nothing is drawn by chance, whatever it is.
            evidence: logarithms of likelihoods of the clusters, from elsewhere; they join the
                votes by Bayes' rule.
        """
        known = describe([x], self.group, self.background, self.extent)
        nearest, angles, signs = self.nearest(known.rings)
        responsibilities = self.votes(nearest)
        if evidence is not None:
            responsibilities = responsibilities.clamp_min(1e-6) * evidence.exp()
            responsibilities = responsibilities / responsibilities.sum(1, keepdim=True)
        cluster = responsibilities.argmax(-1)
        angle, mirrored = self.agreed(nearest, angles, signs, cluster)
        element = reflect(
            self.group.from_parameters(torch.cat([angle[:, None], known.rest], 1)), mirrored
        )
        z_c = responsibilities.clamp_min(1e-6).log()
        back = turned_back(known.rings, angle, mirrored)
        z = (back - self.rings[cluster]).flatten(1) @ self.basis.mT
        canonical = self.canonical(z_c, z)
        return Output(
            posterior=nearest,
            z_c=z_c,
            z=z,
            tau=self.group.log(element),
            element=element,
            responsibilities=responsibilities,
            canonical=canonical,
            reconstruction=self.masked(warp(canonical, element, background=self.background)),
        )

    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Measure reconstructions; there is nothing else, and nothing is trained."""
        error = bce(model(x).reconstruction, x).mean()
        return assemble(error, kl_cluster=torch.zeros_like(error))

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> Teacher:
        """Make the teacher, which chooses the exemplars; see `Model.teacher`."""
        return self.teaching(config, pixels, self)
