"""TERM and Ctrl-C end every command in words, at any moment, and tell programs which it was."""

import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcevae.cli import main
from mcevae.runs.confidence import Calibration
from mcevae.training.trainer import Trainer

TINY = "--preset paper --filters 4 8 8 8 --hidden 32 --pose-hidden 16 --decoder-hidden 32"
FLAGS = f"{TINY} --clusters 3 --limit 100 --epochs 2 --batch-size 50".split()


def sends(number: int, then: Any = None) -> Callable[..., Any]:
    """A function that sends this process a signal."""

    def send(*given: Any, **named: Any) -> Any:
        os.kill(os.getpid(), number)
        return then(*given, **named) if then else None

    return send


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_predict_is_stopped_in_words(
    number: int,
    code: int,
    trained: Path,
    calibration: Calibration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    calibration.write(run)
    np.save(tmp_path / "a.npy", np.zeros((30, 28, 28), np.uint8))
    monkeypatch.setattr("mcevae.predicting.predictor.write_part", sends(number))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(run), str(tmp_path / "a.npy"), "--out", str(tmp_path / "t.csv")])
    assert stopped.value.code == code
    said = capsys.readouterr().err
    assert said == "mcevae: stopped; give the same command again to continue.\n"
    assert signal.getsignal(signal.SIGTERM) == before
    monkeypatch.undo()
    main(["predict", str(run), str(tmp_path / "a.npy"), "--out", str(tmp_path / "t.csv")])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("place", ["reading", "building", "teaching", "stepping"])
def test_fit_is_stopped_in_words(
    place: str,
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    if place == "reading":
        monkeypatch.setattr("mcevae.runs.data.prepare_for", sends(number))
    elif place == "building":
        monkeypatch.setattr("mcevae.training.trainer.build", sends(number))
    else:
        name = {"teaching": "teach", "stepping": "set_rate"}[place]
        monkeypatch.setattr(Trainer, name, sends(number, getattr(Trainer, name)))
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "mnist-mini", "--out", str(run), *FLAGS])
    assert stopped.value.code == 128 + number
    said = capsys.readouterr()
    if place in ("reading", "building"):
        assert said.err == "mcevae: stopped.\n" and not run.exists()
    else:
        assert "Stopped and saved. Continue with: mcevae resume" in said.out and not said.err
        assert not (run / ".lock").exists()


def test_commands_run_outside_the_main_thread(capsys: pytest.CaptureFixture[str]) -> None:
    """Where signals cannot be handled."""
    thread = threading.Thread(target=main, args=(["data"],))
    thread.start()
    thread.join()
    assert "mnist-mini" in capsys.readouterr().out
