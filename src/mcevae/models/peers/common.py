"""Code that several peers share: settings of their latent code, and outputs without poses."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

import torch
import tyro
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.base.config import ensure_range
from mcevae.base.flags import FLAGS
from mcevae.geometry.groups import MatrixGroup
from mcevae.models.config import WIDEST
from mcevae.models.contract import Output
from mcevae.models.registry import PeerConfig

P = TypeVar("P")

CONVOLVED = frozenset(
    {"model.filters", "model.hidden", "model.decoder_hidden"}
    | {"objective.beta", "objective.likelihood"}
)
"""Settings that peers with the encoder and the decoder of the paper's model read."""


@dataclass(frozen=True, kw_only=True)
class CodeConfig(PeerConfig):
    """Settings of a peer that has a single latent code instead of z_c and z."""

    code: Annotated[int, tyro.conf.arg(name=FLAGS["code"])] = 16
    """Size of the latent code, for peers that have a single code instead of z_c and z."""

    def __post_init__(self) -> None:
        ensure_range(self, code=(1, WIDEST))


def unposed(
    posterior: P,
    z_c: Float[Tensor, "B D"],
    responsibilities: Float[Tensor, "B K"],
    image: Float[Tensor, "B C H W"],
    group: MatrixGroup,
) -> Output[P]:
    """Make the output of a model that has no poses and keeps its whole code in z_c.

    Args:
        posterior: what the model inferred.
        z_c: the code.
        responsibilities: probability of each cluster.
        image: the image that the model draws; it is both canonical image and reconstruction.
        group: the group whose identity is the pose of every image.
    """
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


def cluster_means(
    images: Float[Tensor, "B C H W"], cluster: Int[Tensor, " B"], count: int
) -> Float[Tensor, "{count} C H W"]:
    """The mean image of each of some clusters; black where a cluster has no image.

    Args:
        images: from 0 to 1.
        cluster: of the images.
        count: number of clusters.
    """
    total = images.new_zeros(count, *images.shape[1:]).index_add_(0, cluster, images)
    return total / cluster.bincount(minlength=count).clamp_min(1).view(-1, 1, 1, 1)


def single_cluster(x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1"]:
    """Return the responsibilities of a model without clusters: 1 for its only cluster."""
    return torch.ones(x.shape[0], 1, device=x.device)
