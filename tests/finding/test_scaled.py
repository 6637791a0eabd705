"""Things that are larger, smaller or mirror images, in the poses of a group that has these."""

import math

import numpy as np
import pytest
import torch

from mcevae.finding.bank import bank_of, turns_of
from mcevae.finding.finder import pose_columns
from mcevae.finding.matching import matched, windows
from mcevae.finding.templates import Templates
from mcevae.geometry.groups import get_group, mirrored, reflect
from mcevae.geometry.warp import warp
from tests.finding.test_find import run, templates  # noqa: F401  fixtures


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("scale", [1 / 1.25, 1.0, 1.25])
def test_scale_and_sign_of_things_are_found(
    templates: Templates,  # noqa: F811
    scale: float,
    flipped: bool,
) -> None:
    group = get_group("sim2", mirror=True)
    widths = {"rotation": math.pi, "log_scale": math.log(1.3)}
    bank = bank_of(templates, turns_of(group, widths, math.radians(10)))
    angle = math.radians(50)
    pose = group.exp(torch.tensor([[angle, 0.0, 0.0, math.log(scale)]]))
    pose = reflect(pose, torch.tensor([flipped]))
    frame = warp(templates.pictures[:1], pose)[0]  # an L, which differs from its mirror image
    frame = frame + 0.02 * torch.randn(frame.shape, generator=torch.Generator().manual_seed(0))
    margin = 6
    wide = windows(frame, torch.tensor([[-margin, -margin]]), 28 + 2 * margin, 28 + 2 * margin)
    best = matched(wide, bank, 0.02**2)
    element = bank.element[best.entry]
    assert templates.cluster[bank.template[best.entry]].tolist() == [0]
    assert mirrored(element).tolist() == [flipped]
    column = pose_columns(element, group, (1, 28, 28))
    assert column["mirrored"].tolist() == [flipped]
    assert np.abs(np.log(column["scale"] / scale)).max() < 0.12
    assert np.abs(column["rotation_deg"] - 50).max() < 8
