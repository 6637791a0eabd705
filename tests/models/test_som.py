"""The rotation-invariant map: its rule is the published one, and neurons turn with the images."""

import math

import pytest
import torch
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.images.splits import Splits
from mcevae.models.peers import som
from mcevae.models.peers.ring_spectra import draw_along, matched, rings_of, spectra
from mcevae.models.peers.som import SelfOrganisingMap
from mcevae.models.registry import build
from mcevae.runs.infer import outputs
from mcevae.teaching.blur import gaussian_blur
from mcevae.training.schedule import planned
from tests.models.test_peers import few

ANGLES = 12


def made(**changes: object) -> SelfOrganisingMap:
    """An empty map."""
    model = build(few("som", **{"mirror": True, "group": "so2", **changes}), (1, 28, 28)).eval()
    assert isinstance(model, SelfOrganisingMap)
    return model


def moved(rings: Tensor, step: int, flipped: bool) -> Tensor:
    """Rings (numbers, angles) mirrored, if so, and turned by steps, one number after another."""
    count = rings.shape[-1]
    source = [(count // 2 - (a - step)) if flipped else a - step for a in range(count)]
    return rings[:, [one % count for one in source]]


def shown(neurons: Tensor, images: Tensor, share: Tensor, mirror: bool) -> Tensor:
    """The published rule, one image and one neuron at a time: all turns are tried one by one."""
    neurons = neurons.clone()
    ways = [(step, flipped) for flipped in (False, True)[: 1 + mirror] for step in range(ANGLES)]
    best = []
    for image in images:  # all are compared with the map as it was
        errors = [[(moved(w, *way) - image).square().sum() for way in ways] for w in neurons]
        best.append([ways[int(torch.stack(each).argmin())] for each in errors])
    for b, image in enumerate(images):
        for k, (step, flipped) in enumerate(best[b]):
            back = moved(image, step if flipped else -step, flipped)
            neurons[k] += share[b, k] * (back - neurons[k])
    return neurons


@pytest.mark.parametrize("mirror", [False, True])
def test_fourier_space_gives_what_trying_all_turns_gives(mirror: bool) -> None:
    torch.manual_seed(0)
    neurons, images = torch.randn(3, 5, ANGLES), torch.randn(4, 5, ANGLES)
    share = torch.rand(4, 3)
    parts = spectra(neurons), spectra(images)
    found = matched(parts[1], parts[0], torch.arange(ANGLES), angles=ANGLES, mirror=mirror)
    for b in range(4):
        for k in range(3):
            way = int(found.step[b, k]), bool(found.mirrored[b, k])
            error = (moved(neurons[k], *way) - images[b]).square().sum()
            assert found.square[b, k].allclose(error, atol=1e-4)
    expected = shown(neurons, images, share, mirror)
    assert bool(found.mirrored.any()) == mirror
    after = parts[0].clone()
    draw_along(after, parts[1], found, share, ANGLES)
    assert rings_of(after, ANGLES).allclose(expected, atol=1e-5)


def test_the_hexagonal_grid_of_331_has_a_radius_of_ten() -> None:
    apart = som.steps_apart("hexagonal", 331)
    assert apart[0].max() == 10 and apart.max() == 20 and apart.equal(apart.T)
    assert (apart == 1).sum(1).max() == 6 and (apart[0] == 10).sum() == 60
    assert ((apart == 0) == torch.eye(331, dtype=torch.bool)).all()
    square = som.steps_apart("square", 10)
    assert square[0, 3] == 3 and square[0, 5].allclose(torch.tensor(2**0.5))


def test_reach_limits_the_rotations() -> None:
    model = made(rotations=72, rotation=20.0)
    apart = torch.minimum(model.steps, 72 - model.steps) * 5
    assert apart.max() == 40 and len(model.steps) == 17
    with pytest.raises(UserError, match="is 90; use a multiple of 4"):
        made(rotations=90)


def hook(n: int) -> Tensor:
    """A shape that differs from all its turns and mirror images, (n, 1, 28, 28)."""
    x = torch.zeros(n, 1, 28, 28)
    x[:, :, 7:21, 12:16], x[:, :, 17:21, 12:21] = 1.0, 0.6
    return x


@pytest.mark.parametrize("mirror", [False, True])
def test_a_neuron_learns_the_image_and_its_pose_is_that_of_the_image(mirror: bool) -> None:
    torch.manual_seed(0)
    model = made(rotations=72, rotation=180.0, clusters=1, mirror=mirror, damping=1.0)
    group = model.group
    truth = group.sample(200, [math.pi], generator=torch.Generator().manual_seed(1))
    pixels = to_bytes(warp(hook(200), truth))
    config = planned(few("som"), 200)
    assert "1 neurons" in model.teacher(config, pixels).prepare(0, 1)
    ((_, out),) = outputs(model, pixels)
    own = truth[0].T @ out.element[0]  # the frame of the neuron, from one image
    apart = group.distance(out.element, truth @ own)["rotation_deg"]
    assert apart.max() < 12 and apart.median() < 4
    assert bool(mirrored(out.element).any()) == mirror
    assert mirrored(out.element).equal(mirrored(truth @ own))
    x = pixels / 255
    assert (out.reconstruction - x).square().sum() < 0.1 * x.square().sum()
    assert out.posterior.square.mean() < 0.1 * x.square().sum((1, 2, 3)).mean()


def test_distances_are_those_of_pixels() -> None:
    model = made(rotations=360)
    x = gaussian_blur(hook(2), 1.5)
    square = model(x).posterior.square  # all neurons are 0
    assert square.allclose(x.square().sum((1, 2, 3))[:, None], rtol=0.03)


def test_batches_change_the_map_as_single_images_do(
    monkeypatch: pytest.MonkeyPatch, small_data: Splits
) -> None:
    pixels = small_data.train.images.pixels[:200]
    found = []
    for batch in (1, 32):
        monkeypatch.setattr(som, "BATCH", batch)
        model = made(rotations=72, rotation=180.0, clusters=7)
        spectrum, _ = model.read(pixels[:7] / 255)  # at 0 the first images decide where others go
        model.neurons.copy_(rings_of(spectrum, 72).view_as(model.neurons))
        before = model.neurons.clone()
        model.teacher(planned(few("som"), 200), pixels).prepare(0, 1)
        found.append(model.neurons - before)
    assert 0 < (found[0] - found[1]).norm() < 0.4 * found[0].norm()
