"""What people see of a training: phases with names, figures to compare, a first answer."""

import io
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console

from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS
from mcevae.models.contract import Stopped
from mcevae.models.registry import build
from mcevae.runs.run import TrainedRun
from mcevae.training import first
from mcevae.training.bar import Bar, Waiting, to_go
from mcevae.training.first import FIRST, end_first_answer, has_first, quickly
from mcevae.training.log import read_log
from mcevae.training.loop import fit
from mcevae.training.phases import DRAWING, GROUPS, POSES, measure, titled
from mcevae.training.position import Position
from mcevae.training.schedule import planned
from tests.sizes import taught


def test_phases_are_numbered_in_the_order_in_which_they_come() -> None:
    assert [titled(name, early=True)[:3] for name in (GROUPS, POSES, DRAWING)] == [
        "2/4",
        "3/4",
        "4/4",
    ]
    assert [titled(name, early=False)[:3] for name in (POSES, GROUPS, DRAWING)] == [
        "2/4",
        "3/4",
        "4/4",
    ]


def test_figures_depend_on_nothing_but_model_and_images(small_data: Splits) -> None:
    config = PRESETS["default"]()
    torch.manual_seed(0)
    model = build(config, (1, 28, 28)).eval()
    pixels = small_data.validation.images.pixels
    support = config.support.half_widths(model.group)
    before = torch.get_rng_state()
    found = measure(model, pixels, support)
    assert torch.get_rng_state().equal(before)
    assert found == measure(model, pixels, support)
    assert 0 <= found.same <= 1 and 0 <= found.apart <= 180 and found.drawn <= 1
    assert "degrees" in found.in_words(poses=True) and "group" in found.in_words(poses=False)


@pytest.fixture(scope="module")
def answered(
    tmp_path_factory: pytest.TempPathFactory, small_data: Splits
) -> tuple[Path, str, list[tuple[Path, int, int]]]:
    """A run with a first answer, what it said, and what was shown."""
    run = tmp_path_factory.mktemp("answered") / "run"
    screen = Console(file=io.StringIO(), width=200)
    shown: list[tuple[Path, int, int]] = []

    def show(folder: Path, data: Splits, total: int) -> str:
        opened = TrainedRun.open(folder)
        opened.calibrate(data)
        shown.append((folder, len(data.train), total))
        return "3; shown"

    least, first.LEAST_IMAGES = first.LEAST_IMAGES, 100
    try:
        assert fit(taught(), small_data, run, console=screen, first=show)
    finally:
        first.LEAST_IMAGES = least
    assert isinstance(screen.file, io.StringIO)
    return run, screen.file.getvalue(), shown


def test_a_training_says_its_phases_and_no_loss(answered: tuple[Path, str, object]) -> None:
    _, said, _ = answered
    places = [
        said.index(name)
        for name in (
            "1/4 comparing",
            "2/4 first groups: 3; shown",
            "3/4 learning poses",
            "4/4 learning to draw",
        )
    ]
    assert places == sorted(places)
    assert "loss" not in said
    assert said.count("right within") == 1 and said.count("drawings show") == 3


def test_the_first_answer_is_a_run_that_goes_when_there_is_a_better_one(
    answered: tuple[Path, str, list[tuple[Path, int, int]]], small_data: Splits
) -> None:
    run, _, shown = answered
    assert shown == [(run / FIRST, 400, 600)]
    opened = TrainedRun.open(run / FIRST)
    assert opened.clusters == 3 and opened.settings.preset == "quick"
    assert opened.state["data"] == small_data.digest()
    assert len(opened.answers(small_data.test.images.pixels[:5])) == 5
    assert has_first(run)
    end_first_answer(run)
    assert not (run / FIRST).exists()
    end_first_answer(run)  # nothing is left to do
    os.mkfifo(run / FIRST)
    end_first_answer(run)  # does not wait for somebody to write into a stranger's pipe
    assert (run / FIRST).is_fifo()
    (run / FIRST).unlink()


def test_the_first_answer_does_not_change_the_training(
    answered: tuple[Path, str, object], small_data: Splits, tmp_path: Path
) -> None:
    assert fit(taught(), small_data, tmp_path / "run")

    def losses(run: Path) -> list[float]:
        return [row["loss"] for row in read_log(run)]

    assert losses(tmp_path / "run") == losses(answered[0])


def test_few_images_get_no_first_answer(small_data: Splits, tmp_path: Path) -> None:
    def show(*_: object) -> str:
        raise AssertionError

    assert fit(taught(epochs=2), small_data, tmp_path / "run", first=show)
    assert not has_first(tmp_path / "run")


def test_clusters_that_are_known_are_taken_over(small_data: Splits, tmp_path: Path) -> None:
    """Over the whole circle the start has compared all images already."""
    first_clusters: list[torch.Tensor] = []

    def show(folder: Path, data: Splits, total: int) -> str:
        model = TrainedRun.open(folder).model
        first_clusters.append(model.state_dict()["cluster"])
        return ""

    least, first.LEAST_IMAGES = first.LEAST_IMAGES, 100
    try:
        config = taught(rotation=180.0, epochs=2)
        assert fit(config, small_data, tmp_path / "run", first=show)
    finally:
        first.LEAST_IMAGES = least
    assert int((first_clusters[0] >= 0).sum()) == 3 + 400  # all images fit into the room
    assert quickly(config).model.clusters == 3


def test_a_stop_ends_a_long_task_and_its_parts_are_counted() -> None:
    screen = Console(file=io.StringIO(), width=100)
    with Waiting(screen, "comparing") as waiting:
        assert list(waiting.told(range(4))) == [0, 1, 2, 3]
        assert waiting.progress.tasks[0].description == "comparing: step 1, 100% done"
        list(waiting.told(range(2)))
        assert waiting.progress.tasks[0].description == "comparing: step 2, 100% done"
    teacher = build(taught(), (1, 28, 28)).teacher(
        planned(taught(), 400), torch.zeros(400, 1, 28, 28, dtype=torch.uint8)
    )
    teacher.stop = [2]
    with pytest.raises(Stopped):
        list(teacher.watched(range(3)))


def test_time_to_go_counts_what_comes_after_the_last_epoch() -> None:
    bar = Bar(Console(quiet=True), position := Position(epochs=2), steps=10)
    assert bar.seconds_left is None
    bar.first, bar.after = 0, 50.0
    assert bar.seconds_left is None  # no step is done
    position.epoch = 2
    left = bar.seconds_left
    assert left is not None and left == pytest.approx(50)
    assert [to_go(one) for one in (None, 3, 61, 600, 7200)] == [
        "",
        "about 5 s to go",
        "about 60 s to go",
        "about 10 min to go",
        "about 2.0 h to go",
    ]
