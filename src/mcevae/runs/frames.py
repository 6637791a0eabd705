"""The canonical frames in which a run shows what it finds, where people have turned them.

If a frame is turned by g, canonical images are drawn as g canonical, and a pose becomes pose g^-1.
So the canonical image, moved by its pose, is the same reconstruction as before. If a turn of a
canonical image gives the same picture, poses are given modulo this turn.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.models.contract import Output
from mcevae.runs.collections import Collections
from mcevae.runs.infer import Embedding
from mcevae.runs.symmetry import Symmetry
from mcevae.runs.upright import AS_FOUND


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Turns what a model found into the frames that people set.

    Attributes:
        group: group of the poses.
        background: value that moves in from outside the frame, from 0 to 1.
        collections: the groups of the run, which know how frames are turned. None: none is.
        symmetry: of the clusters. Poses are given modulo it. None: there is none.

    Raises:
        UserError: the group does not have these turns.
    """

    group: MatrixGroup
    background: float
    collections: Collections | None = None
    symmetry: Symmetry | None = None

    def __post_init__(self) -> None:
        turns = list(self.collections.uprights.values()) if self.collections else []
        if turns and not self.group.polar:
            raise UserError(
                f"frames cannot be turned by hand, since the group {self.group.name} is given by "
                "generators; use one of so2, se2, sim2, aff2."
            )
        if any(turn.flipped for turn in turns) and not self.group.mirrors:
            raise UserError(
                "a frame cannot be flipped, since poses of this run have no mirror image; train "
                "with --mirror."
            )

    @cached_property
    def _turns(self) -> Float[Tensor, "units 3 3"]:
        """g of each unit."""
        assert self.collections is not None
        known = self.collections.uprights
        return torch.stack([known.get(unit, AS_FOUND).element for unit in self.collections.units])

    def turns(
        self, cluster: Int[Tensor, " n"], z: Float[Tensor, "n V"]
    ) -> Float[Tensor, "n 3 3"] | None:
        """How the frame of each image is turned, g. None: no frame is.

        Args:
            cluster: of each image.
            z: its variation, which tells the parts of split clusters apart.
        """
        if self.collections is None or not self.collections.uprights:
            return None
        units = self.collections.units_of(cluster.cpu().numpy(), z.detach().cpu().numpy())
        return self._turns[torch.from_numpy(units)].to(z.device)

    def poses(
        self, element: Float[Tensor, "n 3 3"], cluster: Int[Tensor, " n"], z: Float[Tensor, "n V"]
    ) -> Float[Tensor, "n 3 3"]:
        """Poses in these frames, pose g^-1, from poses in the frames that the model found.

        They are given modulo the symmetry of their cluster.
        """
        turns = self.turns(cluster, z)
        if turns is not None:
            element = self.group.compose(element, self.group.inverse(turns))
        if self.symmetry is None:
            return element
        return self.symmetry.reduced(element, cluster, self.group)

    def own_poses(
        self, element: Float[Tensor, "n 3 3"], cluster: Int[Tensor, " n"], z: Float[Tensor, "n V"]
    ) -> Float[Tensor, "n 3 3"]:
        """Poses in the frames that the model found, pose g, from poses in these frames.

        A pose modulo a symmetry stays as it is: it draws the same.
        """
        turns = self.turns(cluster, z)
        return element if turns is None else self.group.compose(element, turns)

    def pictures(
        self,
        canonical: Float[Tensor, "n C H W"],
        cluster: Int[Tensor, " n"],
        z: Float[Tensor, "n V"],
    ) -> Float[Tensor, "n C H W"]:
        """Canonical images in these frames, g canonical, from those that the model draws."""
        turns = self.turns(cluster, z)
        if turns is None:
            return canonical
        which = (turns != torch.eye(3, device=turns.device)).flatten(1).any(1)
        pictures = canonical.clone()
        if which.any():
            moved = warp(canonical[which], turns[which], background=self.background)
            pictures[which] = moved.to(pictures.dtype).clamp(0, 1)
        return pictures

    def sureness(
        self, cluster: Int[Tensor, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
        """Order of the symmetry, and consistency, of each image's cluster; 1 and 0 if unknown."""
        if self.symmetry is None:
            return np.ones(len(cluster), np.int32), np.zeros(len(cluster), np.float32)
        return self.symmetry.columns(cluster.numpy())

    def canonical(self, out: Output) -> Float[Tensor, "n C H W"]:
        """The canonical images of a model's output, in these frames."""
        return self.pictures(out.canonical, out.responsibilities.argmax(-1), out.z)

    def pose(self, out: Output) -> Float[Tensor, "n 3 3"]:
        """The poses of a model's output, in these frames."""
        return self.poses(out.element, out.responsibilities.argmax(-1), out.z)

    def shown(self, found: Embedding) -> Embedding:
        """What was found, with poses and canonical images in these frames."""
        element = self.poses(found.element, found.cluster, found.z)
        return replace(
            found,
            element=element,
            tau=found.tau if element is found.element else self.group.log(element),
            canonical=self.pictures(found.canonical, found.cluster, found.z),
        )
