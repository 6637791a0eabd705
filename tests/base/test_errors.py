"""Errors name settings in the words of whoever asked: parameters in Python, flags on the screen."""

import re
from pathlib import Path

import pytest

from mcevae.base.config import TrainConfig
from mcevae.base.errors import SettingError, UserError, as_flag, as_parameter, naming
from mcevae.cli import main
from mcevae.models.config import Config


def test_a_sentence_is_in_the_words_of_whoever_asks() -> None:
    error = UserError("/a--b/c: give --batch_size or --lr, not (--on-error stop).")
    assert str(error) == "/a--b/c: give batch_size or lr, not (on_error stop)."
    with naming(as_flag):
        assert str(error) == "/a--b/c: give --batch-size or --lr, not (--on-error stop)."
        with naming(lambda setting: {"lr": "rate"}.get(setting, as_parameter(setting))):
            assert str(error) == "/a--b/c: give batch_size or rate, not (on_error stop)."
        assert f"{UserError(str(error))}" == str(error)
    assert "--batch" not in str(error)


def test_words_are_put_back_after_an_error() -> None:
    with pytest.raises(UserError), naming(as_flag):
        raise UserError("no --lr.")
    assert str(UserError("no --lr.")) == "no lr."


def test_python_hears_of_parameters() -> None:
    for refused in (
        lambda: TrainConfig(checkpoint_minutes=0),
        lambda: Config().changed(train={"batch_size": 1}),
        lambda: Config().changed(objective={"mode": "supervised", "draws": 5}),
        lambda: Config.from_dict({"preset": "paper", "model": {"rotations": 3}}),
        lambda: Config.from_dict({"preset": "paper", "model": {"clusters": "auto"}}),
    ):
        with pytest.raises((SettingError, UserError)) as error:
            refused()
        assert not re.search(r"(?<!\w)--\w", str(error.value)), error.value


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "--epochs is 0"),
        (["--checkpoint-minutes", "0"], "--checkpoint-minutes is 0"),
        (["--preset", "paper", "--rotations", "9"], "--angles"),
        (["--limit", "20", "--epochs", "1"], "give --epochs 2"),
    ],
)
def test_the_command_line_hears_of_flags(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "digits", "--out", str(tmp_path / "run"), *flags])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert message in re.sub(r"[\s│]+", " ", said.err + said.out)
    assert "batch_size" not in said.err and "checkpoint_minutes" not in said.err
