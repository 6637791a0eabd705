"""Images that are mostly noise: their targets stay, and the network is taught simulated images."""

import dataclasses
from pathlib import Path

import pytest
import torch

from mcevae.base.errors import UserError
from mcevae.images.splits import Posed, Splits
from mcevae.models.default.simulated import Simulated
from mcevae.runs.checkpoint import load, run_file
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from tests.models.test_targets import teacher
from tests.sizes import taught


def noisy(part: Posed) -> Posed:
    """The same images under noise that hides most of what they show."""
    torch.manual_seed(0)
    pixels = part.images.pixels
    hidden = 100 + pixels / 4 + 60 * torch.randn(pixels.shape)
    images = dataclasses.replace(part.images, pixels=hidden.clamp(0, 255).to(torch.uint8))
    return dataclasses.replace(part, images=images)


@pytest.fixture(scope="module")
def hidden_data(small_data: Splits) -> Splits:
    return dataclasses.replace(
        small_data, train=noisy(small_data.train), validation=noisy(small_data.validation)
    )


def test_draws_have_the_clusters_shares_and_the_noise() -> None:
    torch.manual_seed(0)
    pictures = torch.tensor([0.25, 0.75])[:, None, None, None].expand(2, 1, 24, 24)
    made = Simulated(pictures=pictures, shares=torch.tensor([0.2, 0.8]), deviation=0.05)
    motion = torch.eye(3).expand(2000, 3, 3)
    cluster, images = made.draw(motion, torch.zeros(2000, 2, 5, 5), 0.5)
    assert cluster.float().mean().item() == pytest.approx(0.8, abs=0.04)
    inside = images[:, 0, 8:16, 8:16]
    assert (inside.mean((1, 2)) - pictures[cluster, 0, 0, 0]).abs().max() < 0.05
    assert inside.std((1, 2)).mean().item() == pytest.approx(0.05, rel=0.05)


def test_targets_from_class_averages_stay_and_come_back(hidden_data: Splits) -> None:
    school, model = teacher(hidden_data)
    assert "class averages" in school.before(0, 4)
    assert school.settled and school.grouped and school.judge == "invariance"
    first = school.targets
    for epoch in range(1, 4):
        assert school.before(epoch, 4) == ""
    assert school.targets is first
    assert model.simulated is not None
    again, other = teacher(hidden_data)
    again.restore(school.state())
    assert again.settled and other.simulated is not None
    torch.testing.assert_close(other.simulated.pictures, model.simulated.pictures)
    assert other.simulated.deviation == model.simulated.deviation


def test_targets_of_clear_images_do_not_stay(small_data: Splits) -> None:
    school, model = teacher(small_data)
    school.before(0, 4)
    assert not school.settled and model.simulated is None and school.judge == "negative_elbo"
    old = {name: value for name, value in school.state().items() if name != "settled"}
    school.restore(old)  # a checkpoint from before there was simulation
    assert not school.settled


def test_the_best_epoch_is_the_one_that_finds_simulated_images_best(
    hidden_data: Splits, tmp_path: Path
) -> None:
    assert fit(taught(), hidden_data, tmp_path)
    rows = [row for row in read_log(tmp_path) if row["split"] == "validation"]
    _, state = load(run_file(tmp_path, "best"))
    after = [row["invariance"] for row in rows[taught_from(hidden_data) :]]
    assert state["position"]["best"] == min(after)


def taught_from(data: Splits) -> int:
    """The first epoch after the warm-up."""
    return teacher(data)[0].warmup


def test_groups_that_averages_do_not_know_are_refused(small_data: Splits) -> None:
    school, _ = teacher(small_data, group="sim2", poses="averages")
    with pytest.raises(UserError, match="rotations and shifts only"):
        school.before(0, 4)
