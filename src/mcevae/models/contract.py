"""What every model must provide, so that training, scoring and reports can use it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import Hints
from mcevae.models.config import PlannedConfig

T = TypeVar("T")
P = TypeVar("P")
"""The type of a model's posterior."""


@dataclass(frozen=True, kw_only=True)
class Output(Generic[P]):
    """What a model finds for a batch of images.

    Attributes:
        posterior: the posterior of the latents; its type depends on the model.
        z_c: (B, K), cluster latent.
        z: (B, V), variation.
        tau: (B, T), pose in the Lie algebra, units as `group.units`.
        element: (B, 3, 3), exp(tau), which moves the canonical image onto x. If the group has
            reflections, a mirror image may come first; the sign of the determinant tells.
        responsibilities: (B, K), probability of each cluster; rows sum to 1.
        canonical: (B, C, H, W), the image without its pose, values from 0 to 1.
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

    `negative_elbo`, not `loss`, chooses the best epoch: the targets of eq. (8) change with the
    model, so the invariance terms of two epochs cannot be compared.
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
    """Compute the loss and the negative ELBO from their parts.

    loss = reconstruction + penalty + alpha * invariance. Unless given, the penalty is beta times
    the sum of all divergences.

    Args:
        reconstruction: mean error of the reconstructions.
        kl_cluster: mean divergence of the cluster, or of the whole code.
        kl_variation: that of the variation; None: 0.
        kl_pose: that of the pose; None: 0.
        beta: weight of the divergences in the loss.
        penalty: replaces beta times the divergences in the loss; None: it does not.
        invariance: mean invariance term; None: 0.
        alpha: weight of the invariance term.
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
    """A network, its loss, and how it gets ready for an epoch.

    A model without clusters has a single cluster with responsibility 1, and its whole code is z_c,
    which k-means then clusters. A model without poses gives every image the identity as its pose,
    and its reconstruction is its canonical image.

    Attributes:
        group: group of the poses.
        background: value of pixels from outside the image, from 0 to 1.
        quick: True if it infers images in one pass, False if it searches.
        rotations: R, number of rotations of its grid, if it gives their probabilities; else 0.
        at_once: most images that it infers at one time, see `limit`.
        grows: tensors that are larger with more clusters, by name, and how many entries at the end
            of the axis that grows are of no cluster, see `takeover`.
    """

    group: MatrixGroup
    background: float
    quick: bool = True
    rotations: int = 0
    at_once: int = 500

    @property
    def grows(self) -> Mapping[str, int]:
        """None, but for models that say otherwise; see above."""
        return {}

    @abstractmethod
    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output[P]:
        """Infer the latents of images and reconstruct the images.

        Args:
            x: images with values from 0 to 1.
            sample: draw the latents from the posterior, or take its mean. None: draw in training
                mode only.
        """

    def keep_masks(
        self, share: Float[Tensor, "1 H W"] | None, upright: Float[Tensor, "1 H W"] | None
    ) -> None:
        """Let only some pixels of all images count, see `masking.masks_of`.

        Args:
            share: of each pixel of an image that counts, from 0 to 1; None: all of them do.
            upright: the same for canonical images.
        """
        self.register_buffer("mask", share, persistent=False)
        self.register_buffer("upright_mask", upright, persistent=False)

    def masked(
        self,
        images: Float[Tensor, "B C H W"],
        name: Literal["mask", "upright_mask"] = "mask",
    ) -> Float[Tensor, "B C H W"]:
        """Images with the background where pixels do not count.

        Images of the data are so. If their reconstructions are, too, these pixels add nothing to
        the likelihood that could be learned.
        """
        mask = self._buffers.get(name)
        return images if mask is None else self.background + mask * (images - self.background)

    @abstractmethod
    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical image of a cluster and a variation, values from 0 to 1."""

    def decode(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], tau: Float[Tensor, "B T"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical image and move it by exp(tau)."""
        return self.render(z_c, z, self.group.exp(tau))

    def render(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], element: Float[Tensor, "B 3 3"]
    ) -> Float[Tensor, "B C H W"]:
        """Draw the canonical image and move it by a group element, with bilinear interpolation."""
        return self.masked(warp(self.canonical(z_c, z), element, background=self.background))

    @abstractmethod
    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Compute the terms of the loss for a batch.

        Args:
            model: the object to call for a forward pass: this model, or its wrapper for several
                devices.
            x: images with values from 0 to 1.
            batch: other columns of the batch, by name: `upright` if it is known, and the columns of
                the teacher.
        """

    def teacher(self, config: PlannedConfig, pixels: UInt8[Tensor, "N C H W"]) -> "Teacher":
        """Make the teacher, which gets the model ready for each epoch.

        Args:
            config: settings of the run.
            pixels: the training images.
        """
        return Teacher(self, pixels)

    def rotation_probabilities(self, out: Output[P]) -> Float[Tensor, "B R"]:
        """Return the probabilities of the grid's rotations, for each image's most probable cluster.

        The i-th of R rotations turns by 2 pi i / R. If the group has reflections, R more follow:
        the same rotations of a mirror image. Only models whose `rotations` is not 0 have this.

        Raises:
            NotImplementedError: `rotations` is 0.
        """
        raise NotImplementedError

    def draws(self, sample: bool | None) -> bool:
        """Return whether latents are drawn, from the argument `sample` of `forward`."""
        return self.training if sample is None else sample


class Stopped(Exception):
    """Somebody asked to stop while a model was prepared. The unfinished work is thrown away."""


class Teacher:
    """Gets a model ready for each epoch. This class does nothing; it is for models without stages.

    Checkpoints keep all of its results (`state`, parameters, buffers), because it does not run
    again when a run resumes within an epoch. It must not use the global random generators: training
    continues from their states.

    Args:
        model: the model that is trained.
        pixels: (N, C, H, W) uint8 training images.

    Attributes:
        staged: whether training has stages that must all fit into a budget of minutes.
        warmup: number of epochs of the first stage; 0: there is no first stage.
        stop: gets an entry when somebody asks to stop; long tasks must look at it.
        features: (N, D), numbers that describe each image as well, if somebody gave some.
        hints: what a person said of some of the images, if anything.
        told: wraps the list of parts of each long task, to show progress.
        known: (N,) clusters and (N, 3, 3) poses of the images, if they were found before. Models
            that are not trained then need not look for them.
    """

    staged: bool = False
    warmup: int = 0

    def __init__(self, model: Model, pixels: UInt8[Tensor, "N C H W"]) -> None:
        self.model, self.pixels = model, pixels
        self.stop: Sequence[int] = ()
        self.features: Float[Tensor, "N D"] | None = None
        self.hints: Hints | None = None
        self.told: Callable[[Iterable[Any]], Iterable[Any]] = iter
        self.known: tuple[Int[Tensor, " N"], Float[Tensor, "N 3 3"]] | None = None

    @property
    def grouped(self) -> bool:
        """Whether there are clusters already."""
        return True

    @property
    def found(self) -> tuple[Int[Tensor, " N"], Float[Tensor, "N 3 3"]] | None:
        """Clusters and poses that all images have in its targets; None if there are none."""
        return None

    @property
    def judge(self) -> str:
        """Name of the term that chooses the best epoch, on validation images."""
        return "negative_elbo"

    @property
    def columns(self) -> Mapping[str, Tensor]:
        """Columns that batches have besides their images, with a row for each training image."""
        return {}

    def watched(self, parts: Iterable[T]) -> Iterator[T]:
        """Give the parts of a long task one by one.

        Raises:
            Stopped: somebody asked to stop.
        """
        for part in self.told(parts):
            if self.stop:
                raise Stopped
            yield part

    def plan(self, epochs: int, warmup: int = 0) -> None:
        """Spread the stages over the epochs.

        Args:
            epochs: number of epochs of the whole run.
            warmup: number of epochs that the first stage took; 0: it is not over yet.
        """

    def before(self, epoch: int, epochs: int, move_on: Callable[[], None] | None = None) -> str:
        """Get the model ready for an epoch, in training mode; return a message, or "".

        Args:
            epoch: number of the epoch that starts, from 0.
            epochs: number of epochs of the whole run, as far as it is known.
            move_on: replaces these images by others, if the source is larger than memory.

        Raises:
            Stopped: somebody asked to stop.
        """
        if move_on and epoch > 0:
            move_on()
        return self.prepare(epoch, epochs)

    def prepare(self, epoch: int, epochs: int) -> str:
        """Do what `before` promises, for the images in memory."""
        return ""

    def renew(self, *, grouped: bool) -> None:
        """Make new targets from the trained model only, because a finished run keeps none.

        Args:
            grouped: whether the model has its clusters.

        Raises:
            Stopped: somebody asked to stop.
        """

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint must keep."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Load what `state` gave.

        Raises:
            ValueError: it belongs to other images.
        """
