"""What a model must be, so that training, scoring, checkpoints and reports take it as it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.models.config import PlannedConfig

P = TypeVar("P")
"""A model's own kind of posterior."""


@dataclass(frozen=True, kw_only=True)
class Output(Generic[P]):
    """What a model says of a batch of images.

    Attributes:
        posterior: what the latents below come from, of the model's own kind.
        z_c: (B, K), cluster latent.
        z: (B, V), variation.
        tau: (B, T), pose in the Lie algebra, units as `group.units`.
        element: (B, 3, 3), exp(tau), which moves the canonical image onto x.
        responsibilities: (B, K), probability of each cluster; rows sum to 1.
        canonical: (B, C, H, W), pose-free image, values from 0 to 1.
        reconstruction: (B, C, H, W), the canonical image moved by `element`.
    """

    posterior: P
    z_c: Tensor
    z: Tensor
    tau: Tensor
    element: Tensor
    responsibilities: Tensor
    canonical: Tensor
    reconstruction: Tensor


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The parts of the loss, each a mean over the batch (scalar tensors, nats per image).

    The best epoch is chosen by `negative_elbo`, not by `loss`: the targets of eq. (8) move with the
    model, so that its invariance term says little across epochs.
    """

    loss: Tensor
    negative_elbo: Tensor
    reconstruction: Tensor
    kl_cluster: Tensor
    kl_variation: Tensor
    kl_pose: Tensor
    invariance: Tensor


def assemble(
    reconstruction: Float[Tensor, ""],
    *,
    kl_cluster: Float[Tensor, ""],
    kl_variation: Float[Tensor, ""] | None = None,
    kl_pose: Float[Tensor, ""] | None = None,
    beta: float = 1.0,
    penalty: Float[Tensor, ""] | None = None,
    invariance: Float[Tensor, ""] | None = None,
    alpha: float = 1.0,
    elbo_beta: float = 1.0,
) -> Terms:
    """The loss and the negative ELBO from their parts.

    loss = reconstruction + penalty + alpha invariance; the penalty is beta times all divergences.

    Args:
        reconstruction: mean error of the reconstructions.
        kl_cluster: mean divergence of the cluster, or of the whole code.
        kl_variation: that of the variation; None: 0.
        kl_pose: that of the pose; None: 0.
        beta: weight of the divergences in the loss.
        penalty: what the loss has in place of the weighed divergences, if anything.
        invariance: mean invariance term; None: 0.
        alpha: its weight.
        elbo_beta: weight of the divergences in `negative_elbo`; 1 is the true bound.
    """
    zero = torch.zeros_like(kl_cluster)
    kl_variation = zero if kl_variation is None else kl_variation
    kl_pose = zero if kl_pose is None else kl_pose
    kl = kl_cluster + kl_variation + kl_pose
    loss = reconstruction + (beta * kl if penalty is None else penalty)
    return Terms(
        loss=loss if invariance is None else loss + alpha * invariance,
        negative_elbo=reconstruction + elbo_beta * kl,
        reconstruction=reconstruction,
        kl_cluster=kl_cluster,
        kl_variation=kl_variation,
        kl_pose=kl_pose,
        invariance=zero if invariance is None else invariance,
    )


class Model(nn.Module, ABC, Generic[P]):
    """A network, what it minimises, and how it gets ready for an epoch.

    Models without clusters have one, of responsibility 1, and their whole code as z_c, so that it
    is clustered by k-means. Those without poses leave every image at the identity, and their
    reconstruction is their canonical image.

    Attributes:
        group: of the poses.
        background: value that moves in from outside the frame, from 0 to 1.
        quick: whether images are inferred in one pass, rather than by a search.
        rotations: rotations of the grid that it gives probabilities of; 0: it gives none.
    """

    group: MatrixGroup
    background: float
    quick: bool = True
    rotations: int = 0

    @abstractmethod
    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[P]:
        """Infer and redraw images.

        Args:
            x: images with values from 0 to 1.
            sample: draw the latents from the posterior, or take its mean. None: draw in training
                mode only.
        """

    @abstractmethod
    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Pose-free image of a cluster and a variation, values from 0 to 1."""

    def decode(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], tau: Float[Tensor, "B T"]
    ) -> Float[Tensor, "B C H W"]:
        """The canonical image moved by exp(tau), bilinearly."""
        return warp(self.canonical(z_c, z), self.group.exp(tau), background=self.background)

    @abstractmethod
    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Terms of the loss for a batch.

        Args:
            model: what this one is called through: itself, or its wrapper for several devices.
            x: images with values from 0 to 1.
            batch: further columns of the batch, by name: `upright` where it is known, and those of
                the teacher.
        """

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> "Teacher":
        """What gets the model ready for each epoch.

        Args:
            config: settings of the run.
            pixels: the training images.
        """
        return Teacher(self, pixels)

    def rotation_probabilities(self, out: Output[P]) -> Float[Tensor, "B R"]:
        """Probabilities of the rotations of the grid, given each image's likeliest cluster.

        The i-th of R rotations turns by 2 pi i / R. Only where `rotations` is not 0.
        """
        raise NotImplementedError

    def draws(self, sample: bool | None) -> bool:
        """Whether latents are drawn, as `forward` takes it."""
        return self.training if sample is None else sample


class Stopped(Exception):
    """Somebody asked to stop while a model was got ready; what is half ready is not kept."""


class Teacher:
    """Gets a model ready for each epoch. This one, of models that need nothing, does nothing.

    What it keeps and what it changes in the model is in the checkpoint (`state`, parameters,
    buffers), since it is not asked again when a run resumes within an epoch. It draws nothing from
    the global generators, whose states training goes on from.

    Args:
        model: that is trained.
        pixels: (N, C, H, W) uint8 training images.

    Attributes:
        staged: whether training has stages, all of which must fit into a budget of minutes.
        warmup: epochs of the first stage; 0: there is none.
        stop: is filled when somebody asks to stop; long work looks at it.
    """

    staged: bool = False
    warmup: int = 0

    def __init__(self, model: Model, pixels: UInt8[Tensor, "N C H W"]) -> None:
        self.model, self.pixels = model, pixels
        self.stop: Sequence[int] = ()

    @property
    def grouped(self) -> bool:
        """Whether there are clusters yet."""
        return True

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """What batches have besides their images, by name; a row for each training image."""
        return {}

    def plan(self, epochs: int, warmup: int = 0) -> None:
        """Spread the stages over so many epochs.

        Args:
            epochs: of the whole run.
            warmup: epochs that the first stage took, where it is over.
        """

    def before(self, epoch: int, epochs: int, move_on: Callable[[], None] | None = None) -> str:
        """Get the model ready for an epoch, in training mode; says what was done, if anything.

        Args:
            epoch: that starts, from 0.
            epochs: of the whole run, as far as is known.
            move_on: puts other images in the place of these, where there are more than memory
                holds.

        Raises:
            Stopped: `stop` was filled.
        """
        if move_on and epoch > 0:
            move_on()
        return self.prepare(epoch, epochs)

    def prepare(self, epoch: int, epochs: int) -> str:
        """As `before`, for images that are there."""
        return ""

    def renew(self, *, grouped: bool) -> None:
        """Make anew, from the trained model alone, what `state` has: a finished run keeps none.

        Args:
            grouped: whether the model has its clusters.

        Raises:
            Stopped: `stop` was filled.
        """

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must keep of it."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state` gave.

        Raises:
            ValueError: it is of other images.
        """
