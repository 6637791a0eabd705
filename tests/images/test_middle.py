"""Laws of keeping only the middle of images into which other things reach."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mcevae.images.middle import EDGE, RADIUS, fullness, middle_alone, radius_of
from mcevae.images.readers.frames import Frame
from mcevae.images.survey import survey


def crop(seed: int, *, crowded: bool, noise: float = 0.0, side: int = 40) -> Tensor:
    """A blob near the middle; if crowded, others that touch it and reach in from all sides."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(*2 * [torch.arange(side) - side / 2 + 0.5], indexing="ij")
    start = 2 * math.pi * torch.rand(1, generator=generator).item()
    places = [(0.0, 0.0)]
    if crowded:
        turns = [start + math.pi / 3 * i for i in range(6)]
        places += [(0.48 * side * math.cos(a), 0.48 * side * math.sin(a)) for a in turns]
    image = torch.zeros(1, side, side)
    for across, down in places:
        image[0] += 0.6 * torch.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * (side / 8) ** 2))
    return 0.2 + image + noise * torch.randn(1, side, side, generator=generator)


def test_the_middle_stays_and_the_rest_becomes_background() -> None:
    image = torch.rand(3, 30, 50, generator=torch.Generator().manual_seed(0))
    kept, radius = middle_alone(image, 0.3), radius_of(30, 50)
    inside, outside = radius < RADIUS - EDGE / 2, radius > RADIUS + EDGE / 2
    assert inside.any() and outside.any()
    assert kept[:, inside].equal(image[:, inside])
    assert kept[:, outside].sub(0.3).abs().max() < 1e-6
    between = ~inside & ~outside
    share = (kept - 0.3)[:, between] / (image - 0.3)[:, between]
    assert share.min() > -1e-5 and share.max() < 1 + 1e-5


def test_the_mask_does_not_depend_on_how_the_image_is_turned() -> None:
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    turned = middle_alone(image.rot90(1, (1, 2)), 0.5)
    assert turned.allclose(middle_alone(image, 0.5).rot90(1, (1, 2)), atol=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
def test_fullness_tells_crowded_crops_from_single_things_in_any_noise(noise: float) -> None:
    for crowded in (False, True):
        found = [fullness(crop(i, crowded=crowded, noise=noise), 0.2) for i in range(20)]
        assert (np.median(found) > 0.5) == crowded


def test_noise_and_nothing_are_not_full() -> None:
    grain = torch.randn(20, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    assert np.median([fullness(0.5 + 0.1 * one, 0.5) for one in grain]) < 0.5
    assert fullness(torch.full((3, 20, 20), 0.5), 0.5) == 0


def frames(*, crowded: bool, sides: tuple[int, ...] = (40,)) -> list[Frame]:
    return [
        Frame(f"{i}.tif", crop(i, crowded=crowded, side=sides[i % len(sides)])[0].numpy())
        for i in range(20)
    ]


def test_the_survey_says_what_helps_if_images_are_full() -> None:
    full = frames(crowded=True)
    found = survey(full)
    assert found.recipe.isolate == "no" and "--isolate middle" in found.in_words()
    assert "--isolate" not in survey(frames(crowded=False)).in_words()
    assert "--isolate" not in survey(full, isolate="no").in_words()
    boxes = frames(crowded=True, sides=(36, 40, 48))  # each is drawn around one thing
    assert "--isolate" not in survey(boxes).in_words()


def test_the_middle_is_kept_on_request() -> None:
    full = frames(crowded=True)
    found = survey(full, isolate="middle")
    assert found.recipe.isolate == "middle" and "only the middle" in found.in_words()
    assert found.settled()["isolate"] == "middle"
    background = round(255 * found.recipe.background)
    assert found.recipe(full[0])[:, 0].sub(background).abs().max() <= 1
