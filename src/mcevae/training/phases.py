"""Names of the phases of a training, and figures that show how far it has come.

The loss means something else in each phase, so that its values cannot be compared. These figures
can: they are measured in the same way, on the same validation images, at every epoch. No label is
read.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.models.contract import Model, Teacher
from mcevae.runs.infer import outputs

SEEN = 200
"""Number of validation images that are looked at."""
SEED = 0
"""Seed of the poses that they are moved to."""
COMPARING, GROUPS, POSES, DRAWING = (
    "comparing images",
    "first groups",
    "learning poses",
    "learning to draw",
)
EARLY = (COMPARING, GROUPS, POSES, DRAWING)
"""Phases if there are groups before the poses are learned."""
LATE = (COMPARING, POSES, GROUPS, DRAWING)
"""Phases if the groups come from the images moved back by learned poses."""


def titled(name: str, *, early: bool) -> str:
    """Number a phase, such as "3/4 learning poses".

    Args:
        name: the phase.
        early: whether there are groups before the poses are learned.
    """
    order = EARLY if early else LATE
    return f"{order.index(name) + 1}/{len(order)} {name}"


def phase_of(teacher: Teacher, epoch: int, *, early: bool) -> str:
    """Name the phase in which the steps of an epoch are.

    Args:
        teacher: knows the length of the warm-up.
        epoch: number of the epoch, from 0.
        early: as for `titled`.
    """
    if not teacher.staged:
        return "learning"
    return titled(POSES if epoch < teacher.warmup else DRAWING, early=early)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How far training has come, on validation images.

    Attributes:
        apart: half of the poses are nearer than this to those that images were moved to, degrees.
        same: share of images that keep their cluster when they are moved.
        drawn: share of the differences between images that reconstructions show, at most 1.
        clusters: K.
    """

    apart: float
    same: float
    drawn: float
    clusters: int

    def in_words(self, *, poses: bool) -> str:
        """Write the figures that mean something in a phase.

        Args:
            poses: whether poses are learned, and drawings are still rough.
        """
        if poses:
            return f"half of the poses are right within {self.apart:.0f} degrees"
        drawn = f"drawings show {max(0.0, self.drawn):.0%} of the differences between images"
        kept = f"{self.same:.0%} of the images keep their group when moved"
        return f"{drawn}, {kept}" if self.clusters > 1 else drawn

    def to_dict(self) -> dict[str, float]:
        """The figures by name, for the log."""
        return asdict(self)


@torch.no_grad()
def measure(model: Model, pixels: Tensor, support: tuple[float, ...]) -> Figures:
    """Measure the figures. Global random generators are not used.

    Each image is moved back by the pose that the model found, then to a random pose in the support,
    which the model should then find.

    Args:
        model: model in evaluation mode.
        pixels: (N, C, H, W) uint8 validation images; the first `SEEN` are used.
        support: half-widths of the group's parameters.
    """
    group = model.group
    generator = torch.Generator().manual_seed(SEED)
    apart, same, left, shown = [], [], [], []
    clusters = 1
    for x, out in outputs(model, pixels[:SEEN]):
        goal = group.sample((len(x),), support, generator=generator).to(x.device)
        motion = group.compose(goal, group.inverse(out.element))
        moved = to_bytes(warp(x, motion, background=model.background))
        ((_, again),) = outputs(model, moved)
        if "rotation" in group.changes:
            apart.append(group.distance(again.element, goal)["rotation_deg"].cpu())
        same.append((again.responsibilities.argmax(-1) == out.responsibilities.argmax(-1)).cpu())
        left.append((out.reconstruction - x).square().flatten(1).sum(1).cpu())
        shown.append(x.cpu())
        clusters = out.responsibilities.shape[1]
    images = torch.cat(shown)
    spread = (images - images.mean(0)).square().sum().clamp_min(1e-9)
    return Figures(
        apart=torch.cat(apart).median().item() if apart else 0.0,
        same=torch.cat(same).float().mean().item(),
        drawn=1 - (torch.cat(left).sum() / spread).item(),
        clusters=clusters,
    )
