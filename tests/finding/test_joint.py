"""Things that overlap, refined together."""

import math
from dataclasses import replace

import torch

from mcevae.finding.joint import Freedom, jointly
from mcevae.finding.templates import Templates
from mcevae.finding.things import Things, add
from mcevae.geometry.groups import SE2
from mcevae.geometry.warp import warp
from tests.finding.test_find import run, templates  # noqa: F401  fixtures


def test_joint_steps_bring_things_that_overlap_to_their_true_poses(
    templates: Templates,  # noqa: F811
) -> None:
    torch.manual_seed(0)
    pictures = templates.pictures[[0, 1, 3]]
    true = torch.tensor([[0.05, 0.02, -0.01], [-0.04, -0.015, 0.02], [0.03, 0.0, 0.015]])
    corner = torch.tensor([[10, 10], [20, 26], [60, 60]])  # the first two overlap
    things = Things(
        corner=corner,
        cluster=torch.arange(3),
        chance=torch.eye(3),
        z=torch.zeros(3, 1),
        element=torch.eye(3).repeat(3, 1, 1),
        drawn=pictures,
        amplitude=torch.ones(3),
        gain=torch.ones(3),
    )
    frame = 0.01 * torch.randn(1, 100, 100)
    add(frame, replace(things, drawn=1.1 * warp(pictures, SE2().exp(true))), 1)
    add(frame, things, -1)
    widths = {"rotation": math.pi, "shift_x": 0.1, "shift_y": 0.1}
    freedom = Freedom.of(SE2(), widths, math.radians(5), (28, 28))
    before = frame.square().sum()
    made = jointly(things, frame, freedom, 0.01**2, 1.0)
    assert frame.square().sum() < 0.15 * before
    apart = (SE2().log(made.element) - true).abs()
    assert apart[:, 0].max() < math.radians(0.5) and apart[:, 1:].max() < 0.2 / 28
    assert (made.amplitude - 1.1).abs().max() < 0.05
    fixed = Freedom.of(SE2(), widths | {"rotation": 0.0}, math.radians(5), (28, 28))
    assert len(fixed.spread) == 2  # what the support holds fast stays
