"""Places and poses along a track, smoothed, with their rates.

At each frame a line is fitted to the finds around it, with weights that fall off in time and with
the distance from the line. For places the line is straight. For poses it is a geodesic of the
group, t -> M exp(t u): logarithms of M^-1 M_i are fitted by a straight line in the Lie algebra, M
is moved to where the line begins, and this is repeated (local regression on a manifold: Yuan, Zhu,
Lin, Marron, "Local polynomial regression for symmetric positive definite matrices", 2012). No angle
appears, so none can jump; and if the whole film is turned, so is what comes out.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.geometry.groups import SO2, MatrixGroup

ROUNDS = 6
AROUND = 3.0
"""Finds farther in time than this many standard deviations do not count."""
SURE = 4
"""Finds that must be well inside of what is smoothed over: where finds are rare, it is wider."""
CANDIDATES = 9
"""Nearest finds of which the most central one begins."""
AT_ONCE = 256
"""Frames that are smoothed at a time."""
POSE = math.radians(20)
"""A pose this far from the line counts a quarter: radians, or logarithms."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """The finds around each of T frames.

    Attributes:
        rows: (T, k) of the finds.
        offset: (T, k) frames from here to there.
        weight: (T, k) by distance in time.
    """

    rows: Int[Tensor, "T k"]
    offset: Float[Tensor, "T k"]
    weight: Float[Tensor, "T k"]

    @classmethod
    def of(cls, times: Float[Tensor, " n"], at: Float[Tensor, " T"], width: float) -> "Around":
        """The finds at `times`, ascending, around the frames `at`; `width` in frames."""
        count = min(len(times), 2 * math.ceil(AROUND * width) + 1)
        first = torch.searchsorted(times, at) - count // 2
        rows = first.clamp(0, len(times) - count)[:, None] + torch.arange(count)
        offset = times[rows] - at[:, None]
        sure = offset.abs().sort(1).values[:, min(SURE, count) - 1 : min(SURE, count)]
        weight = torch.exp(-0.5 * (offset / sure.div(2).clamp_min(width)).square())
        return cls(rows=rows, offset=offset, weight=weight)


def line(
    values: Float[Tensor, "T k d"], offset: Float[Tensor, "T k"], weight: Float[Tensor, "T k"]
) -> tuple[Float[Tensor, "T d"], Float[Tensor, "T d"]]:
    """Level and slope of weighted straight lines, at offset 0; one point alone has slope 0."""
    total = weight.sum(1)
    first, second = (weight * offset).sum(1), (weight * offset.square()).sum(1) + 1e-6 * total
    value = (weight[..., None] * values).sum(1)
    moment = ((weight * offset)[..., None] * values).sum(1)
    divisor = (total * second - first.square())[:, None]
    level = (second[:, None] * value - first[:, None] * moment) / divisor
    return level, (total[:, None] * moment - first[:, None] * value) / divisor


def trusted(apart: Float[Tensor, "T k d"], scale: float) -> Float[Tensor, "T k"]:
    """Weights that fall off with the distance from a line, as Geman and McClure have them."""
    return 1 / (1 + apart.square().sum(2) / scale**2).square()


def smooth_places(
    times: Float[Tensor, " n"],
    places: Float[Tensor, "n 2"],
    at: Float[Tensor, " T"],
    width: float,
    scale: float,
) -> tuple[Float[Tensor, "T 2"], Float[Tensor, "T 2"]]:
    """Places at some frames, and how they change in a frame.

    Args:
        times: frames of the finds, ascending.
        places: of the finds, pixels.
        at: the frames.
        width: standard deviation of the weights, frames.
        scale: a find that is so far from the line counts a quarter, pixels.
    """
    near = Around.of(times, at, width)
    own = places[near.rows]
    weight = near.weight
    level, slope = line(own, near.offset, weight)
    for _ in range(ROUNDS):
        apart = own - level[:, None] - near.offset[..., None] * slope[:, None]
        level, slope = line(own, near.offset, weight * trusted(apart, scale))
    return level, slope


def smooth_poses(
    times: Float[Tensor, " n"],
    poses: Float[Tensor, "n 3 3"],
    at: Float[Tensor, " T"],
    width: float,
    group: MatrixGroup,
) -> tuple[Float[Tensor, "T 3 3"], Float[Tensor, "T d"]]:
    """Poses at some frames, and how they change in a frame: tangent coordinates.

    Args:
        times: frames of the finds, ascending.
        poses: of the finds, none of them mirrored.
        at: the frames.
        width: standard deviation of the weights, frames.
        group: of the poses.
    """
    parts = [_smoothed(times, poses, some, width, group) for some in at.split(AT_ONCE)]
    return torch.cat([pose for pose, _ in parts]), torch.cat([rate for _, rate in parts])


def _smoothed(
    times: Tensor, poses: Tensor, at: Tensor, width: float, group: MatrixGroup
) -> tuple[Float[Tensor, "T 3 3"], Float[Tensor, "T d"]]:
    """The same for some of the frames."""
    near = Around.of(times, at, width)
    own = poses[near.rows]

    def logs(middle: Tensor) -> Tensor:
        return group.log(group.compose(group.inverse(middle), own)).nan_to_num(10.0)

    middle = _most_central(own, near, group)
    apart = logs(middle[:, None])
    slope = torch.zeros_like(apart[:, 0])
    for _ in range(ROUNDS):
        weight = near.weight * trusted(apart - near.offset[..., None] * slope[:, None], POSE)
        level, slope = line(apart, near.offset, weight)
        middle = group.compose(middle, group.exp(level))
        apart = logs(middle[:, None])
    return middle, slope


def _most_central(own: Tensor, near: Around, group: MatrixGroup) -> Float[Tensor, "T 3 3"]:
    """Of the poses that are nearest in time the one that most others are like."""
    count = min(CANDIDATES, own.shape[1])
    chosen = near.offset.abs().argsort(dim=1, stable=True)[:, :count]
    tried = own.gather(1, chosen[..., None, None].expand(-1, -1, 3, 3))
    apart = group.log(group.compose(group.inverse(tried)[:, :, None], own[:, None]))
    far = 1 - trusted(apart.nan_to_num(10.0).flatten(0, 1), POSE).unflatten(0, apart.shape[:2])
    best = (near.weight[:, None] * far).sum(2).argmin(1)
    return tried[torch.arange(len(tried)), best]


def unrolled(
    poses: Float[Tensor, "n 3 3"], order: int, group: MatrixGroup
) -> Float[Tensor, "n 3 3"]:
    """Poses of one thing along a track, each in the form that is nearest to the one before.

    A turn by a whole turn divided by `order` draws the same picture, so a pose M is as good as
    M R(2 pi j / order).

    Args:
        poses: in the order of time, none of them mirrored.
        order: of the symmetry; 1: there is none.
        group: of the poses; it has rotations, unless the order is 1.
    """
    if order == 1:
        return poses
    period = 2 * math.pi / order
    rotation = group.to_parameters(poses)[:, 0]
    step = (rotation[1:] - rotation[:-1] + period / 2).remainder(period) - period / 2
    wanted = torch.cat([rotation[:1], rotation[:1] + step.cumsum(0)])
    return group.compose(poses, SO2().exp((wanted - rotation)[:, None]))
