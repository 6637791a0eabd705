"""Shifts of new images: centroids of the whole content, if noise and other things allow it."""

import pytest
import torch

from mcevae.geometry.groups import MatrixGroup, get_group
from mcevae.geometry.moments import centroid
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits
from mcevae.models.default.shifts import centred
from tests.models.test_default_model import small

SE2 = get_group("se2")


def moved(canonical: torch.Tensor, shift: float, background: float = 0.0) -> torch.Tensor:
    return warp(canonical, places(len(canonical), shift), background=background)


def places(n: int, shift: float) -> torch.Tensor:
    pose = torch.eye(3).repeat(n, 1, 1)
    pose[:, 0, 2] = shift
    return pose


def cut_off(data: Splits) -> tuple[torch.Tensor, torch.Tensor]:
    """Canonical digits about their centroids, and images of them that the frame cuts."""
    canonical = to_float(data.train.images.pixels[:40])
    middle = torch.eye(3).repeat(40, 1, 1)
    middle[:, :2, 2] = -centroid(canonical)
    canonical = warp(canonical, middle)
    return canonical, moved(canonical, 0.35)


def blob(size: int, background: float = 0.0) -> torch.Tensor:
    """A disc of radius 0.12 in the middle, 8 times."""
    x = (torch.arange(size) + 0.5) / size - 0.5
    disc = (x.square() + x[:, None].square() < 0.12**2).float()
    return (background + (0.9 - background) * disc).expand(8, 1, size, size)


def found(
    x: torch.Tensor, canonical: torch.Tensor, guess: torch.Tensor, background: float = 0.0
) -> torch.Tensor:
    drawn = warp(canonical, guess, background=background)
    return centred(x, canonical, drawn, guess, SE2, background)


@pytest.mark.parametrize("group", [SE2, get_group("se2", mirror=True)])
def test_shifts_are_those_of_the_whole_content(group: MatrixGroup, small_data: Splits) -> None:
    canonical, x = cut_off(small_data)
    guess = places(40, 0.37)
    now = centred(x, canonical, warp(canonical, guess), guess, group, 0.0)
    off = (now[:, :2, 2] - places(40, 0.35)[:, :2, 2]).abs()
    assert off.median() < 0.01
    assert now[:, :, :2].equal(guess[:, :, :2])


@pytest.mark.parametrize("size", [28, 64, 128])
@pytest.mark.parametrize("background", [0.0, 0.5])
@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1, 0.2])
def test_noise_does_not_pull_shifts_to_the_middle(
    size: int, background: float, noise: float
) -> None:
    """They are mended if there is little noise, and else left to the network."""
    torch.manual_seed(0)
    canonical = blob(size, background)
    x = moved(canonical, 0.2, background)
    x = (x + noise * torch.randn_like(x)).clamp(0, 1)
    now = found(x, canonical, places(8, 0.22), background)
    assert (now[:, 0, 2] - 0.2).abs().max() < (0.005 if noise == 0.01 else 0.03)


@pytest.mark.parametrize("size", [28, 64, 128])
def test_strong_noise_leaves_the_shift_to_the_network(size: int) -> None:
    torch.manual_seed(0)
    canonical, guess = blob(size), places(8, 0.22)
    x = moved(canonical, 0.2)
    x = (x + 0.5 * torch.randn_like(x)).clamp(0, 1)
    assert found(x, canonical, guess).equal(guess)


@pytest.mark.parametrize(("background", "other"), [(0.0, 0.8), (0.5, 0.2)])
def test_other_things_at_the_border_leave_the_shift_to_the_network(
    background: float, other: float
) -> None:
    """Also if they are as much darker than the background as what is drawn there is brighter."""
    canonical, guess = blob(40, background).clone(), places(8, 0.22)
    canonical[..., 0, 5:12] = 1 - other
    x = canonical.clone()
    x[..., 0, 5:12] = other
    assert found(x, canonical, guess, background).equal(guess)


def test_a_shift_that_makes_the_drawing_worse_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thing that fills its frame need not have its centroid where its pose puts the middle."""
    model = small().eval()
    ramp = torch.linspace(0.1, 1, 28).expand(4, 1, 28, 28).contiguous()
    told = (torch.distributions.Normal(torch.zeros(4, 2), torch.ones(4, 2)), torch.zeros(4, 2))
    monkeypatch.setattr(model, "explain", lambda *_: (*told, ramp))
    here = places(4, 0.0)
    element, *_ = model.centre(ramp, torch.zeros(4, 3), (here, *told, ramp, ramp), False)
    assert found(ramp, ramp, here)[:, 0, 2].min() > 0.05
    assert element.equal(here)


def test_where_pixels_do_not_count_shifts_are_the_networks(small_data: Splits) -> None:
    model, (canonical, x) = small().eval(), cut_off(small_data)
    guess, weights = places(40, 0.37), torch.zeros(40, 3)
    q = torch.distributions.Normal(torch.zeros(40, 2), torch.ones(40, 2))
    told = (guess, q, torch.zeros(40, 2), canonical, warp(canonical, guess))
    model.keep_masks(torch.ones(1, 28, 28), torch.ones(1, 28, 28))
    assert model.centre(x, weights, told, False)[0].equal(guess)
