"""What a training begins with, if there was a run before it: weights, clusters and poses.

They are in start.safetensors of the new run's folder, so that a training that was stopped before it
saved anything can begin again. The file goes when the training has ended.
"""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.models.contract import Teacher
from mcevae.models.takeover import take_over
from mcevae.runs import checkpoint

FILE = "start.safetensors"
Known = tuple[Int[Tensor, " n"], Float[Tensor, "n 3 3"]]


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is known before a training.

    Attributes:
        weights: of a model, by name, as checkpoints have them; {}: the model begins anew.
        cluster: (N,), of the training images, from 0; None: clusters are still to be found.
        element: (N, 3, 3), their poses; None as `cluster`.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    cluster: Int[Tensor, " n"] | None = None
    element: Float[Tensor, "n 3 3"] | None = None

    def write(self, run: Path) -> None:
        """Save it in the folder of a run that is about to begin.

        Raises:
            UserError: the file cannot be written.
        """
        tensors = {f"model.{name}": weight for name, weight in self.weights.items()}
        if self.cluster is not None and self.element is not None:
            tensors |= {"known.cluster": self.cluster, "known.element": self.element}
        checkpoint.save(run / FILE, tensors, {})

    @classmethod
    def of(cls, run: Path) -> "Given | None":
        """Read what a run begins with; None: nothing is known.

        Raises:
            UserError: the file is damaged.
        """
        if not (run / FILE).exists():
            return None
        tensors, _ = checkpoint.load(run / FILE)
        known = checkpoint.part(tensors, "known")
        return cls(
            weights=checkpoint.part(tensors, "model"),
            cluster=known.get("cluster"),
            element=known.get("element"),
        )

    def known(self, images: int) -> Known | None:
        """Clusters and poses of the training images; None: they are still to be found.

        Args:
            images: number of training images.

        Raises:
            ValueError: they belong to other images.
        """
        if self.cluster is None or self.element is None:
            return None
        shapes = self.cluster.shape, self.element.shape
        types = self.cluster.dtype, self.element.dtype
        if shapes != ((images,), (images, 3, 3)) or types != (torch.long, torch.float32):
            raise ValueError("it belongs to other images")
        if not (self.cluster >= 0).all() or not self.element.isfinite().all():
            raise ValueError("there is a cluster below 0, or a pose that is none")
        return self.cluster, self.element


def given_in(run: Path, images: int) -> Given:
    """What a run begins with; nothing, if its folder has nothing.

    Args:
        run: folder of the run.
        images: number of its training images.

    Raises:
        UserError: the file is damaged, or belongs to other images.
    """
    given = Given.of(run) or Given()
    try:
        given.known(images)
    except ValueError as error:
        raise UserError(f"{run / FILE}: does not fit this run ({error}); train anew.") from error
    return given


def begin_with_given(run: Path, teacher: Teacher) -> bool:
    """Let a model and its teacher begin with what the folder of their run has, if anything.

    Args:
        run: the folder.
        teacher: has the model and the training images.

    Returns:
        Whether there are weights of a trained network.

    Raises:
        UserError: as for `given_in`.
    """
    images = len(teacher.pixels)
    given = given_in(run, images)
    teacher.known = given.known(images)
    return take_over(teacher.model, given.weights) > 0


def end_given(run: Path) -> None:
    """Remove what a run began with, because its training has ended."""
    if (run / FILE).is_file() and not (run / FILE).is_symlink():
        (run / FILE).unlink()
