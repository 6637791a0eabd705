"""Build the models of presets `default`, `quick` and `paper` from settings."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import require
from mcevae.models.authors import AuthorsEncoder, AuthorsExtractor
from mcevae.models.config import Config
from mcevae.models.default.model import DefaultModel
from mcevae.models.default.objective import HypothesisObjective
from mcevae.models.default.selftraining import SelfTraining
from mcevae.models.distributions import GaussianLatent, MixtureLatent
from mcevae.models.neighbours.kept import Kept
from mcevae.models.neighbours.model import NeighbourModel
from mcevae.models.nets import (
    CodeDecoder,
    CodeEncoder,
    ConvEncoder,
    Extractor,
    GatedDecoder,
    HypothesisNet,
    PoseExtractor,
)
from mcevae.models.objective import Objective
from mcevae.models.paper import PaperModel


def paper(config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> PaperModel:
    """Build the paper's model.

    Args:
        config: settings of the run.
        shape: (C, H, W) of the images.
        group: group of the poses.
    """
    sizes = config.model
    cluster = (
        MixtureLatent(sizes.room, sizes.prior_weights, sizes.posterior_weights)
        if sizes.latent == "mixture"
        else GaussianLatent(sizes.room)
    )
    variation = GaussianLatent(sizes.variation)
    pose = GaussianLatent(group.dim, pose_scale(group, config))
    return PaperModel(
        group=group,
        cluster=cluster,
        variation=variation,
        pose=pose,
        **inference(config, shape, (cluster.dim, variation.dim, pose.dim)),
        decoder=GatedDecoder(cluster.dim + variation.dim, sizes.decoder_hidden, shape),
        objective=Objective(config.objective, group, config.support.half_widths(group)),
        background=config.data.background_level,
    )


def inference(
    config: Config, shape: tuple[int, int, int], dims: tuple[int, int, int]
) -> dict[str, nn.Module]:
    """Build the encoder and the extractors of the paper's model.

    Args:
        config: settings of the run; `networks` says whose they are.
        shape: (C, H, W) of the images.
        dims: sizes of z_c, z and tau.

    Returns:
        Arguments of `PaperModel`.
    """
    sizes = config.model
    z_c, z, tau = dims
    if sizes.networks == "authors":
        encoder = AuthorsEncoder(shape)
        wide = partial(
            AuthorsExtractor, encoder.features, sizes.hidden, activation=nn.Sigmoid, layers=2
        )
        pose = AuthorsExtractor(encoder.features, sizes.pose_hidden, tau, nn.ReLU, 1)
    else:
        encoder = ConvEncoder(shape, sizes.filters)
        wide = partial(Extractor, encoder.features, sizes.hidden)
        pose = PoseExtractor(encoder.features, sizes.pose_hidden, tau)
    return {
        "encoder": encoder,
        "extract_cluster": wide(dim=z_c),
        "extract_variation": wide(dim=z),
        "extract_pose": pose,
    }


def default(config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> DefaultModel:
    """Build the default model; the arguments are those of `paper`."""
    sizes, room = config.model, config.model.room
    support = config.support.half_widths(group)
    variation = GaussianLatent(sizes.variation)
    rotations = (sizes.rotations if group.polar else 1) * (2 if group.mirrors else 1)
    return DefaultModel(
        group=group,
        support=support,
        net=HypothesisNet(shape, room, rotations, group.dim - group.polar),
        encoder=CodeEncoder(math.prod(shape), room, sizes.hidden, sizes.variation),
        decoder=CodeDecoder(
            room + sizes.variation, sizes.hidden, shape, config.data.background_level
        ),
        variation=variation,
        objective=HypothesisObjective(config, support),
        teaching=SelfTraining,
        background=config.data.background_level,
        from_canonical=sizes.encode == "canonical",
    )


def quick(config: Config, shape: tuple[int, int, int], group: MatrixGroup) -> NeighbourModel:
    """Build the model of preset `quick`, without exemplars; the arguments are those of `paper`.

    Raises:
        UserError: the group has no rotations, or no neighbour graph is wanted.
    """
    require(
        group.polar,
        f"--quick compares images in all directions, and group {group.name} does not turn them; "
        "use --group so2, se2, sim2 or aff2, or leave --quick out.",
    )
    require(
        config.start.grouping != "kmeans",
        "--quick needs a neighbour graph; use --grouping tangent or euclidean.",
    )
    return NeighbourModel(
        group=group,
        half_width=config.support.half_widths(group)[0],
        shape=shape,
        room=config.model.room,
        variation=config.model.variation,
        teaching=Kept,
        background=config.data.background_level,
    )


def pose_scale(group: MatrixGroup, config: Config) -> Tensor:
    """Return the standard deviation of the Gaussian prior of tau, (T,).

    The paper does not state p(tau). A uniform distribution on the support has standard deviation
    half-width / sqrt(3). We use a Gaussian with the same standard deviation: eq. (7) is then
    analytic, and rotation and shift count alike although their units differ. The value is at least
    0.01, also if the support has no width.
    """
    half_widths = torch.tensor(config.support.half_widths(group))
    return (half_widths / math.sqrt(3)).clamp_min(0.01)
