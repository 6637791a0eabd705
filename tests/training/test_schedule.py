"""How long it is trained: enough steps of few images, no more than before of many."""

from pathlib import Path

import pytest

from mcevae.images.datasets import Splits
from mcevae.models.config import PRESETS, Config
from mcevae.training.loop import fit
from mcevae.training.schedule import FEW, STEPS, advice, planned, steps_per_epoch

DEFAULT = PRESETS["default"]()


@pytest.mark.parametrize(
    ("images", "batch", "epochs"),
    [(20, 50, 750), (943, 50, 42), (2571, 128, 38), (55_000, 200, 24)],
)
def test_few_images_are_shown_more_often_in_smaller_batches(
    images: int, batch: int, epochs: int
) -> None:
    train = planned(DEFAULT, images).train
    assert (train.batch_size, train.epochs) == (batch, epochs)
    assert epochs * steps_per_epoch(batch, images) >= STEPS
    assert advice(DEFAULT, images) is None


def test_ranks_share_the_steps() -> None:
    train = planned(DEFAULT, 6000, ranks=4).train
    assert train.batch_size == 200 and train.epochs == STEPS // 7 + 1


def test_what_is_asked_for_is_left() -> None:
    asked = DEFAULT.changed(train={"epochs": 3})
    assert planned(asked, 943).train.epochs == 3
    assert planned(PRESETS["paper"](), 943) == PRESETS["paper"]()


def test_too_few_steps_are_told_of() -> None:
    asked = DEFAULT.changed(train={"epochs": 3, "batch_size": 100})
    said = advice(asked, 943)
    assert said is not None and "make 27 steps in 3 epochs of batches of 100" in said
    assert "--epochs auto --batch-size auto" in said
    assert advice(asked, 100 * FEW) is None
    assert advice(asked.changed(train={"minutes": 3.0}), 943) is None
    assert advice(PRESETS["paper"](), 100) is None


def test_a_run_records_what_was_chosen(tmp_path: Path, small_data: Splits) -> None:
    config = PRESETS["paper"]().changed(
        data={"source": "mnist-mini"},
        train={"epochs": "auto", "batch_size": "auto", "minutes": 0.001},
    )
    fit(config, small_data, tmp_path)
    train = Config.read(tmp_path / "settings.toml").train
    assert (train.batch_size, train.epochs) == (50, 94)  # 400 images
