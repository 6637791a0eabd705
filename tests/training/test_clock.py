"""A budget in minutes counts all that a training does. No test here looks at the real clock."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.models.contract import Stopped
from mcevae.runs.checkpoint import load, run_file
from mcevae.runs.run import TrainedRun
from mcevae.training import first, loop
from mcevae.training.clock import Clock
from mcevae.training.log import LOG
from mcevae.training.loop import fit
from mcevae.training.position import Position
from mcevae.training.schedule import epochs_left
from mcevae.training.trainer import Trainer
from tests.sizes import taught, tiny


class Time:
    """A time that passes only when something is done."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def slow(self, takes: float, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same work, which takes so many seconds; nothing if it does nothing."""

        def worked(*arguments: Any, **named: Any) -> Any:
            done = work(*arguments, **named)
            self.seconds += 0 if done == "" else takes
            return done

        return worked


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Time]:
    """Makes a time in which steps, validation, saving and targets take so many seconds."""

    def begin(step: float, validation: float, saving: float, targets: float) -> Time:
        time = Time()
        monkeypatch.setattr(Trainer, "set_rate", time.slow(step, Trainer.set_rate))
        monkeypatch.setattr(Trainer, "validate", time.slow(validation, Trainer.validate))
        monkeypatch.setattr(Trainer, "prepare", time.slow(targets, Trainer.prepare))
        monkeypatch.setattr(loop, "save", time.slow(saving, loop.save))
        return time

    return begin


@pytest.mark.parametrize(
    ("config", "takes"),
    [
        (taught(epochs=200, minutes=1.0), (0.2, 0.1, 0.1, 4.0)),
        (taught(epochs=200, minutes=1.0), (0.02, 2.5, 1.5, 2.0)),
        (tiny(epochs=200, minutes=1.0), (0.1, 4.0, 2.0, 0.0)),
    ],
    ids=["slow steps", "slow validation", "no stages"],
)
def test_a_training_ends_when_its_minutes_do(
    config: Config,
    takes: tuple[float, ...],
    passing: Callable[..., Time],
    tmp_path: Path,
    small_data: Splits,
) -> None:
    time = passing(*takes)
    assert fit(config, small_data, tmp_path, clock=Clock(time))
    took = time.seconds - 100
    assert 54 <= took <= 66
    position = load(run_file(tmp_path, "last"))[1]["position"]
    assert position["seconds"] == pytest.approx(took)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert took - rows[-1]["seconds"] <= 3 * takes[2] + 0.01  # but for the last saving
    if config.model.kind == "default":  # planned, and not cut off
        assert position["step"] == 0 and position["epoch"] == position["epochs"] < 200
        assert 0 < position["warmup"] < position["epochs"]


@pytest.mark.parametrize(
    ("takes", "said"),
    [
        (
            (2.0, 0.1, 0.1, 4.0),
            "19 epochs, the fewest of use, take longer than 1 min; begin again",
        ),
        ((0.1, 0.1, 0.1, 90.0), "1 min is too short to train a network on these images"),
    ],
    ids=["slow steps", "slow targets"],
)
def test_without_time_for_a_network_the_graph_is_the_answer(
    takes: tuple[float, ...],
    said: str,
    passing: Callable[..., Time],
    tmp_path: Path,
    small_data: Splits,
) -> None:
    config, screen = taught(epochs=200, minutes=1.0), Console(file=io.StringIO(), width=300)
    clock = Clock(passing(*takes))
    assert fit(config, small_data, tmp_path, clock=clock, console=screen, replaceable=True)
    assert isinstance(screen.file, io.StringIO)
    assert said in screen.file.getvalue()
    run = TrainedRun.open(tmp_path)
    assert run.settings.preset == "quick" and run.clusters == 3
    assert run.settings.data == config.data and run.settings.support == config.support
    assert not (tmp_path / LOG).exists()
    run.calibrate(small_data)
    answers = run.answers(small_data.test.images.pixels)
    assert len(set(answers.cluster.tolist())) == 3
    assert fit(run.settings, small_data, tmp_path, resume=True)  # it is complete


@pytest.mark.parametrize("given", [True, False], ids=["weights given", "not replaceable"])
def test_a_network_is_kept_if_it_is_asked_for_or_had_weights(
    given: bool,
    passing: Callable[..., Time],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    small_data: Splits,
) -> None:
    time = passing(2.0, 0.1, 0.1, 4.0)
    if given:
        monkeypatch.setattr(loop, "begin_with_given", lambda *_: True)
    config = taught(epochs=200, minutes=1.0)
    assert fit(config, small_data, tmp_path, clock=Clock(time), replaceable=given)
    assert TrainedRun.open(tmp_path).settings.preset == "default"


@pytest.mark.parametrize("stops", [1, 2])
def test_a_run_that_is_stopped_while_the_graph_answers_goes_on(
    stops: int,
    passing: Callable[..., Time],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    small_data: Splits,
) -> None:
    config, time = taught(epochs=200, minutes=1.0), passing(2.0, 0.1, 0.1, 4.0)
    how: dict[str, Any] = {"clock": Clock(time), "replaceable": True}

    def stop(*_: object) -> None:
        raise Stopped

    for again in range(stops):
        with monkeypatch.context() as patch:
            patch.setattr(first, "filled", stop)
            assert not fit(config, small_data, tmp_path, resume=again > 0, **how)
        assert Config.read(tmp_path / "settings.toml").preset == "default"
    assert fit(config, small_data, tmp_path, resume=True, **how)
    assert TrainedRun.open(tmp_path).settings.preset == "quick"


def test_time_goes_on_where_a_run_was_stopped(
    passing: Callable[..., Time], tmp_path: Path, small_data: Splits
) -> None:
    time = passing(0.1, 1.0, 1.0, 0.0)
    assert fit(tiny(epochs=1), small_data, tmp_path, clock=Clock(time))
    first = load(run_file(tmp_path, "last"))[1]["position"]["seconds"]
    assert first == pytest.approx(time.seconds - 100)
    time.seconds += 1000  # between two commands nothing is trained
    assert fit(tiny(epochs=2), small_data, tmp_path, resume=True, clock=Clock(time))
    second = load(run_file(tmp_path, "last"))[1]["position"]["seconds"]
    assert second == pytest.approx(time.seconds - 1100)


def test_epochs_left_count_what_is_still_to_be_done() -> None:
    position = Position(epochs=50, epoch=5, seconds=20.0, epoch_seconds=2.0, start_seconds=10.0)
    assert epochs_left(position, 1.0, 100, warm=True) == 25
    assert epochs_left(position, 1.0, 100, warm=False) == 20
    assert epochs_left(position, 1.0, 12, warm=True) == 12
    position.seconds = 70.0
    assert epochs_left(position, 1.0, 100, warm=True) == 5
    assert epochs_left(position, 1.0, 100, warm=False) == 6  # clusters need one more


def test_an_old_epoch_counts_less_than_a_new_one() -> None:
    position = Position(epochs=5, seconds=10.0)
    position.lap(0.0, 8.0)
    assert (position.epoch_seconds, position.closing_seconds) == (10.0, 2.0)
    position.seconds = 14.0
    position.lap(10.0, 13.0)
    assert 4 < position.epoch_seconds < 10 and position.closing_seconds == 1.0
    known = position.epoch_seconds
    position.lap(None, 13.0)  # an epoch of which only a part was seen
    assert position.epoch_seconds == known
