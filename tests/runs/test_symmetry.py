"""Symmetries of clusters: found on images, kept with the run, and poses modulo them."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mcevae.geometry.groups import get_group, mirrored, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.models.config import Config
from mcevae.models.registry import build
from mcevae.runs import symmetry
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.frames import Frames
from mcevae.runs.symmetry import Symmetry, measure
from tests.sizes import taught

ORDERS = torch.tensor([1, 2, 3, 4, 5, 6])
KNOWN = Symmetry(order=tuple(ORDERS.tolist()), consistency=(0.9, 0.8, None, 0.7, 0.6, 0.5))
CLUSTER = torch.arange(120) % 6


def turn(degrees: torch.Tensor) -> torch.Tensor:
    angle = torch.deg2rad(degrees)[:, None]
    return get_group("so2").from_parameters(angle)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_poses_modulo_a_symmetry(name: str, mirror: bool) -> None:
    """They differ by a turn of the symmetry from the right, and are the smallest of these."""
    group = get_group(name, mirror=mirror)
    generator = torch.Generator().manual_seed(0)
    pose = group.sample(
        120, group.support(rotation_deg=180, scale=1.3, strain=0.2), generator=generator
    )
    found = KNOWN.reduced(pose, CLUSTER, group)
    order = ORDERS[CLUSTER]
    rotation = group.to_parameters(found)[:, 0]
    assert (rotation.abs() <= math.pi / order + 1e-5).all()
    assert (found[order == 1] == pose[order == 1]).all()
    assert mirrored(found).equal(mirrored(pose))
    between = torch.linalg.solve(pose, found)  # pose^-1 found
    power = torch.stack(
        [torch.linalg.matrix_power(M, int(n)) for M, n in zip(between, order, strict=True)]
    )
    assert_close(power, torch.eye(3).repeat(120, 1, 1), atol=1e-3, rtol=0)
    assert_close(found[:, :2, 2], pose[:, :2, 2], atol=1e-5, rtol=0)
    assert_close(KNOWN.reduced(found, CLUSTER, group), found, atol=1e-5, rtol=0)


def test_poses_are_reduced_in_the_frame_that_people_turned() -> None:
    group = get_group("se2", mirror=True)
    made = Collections.plain(6).turned(1, 50).flipped(2)
    frames = Frames(group=group, background=0.0, collections=made, symmetry=KNOWN)
    pose = reflect(turn(torch.linspace(-179, 179, 120)), torch.arange(120) % 2 == 0)
    z = torch.zeros(120, 2)
    found = frames.poses(pose, CLUSTER, z)
    limit = math.pi / ORDERS[CLUSTER] + 1e-5
    assert (group.to_parameters(found)[:, 0].abs() <= limit).all()
    plain = replace(frames, symmetry=None).poses(pose, CLUSTER, z)
    assert_close(found, KNOWN.reduced(plain, CLUSTER, group))


def star(order: int, turned: torch.Tensor) -> torch.Tensor:
    """Noisy stars with so many arms, turned by degrees; one arm has a dot if `order` is 1.

    Without noise the pixel grid alone tells the arms apart.
    """
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 2, indexing="ij")
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    arms = max(order, 3)
    image = ((arms * angle).cos() > 0.6) & (radius < 0.75) & (radius > 0.15)
    if order == 1:
        image |= torch.hypot(x - 0.45, y) < 0.3
    noise = torch.randn(len(turned), 1, 40, 40, generator=torch.Generator().manual_seed(0))
    return (warp(image[None, None].float(), turn(turned)) + 0.4 * noise).clamp(0, 1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Images of three clusters, and a model that knows them; the fourth has too few."""
    degrees = torch.linspace(-178, 178, 60)
    kinds = [star(1, degrees), star(3, degrees), star(5, degrees), star(4, degrees[:3])]
    cluster = torch.arange(4).repeat_interleave(torch.tensor([60, 60, 60, 3]))
    found = SimpleNamespace(cluster=cluster, responsibilities=F.one_hot(cluster, 4).float())
    monkeypatch.setattr(symmetry, "embed", lambda model, pixels: found)
    return to_bytes(torch.cat(kinds))


def test_symmetries_are_measured_on_images(
    told: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config().changed(support={"rotation": 180.0})
    model = build(taught(clusters=4), (1, 40, 40))
    found = measure(model, config, told)
    assert found is not None
    assert found.order == (1, 3, 5, 1)
    assert found.consistency[3] is None
    assert all(one is not None and one > 0.9 for one in found.consistency[:3])
    assert found.in_words(["1", "3", "0.1"]) == (
        "3, 1, 1",
        f"{found.consistency[1]:.2f}, -, {found.consistency[0]:.2f}",
    )
    monkeypatch.setattr(model, "quick", False)
    assert measure(model, config, told) is None


def test_they_are_kept_with_the_calibration(tmp_path: Path) -> None:
    made = Calibration(
        temperature=1.0, misfits=tuple(map(float, range(101))), n=101, symmetry=KNOWN
    )
    made.write(tmp_path)
    assert Calibration.read(tmp_path) == made
    for wrong in ({"order": [0], "consistency": [1]}, {"order": [1], "consistency": [2]}):
        with pytest.raises(ValueError):
            Symmetry.from_dict(wrong)
    with pytest.raises(ValueError):
        Symmetry.from_dict({"order": [1, 2], "consistency": [0.5]})
