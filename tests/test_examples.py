"""The examples run as they are documented, on less, and give real answers."""

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run an example as a script, in this process, which has imported all; what it prints."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def number(pattern: str, text: str) -> float:
    found = re.search(pattern + r" (-?[\d.]+\d)", text)
    assert found, text
    return float(found[1])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_examples_are_short_and_say_how_they_are_run(file: Path) -> None:
    text = file.read_text()
    longest = 170 if file.stem == "onnx_without_torch" else 85  # it repeats all of the recipe
    assert len(text.splitlines()) <= longest
    assert f"python examples/{file.name}" in text.split('"""')[1]


def test_digits_are_clustered(run: Callable[..., str], tmp_path: Path) -> None:
    arguments = ("--digits", "03", "--images", "200", "--epochs", "12")
    assert number("accuracy", run("cluster_digits.py", *arguments)) > 0.6
    assert min(size(tmp_path / "digits.png")) > 100


def test_settings_are_searched(run: Callable[..., str], tmp_path: Path) -> None:
    arguments = ("--images", "80", "--epochs", "2", "--clusters", "3", "--groups", "so2", "se2")
    said = run("search_settings.py", *arguments)
    rows = re.findall(r"^ +3 +(so2|se2) +(-[\d.]+)$", said, re.M)
    assert [group for group, _ in rows] == ["so2", "se2"]
    best = max(rows, key=lambda row: float(row[1]))[0]
    assert f"'mcevae__group': '{best}'" in said


def test_photographs_are_set_upright(run: Callable[..., str], tmp_path: Path) -> None:
    said = run("align_images.py", "--images", "60", "--epochs", "2")
    assert "60 images in" in said
    assert len(list((tmp_path / "turned").iterdir())) == 60
    assert min(size(tmp_path / "upright.png")) > 100


def test_models_are_shared_and_know_what_is_odd(run: Callable[..., str], tmp_path: Path) -> None:
    said = run("share_model.py", "--images", "200", "--epochs", "4")
    assert number("area under the curve", said) > 0.8
    assert (tmp_path / "model" / "model.safetensors").exists()
