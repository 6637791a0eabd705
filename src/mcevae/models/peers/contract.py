"""What a peer must be, so that training, scoring, checkpoints and reports take it as it is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.models.objective import Terms
from mcevae.models.paper import Output


class Baseline(nn.Module, ABC):
    """A model with the verbs of `PaperModel`.

    Peers without clusters have one, of responsibility 1, and their whole code as z_c, so that it is
    clustered by k-means; those without poses leave every image at the identity, and their
    reconstruction is their canonical image.

    Attributes:
        group: of the poses.
        background: value that moves in from outside the frame, from 0 to 1.
        quick: whether images are inferred in one pass, rather than by a search.
    """

    group: MatrixGroup
    background: float
    quick: bool = True

    @abstractmethod
    def forward(self, x: Float[Tensor, "B C H W"], sample: bool | None = None) -> Output:
        """Infer and redraw images with values from 0 to 1; `sample` as in `PaperModel.forward`."""

    @abstractmethod
    def canonical(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"]
    ) -> Float[Tensor, "B C H W"]:
        """Pose-free image of a code, values from 0 to 1."""

    def decode(
        self, z_c: Float[Tensor, "B K"], z: Float[Tensor, "B V"], tau: Float[Tensor, "B T"]
    ) -> Float[Tensor, "B C H W"]:
        """The canonical image moved by exp(tau), bilinearly."""
        return warp(self.canonical(z_c, z), self.group.exp(tau), background=self.background)

    @abstractmethod
    def terms(
        self, model: nn.Module, x: Float[Tensor, "B C H W"], batch: Mapping[str, Tensor]
    ) -> Terms:
        """Terms of the loss for a batch; `model` is what this one is called through."""

    def before(self, epoch: int, epochs: int, pixels: UInt8[Tensor, "N C H W"]) -> str:
        """Get ready for an epoch, in training mode; says what was done, if anything.

        It is called once an epoch, before its first step, and not again when a run resumes within
        the epoch: what it changes must be parameters or buffers, which are in the checkpoint. It
        draws nothing from the global generators, whose states training goes on from.

        Args:
            epoch: from 0.
            epochs: of the whole run.
            pixels: the training images.
        """
        return ""


def objective(
    model: nn.Module,
    inner: Baseline,
    x: Float[Tensor, "B C H W"],
    batch: Mapping[str, Tensor] | None = None,
) -> Terms:
    """Loss of a peer, called as `objectives.Objective` is."""
    return inner.terms(model, x, batch or {})


def elbo(
    reconstruction: Float[Tensor, ""],
    beta: float,
    *,
    kl_cluster: Float[Tensor, ""],
    kl_variation: Float[Tensor, ""] | None = None,
    kl_pose: Float[Tensor, ""] | None = None,
) -> Terms:
    """The plain negative ELBO, and the loss, which weighs all its divergences by beta."""
    none = torch.zeros_like(kl_cluster)
    kl_variation = none if kl_variation is None else kl_variation
    kl_pose = none if kl_pose is None else kl_pose
    kl = kl_cluster + kl_variation + kl_pose
    return Terms(
        loss=reconstruction + beta * kl,
        negative_elbo=reconstruction + kl,
        reconstruction=reconstruction,
        kl_cluster=kl_cluster,
        kl_variation=kl_variation,
        kl_pose=kl_pose,
        invariance=none,
    )


def unposed(
    posterior: object,
    z_c: Float[Tensor, "B D"],
    responsibilities: Float[Tensor, "B K"],
    image: Float[Tensor, "B C H W"],
    group: MatrixGroup,
) -> Output:
    """Output of a model that leaves images as they lie and has its whole code in z_c."""
    tau = torch.zeros(image.shape[0], group.dim, device=image.device)
    return Output(
        posterior=posterior,
        z_c=z_c,
        z=z_c[:, :0],
        tau=tau,
        element=group.exp(tau),
        responsibilities=responsibilities,
        canonical=image,
        reconstruction=image,
    )


def single_cluster(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1"]:
    """Responsibilities of a model without clusters."""
    return torch.ones(x.shape[0], 1, device=x.device)
