"""`mcevae compare`: what it prints and writes, and what it refuses."""

import shutil
from pathlib import Path

import pytest

from mcevae.cli import main
from tests.cli.test_cli import fails


def test_it_says_how_far_two_runs_agree(
    two_runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a = shutil.copytree(two_runs[0], tmp_path / "a")
    for _ in range(2):  # its own page is replaced
        main(["compare", str(a), str(two_runs[1])])
    said = capsys.readouterr().out
    assert f"A: {a}, 4 groups; trust " in said and f"B: {two_runs[1]}, 3 groups; trust " in said
    assert "200 images are in both (A 240, B 200), by the names of their files." in said
    assert "Agreement " in said and "NMI 0." in said and "only in A" in said
    assert f"Open {a / 'compare-of_some.html'}" in said
    assert (a / "compare-of_some.html").is_file()


def test_what_cannot_be_compared_is_refused(
    two_runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a, b = map(str, two_runs)
    assert "is the same run; give two runs" in fails(capsys, "compare", a, a)
    assert "no such run" in fails(capsys, "compare", a, str(tmp_path / "none"))
    assert "ends in .html" in fails(capsys, "compare", a, b, "--out", str(tmp_path / "page"))
    assert "too long" in fails(capsys, "compare", a, b, "--out", f"{'p' * 300}.html").lower()
    page = tmp_path / "page.html"
    page.write_text("mine")
    said = fails(capsys, "compare", a, b, "--out", str(page))
    assert "already exists; choose another --out, or add --overwrite" in said
    assert page.read_text() == "mine"
