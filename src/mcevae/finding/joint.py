"""All things of a tile refined together, by Gauss-Newton steps on the likelihood of its pixels.

With white noise of variance v, the pixels y of a tile and what its things draw have the
log-likelihood -|y - sum_i a_i warp(t_i, exp(sum_j tau_ij G_j))|^2 / 2v. Each step makes it linear
in all tau and a, and solves for all of them at once by conjugate gradients (Nocedal and Wright,
Numerical Optimization, 2006, algorithm 5.3). Things whose boxes touch are thus moved together. A
normal prior, as wide as the grid on which they were found, keeps them near.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.finding.matching import AMPLITUDES, windows
from mcevae.finding.things import Things, add
from mcevae.geometry.groups import Aff2, MatrixGroup
from mcevae.geometry.warp import side, warp
from mcevae.runs.coordinates import SHIFTS

STEPS = 2
SOLVED = 8
"""Steps of conjugate gradients."""
SMALL = 0.25
"""Derivatives are differences over this share of a coordinate's spread."""
FARTHEST = 2.0
"""Steps are no longer than so many spreads."""
AMPLITUDE = 0.1
"""Spread of the amplitude, as a share of it."""


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """How things may be moved when they are refined.

    Attributes:
        basis: (T, 3, 3) of the Lie algebra: the group's own coordinates, and shifts.
        spread: (T,) standard deviation of each coordinate around what was found.
    """

    basis: Float[Tensor, "T 3 3"]
    spread: Float[Tensor, " T"]

    @classmethod
    def of(
        cls,
        group: MatrixGroup,
        half_widths: dict[str, float],
        step: float,
        shape: tuple[int, int],
    ) -> "Freedom":
        """That of a group; what its support holds fast stays.

        Args:
            group: of the poses.
            half_widths: of the support, by coordinate.
            step: of the grid of rotations, radians; of other coordinates about as much.
            shape: height and width of the model's images.
        """
        known = dict(zip(Aff2.coordinates, Aff2().generators(), strict=True))
        own = dict(zip(group.coordinates, group.generators(), strict=True))
        free = {name: own[name] for name in own if name not in SHIFTS and half_widths.get(name)}
        basis = [*(known[name] for name in SHIFTS), *free.values()]
        spread = [1 / side(*shape)] * len(SHIFTS) + [step] * len(free)
        return cls(basis=torch.stack(basis), spread=torch.tensor(spread))

    def exp(self, tau: Float[Tensor, "n T"]) -> Float[Tensor, "n 3 3"]:
        """The elements with these coordinates."""
        return torch.linalg.matrix_exp((tau[:, :, None, None] * self.basis).sum(1))


def jointly(
    things: Things, rest: Float[Tensor, "C h w"], freedom: Freedom, noise: float, contrast: float
) -> Things:
    """Refine pose, place and amplitude of all things of a tile together. It changes `rest`.

    Their gains stay as they are, and so do things that explain less in their own windows then.

    Args:
        things: of the tile.
        rest: what is left over of it.
        freedom: how things may be moved.
        noise: variance of a pixel.
        contrast: amplitude that most things have.
    """
    if not len(things):
        return things
    moved, share = torch.eye(3).repeat(len(things), 1, 1), torch.ones(len(things))
    limits = [one * contrast / things.amplitude for one in AMPLITUDES]
    shape, drawn = things.drawn.shape[-2:], things.drawn
    for _ in range(STEPS):
        slopes = slopes_of(things.drawn, moved, share, freedom)
        step = solved(slopes, things, rest, freedom, noise)
        tau = step[:, :-1].clamp(-FARTHEST * freedom.spread, FARTHEST * freedom.spread)
        after = freedom.exp(tau) @ moved
        scaled = (share * (1 + step[:, -1])).clamp(*limits)
        made = scaled[:, None, None, None] * warp(things.drawn, after, mode="bicubic")
        before = windows(rest, things.corner, *shape).square().flatten(1).sum(1)
        add(rest, replace(things, drawn=drawn), 1)
        add(rest, replace(things, drawn=made), -1)
        worse = windows(rest, things.corner, *shape).square().flatten(1).sum(1) >= before
        add(rest, replace(things, drawn=(made - drawn) * worse[:, None, None, None]), 1)
        drawn = torch.where(worse[:, None, None, None], drawn, made)
        moved = torch.where(worse[:, None, None], moved, after)
        share = torch.where(worse, share, scaled)
    return replace(
        things, drawn=drawn, element=moved @ things.element, amplitude=share * things.amplitude
    )


def slopes_of(
    pictures: Float[Tensor, "n C H W"],
    moved: Float[Tensor, "n 3 3"],
    share: Float[Tensor, " n"],
    freedom: Freedom,
) -> Float[Tensor, "n U C H W"]:
    """Derivatives of what things draw by their T coordinates, and by their relative amplitude."""
    count = len(freedom.spread)
    ends = []
    for sign in (SMALL, -SMALL):
        turned = freedom.exp(sign * torch.diag(freedom.spread))[None] @ moved[:, None]
        many = pictures.repeat_interleave(count, 0)
        ends.append(
            warp(many, turned.flatten(0, 1), mode="bicubic").view(-1, count, *many.shape[1:])
        )
    by_pose = (ends[0] - ends[1]) / (2 * SMALL * freedom.spread[:, None, None, None])
    own = warp(pictures, moved, mode="bicubic")[:, None]
    return share[:, None, None, None, None] * torch.cat([by_pose, own], 1)


def solved(
    slopes: Float[Tensor, "n U C H W"],
    things: Things,
    rest: Float[Tensor, "C h w"],
    freedom: Freedom,
    noise: float,
) -> Float[Tensor, "n U"]:
    """The step of all things that makes the linear likelihood, with the prior, largest."""
    flat, shape = slopes.flatten(2), slopes.shape[2:]
    prior = torch.cat([freedom.spread, torch.tensor([AMPLITUDE])]) ** -2

    def seen(frame: Tensor) -> Tensor:
        cut = windows(frame, things.corner, *shape[1:]).flatten(1)
        return (flat @ cut[..., None])[..., 0] / noise

    def applied(step: Tensor) -> Tensor:
        canvas = torch.zeros_like(rest)
        add(canvas, replace(things, drawn=(step[:, None] @ flat).view(-1, *shape)), 1)
        return seen(canvas) + prior * step

    blocks = flat @ flat.mT / noise + torch.diag(prior)
    inverse = torch.linalg.inv(blocks)
    step, left = torch.zeros(flat.shape[:2]), seen(rest)
    good = (inverse @ left[..., None])[..., 0]
    toward, size = good, (left * good).sum()
    for _ in range(SOLVED):
        bent = applied(toward)
        length = size / (toward * bent).sum().clamp_min(1e-12)
        step, left = step + length * toward, left - length * bent
        good = (inverse @ left[..., None])[..., 0]
        toward, size = (
            good + toward * (left * good).sum() / size.clamp_min(1e-12),
            (left * good).sum(),
        )
    return step
