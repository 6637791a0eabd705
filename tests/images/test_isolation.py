"""Laws of taking other things out of crowded images."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from mcevae.images.isolation import crowding, isolated
from mcevae.images.readers.frames import Frame
from mcevae.images.survey import survey


def scene(rng: np.random.Generator, *, others: bool) -> Tensor:
    """A disc and a dot near the middle; with others, bars that reach the border, too."""
    image = torch.full((1, 40, 40), 0.2)
    x, y = rng.integers(-3, 4, 2)
    image[:, 16 + y : 26 + y, 15 + x : 25 + x] = 0.9
    image[:, 12 + y : 14 + y, 18 + x : 20 + x] = 0.9
    if others:
        at = int(rng.integers(0, 28))
        image[:, at : at + 10, :5] = 0.7
        image[:, 35:, at : at + 6] = 0.5
    return image


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("seed", range(4))
def test_only_the_thing_in_the_middle_stays(seed: int, noise: float) -> None:
    alone = scene(np.random.default_rng(seed), others=False)
    crowded = scene(np.random.default_rng(seed), others=True)
    grain = noise * torch.randn(1, 40, 40, generator=torch.Generator().manual_seed(seed))
    assert isolated(crowded + grain, 0.2).sub(alone).abs().max() <= 5 * noise
    assert isolated(alone + grain, 0.2).equal(alone + grain)
    assert crowding(crowded + grain, 0.2) > 0.2
    assert crowding(alone + grain, 0.2) == 0


def test_a_thing_that_reaches_the_border_itself_stays() -> None:
    image = torch.zeros(3, 30, 30)
    image[1, :18, 10:20] = 0.8
    assert isolated(image, 0.0).equal(image) and crowding(image, 0.0) == 0


def test_an_image_without_content_does_not_change() -> None:
    assert isolated(torch.full((1, 20, 20), 0.5), 0.5).eq(0.5).all()


def test_the_border_may_be_that_of_a_mask() -> None:
    image, edge = torch.zeros(1, 40, 40), torch.zeros(40, 40, dtype=torch.bool)
    image[:, 15:25, 15:25] = image[:, 4:8, 10:20] = 1
    edge[4:-4, 4:-4] = True
    edge[5:-5, 5:-5] = False
    assert isolated(image, 0.0).equal(image)
    assert isolated(image, 0.0, edge)[:, :9].eq(0).all()


def frames(*, others: bool, count: int = 20) -> list[Frame]:
    rng = np.random.default_rng(0)
    images = (scene(rng, others=others)[0].numpy() for _ in range(count))
    return [Frame(f"{i}.tif", image) for i, image in enumerate(images)]


def test_the_survey_finds_crowded_images_and_says_so() -> None:
    crowded, alone = frames(others=True), frames(others=False)
    found = survey(crowded)
    assert found.recipe.isolate == "yes" and "other things" in found.in_words()
    assert found.settled()["isolate"] == "yes"
    assert survey(alone).recipe.isolate == "no"
    assert survey([*alone, *crowded[:4]]).recipe.isolate == "no"  # a sixth of them
    assert survey(crowded, isolate="no").recipe.isolate == "no"
    assert survey(alone, isolate="yes").recipe.isolate == "yes"
    made, plain = found.recipe(crowded[0]), found.recipe(alone[0])
    assert (made.int() - plain.int()).abs().max() <= 1
    unchanged = dataclasses.replace(found.recipe, isolate="no")(crowded[0])
    assert not unchanged.equal(made)


def test_bytes_of_the_right_size_are_isolated_too() -> None:
    crowded = [
        dataclasses.replace(one, pixels=(255 * one.pixels).astype(np.uint8))
        for one in frames(others=True)
    ]
    recipe = survey(crowded).recipe
    assert recipe.isolate == "yes" and recipe.normalise == "none"
    assert recipe(crowded[0])[0, :, :5].float().std() < 1
