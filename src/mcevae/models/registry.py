"""From settings to a model with fresh weights."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcevae.base.errors import UserError
from mcevae.geometry.groups import MatrixGroup, get_group
from mcevae.models.config import MOST_CLUSTERS, Config
from mcevae.models.default.model import DefaultModel
from mcevae.models.distributions import GaussianLatent, MixtureLatent
from mcevae.models.nets import (
    CodeDecoder,
    CodeEncoder,
    ConvEncoder,
    Extractor,
    GatedDecoder,
    HypothesisNet,
)
from mcevae.models.paper import PaperModel
from mcevae.models.peers import PEERS
from mcevae.models.peers.contract import Baseline

Model = PaperModel | DefaultModel | Baseline
MOST_WEIGHTS = 2**30
"""Numbers of a model; to train so many takes 16 GiB."""
FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.arange}
"""What layers and models take memory by."""


def build(config: Config, shape: tuple[int, int, int], most: int = MOST_WEIGHTS) -> Model:
    """The model that the settings describe, with fresh weights.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        most: numbers that it may have.

    Raises:
        UserError: it would have more, for which no memory was taken.
    """
    with AtMost(most):
        return component(config, shape)


class AtMost(TorchFunctionMode):
    """Within it, tensors can be made of so many numbers in all."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.left = most, most

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count what is made, before it is."""
        kwargs = kwargs or {}
        if func in FACTORIES:
            size = kwargs.get("size", args[0] if args and isinstance(args[0], tuple) else args)
            self.left -= math.prod(int(side) for side in size)
            if self.left < 0:
                raise UserError(
                    f"the model of these settings would have more than {self.most:,} weights; use "
                    "fewer --hidden units, --clusters, --rotations or --channels."
                )
        return func(*args, **kwargs)


def component(config: Config, shape: tuple[int, int, int]) -> Model:
    """The model of one of the kinds, on torch's default device."""
    group = get_group(config.model.group)
    if config.model.kind == "hypotheses":
        return hypotheses(config, shape, group)
    if config.model.kind == "mce-vae":
        return gaussian(config, shape, group)
    return PEERS[config.model.kind](config, shape, group)


def gaussian(config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> PaperModel:
    """The paper's model."""
    sizes = config.model
    assert isinstance(sizes.clusters, int)  # `Config` refuses "auto" here
    cluster = (
        MixtureLatent(sizes.clusters, sizes.prior_weights, sizes.posterior_weights)
        if sizes.latent == "mixture"
        else GaussianLatent(sizes.clusters)
    )
    variation = GaussianLatent(sizes.variation)
    pose = GaussianLatent(group.dim, pose_scale(group, config))
    encoder = ConvEncoder(shape, sizes.channels)
    return PaperModel(
        group=group,
        encoder=encoder,
        cluster=cluster,
        variation=variation,
        pose=pose,
        extract_cluster=Extractor(encoder.features, sizes.hidden, cluster.dim),
        extract_variation=Extractor(encoder.features, sizes.hidden, variation.dim),
        extract_pose=Extractor(encoder.features, sizes.pose_hidden, pose.dim),
        decoder=GatedDecoder(cluster.dim + variation.dim, sizes.decoder_hidden, shape),
        background=config.data.background_level,
    )


def hypotheses(config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> DefaultModel:
    """The default model."""
    sizes = config.model
    room = MOST_CLUSTERS if sizes.clusters == "auto" else sizes.clusters
    variation = GaussianLatent(sizes.variation)
    return DefaultModel(
        group=group,
        support=config.support.half_widths(group),
        net=HypothesisNet(shape, room, sizes.rotations, group.dim - 1),
        encoder=CodeEncoder(math.prod(shape), room, sizes.hidden, sizes.variation),
        decoder=CodeDecoder(
            room + sizes.variation, sizes.hidden, shape, config.data.background_level
        ),
        variation=variation,
        background=config.data.background_level,
        from_canonical=sizes.encode == "canonical",
    )


def pose_scale(group: MatrixGroup, config: Config) -> Tensor:
    """Standard deviation of the Gaussian prior of tau, (T,).

    The paper does not state p(tau). A uniform distribution on the support has standard deviation
    half-width / sqrt(3); the Gaussian with the same one makes eq. (7) analytic and puts rotation
    and shift, whose units differ, on one footing. It is kept above 0.01 where the support has
    no width.
    """
    half_widths = torch.tensor(config.support.half_widths(group))
    return (half_widths / math.sqrt(3)).clamp_min(0.01)
