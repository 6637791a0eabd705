"""What describes the images of the default model: rings, and features that are learned."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import shrink, to_bytes, to_float
from mcevae.models.config import PlannedConfig
from mcevae.models.default.targets import moved_back
from mcevae.teaching.averages import JUDGED, mostly_noise, pooled
from mcevae.teaching.described import LESS
from mcevae.teaching.graph import CHUNK, Described, describe_pixels
from mcevae.teaching.learned import learned_features
from mcevae.teaching.rings import Track

AVERAGED = frozenset({"rotation", "shift_x", "shift_y"})
"""Class averages know groups with these coordinates only."""


def hidden(config: PlannedConfig, pixels: UInt8[Tensor, "n c h w"], group: MatrixGroup) -> bool:
    """Whether images are mostly noise, and class averages know the group.

    Args:
        config: settings of the run.
        pixels: training images.
        group: of the poses.
    """
    return AVERAGED.issuperset(group.coordinates) and mostly_noise(
        pooled(to_float(pixels[:JUDGED]) - config.data.background_level)
    )


def described(
    config: PlannedConfig,
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    track: Track,
) -> Described:
    """Put the training images on rings.

    Args:
        config: settings of the run.
        pixels: training images.
        group: of the poses.
        track: wraps the list of parts of the work.
    """
    return describe_pixels(pixels, group, config.data.background_level, track)


def from_moments(
    config: PlannedConfig, pixels: UInt8[Tensor, "n c h w"], group: MatrixGroup, track: Track
) -> Float[Tensor, "n 3 3"]:
    """Poses that are upright, in the middle of the things, and as large as they are.

    The arguments are those of `described`.
    """
    return upright(described(config, pixels, group, track), group)


def upright(known: Described, group: MatrixGroup) -> Float[Tensor, "n 3 3"]:
    """The poses of images on rings that are not turned."""
    return group.from_parameters(F.pad(known.rest, (1, 0)))


def learns(config: PlannedConfig, agreement: float = 1.0) -> bool:
    """Whether descriptions are learned: if settings ask for it, or `auto` because of doubt.

    Learning takes minutes, so that `--minutes` prevents it with `auto`.

    Args:
        config: settings of the run.
        agreement: how well restarts agree on clusters of pixels, 0 to 1; NaN with a single one,
            and below 0 if nobody knows.
    """
    doubtful = config.start.grouping != "kmeans" and 0 <= agreement < 1 - LESS
    asked = config.start.descriptions
    return asked == "learned" or (asked == "auto" and config.train.minutes is None and doubtful)


def learn_features(
    config: PlannedConfig,
    pixels: UInt8[Tensor, "n c h w"],
    group: MatrixGroup,
    half_width: float,
    track: Track,
    element: Float[Tensor, "n 3 3"],
) -> Float[Tensor, "n f"] | None:
    """Learn features from images that are moved back; None if these are mostly noise.

    The same images give the same features.

    Args:
        config: settings of the run.
        pixels: training images.
        group: of the poses.
        half_width: how far images that are moved back may still be turned either way, radians; a
            group that is not polar turns none.
        track: wraps lists of parts of the work, to stop in between.
        element: poses.
    """
    if hidden(config, pixels, group):
        return None
    background = config.data.background_level
    parts = moved_back(pixels, element, group, background, CHUNK)
    return learned_features(
        torch.cat([to_bytes(shrink(part)) for part in parts]),
        background,
        half_width if group.polar else 0.0,
        mirror=group.mirrors,
        seed=config.train.seed,
        bfloat16=config.train.precision == "bf16",
        track=track,
    )
