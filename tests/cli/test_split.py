"""`mcevae groups --split GROUP --by ...`: the halves are those of the explorer."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mcevae.cli import main
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.splitting import split
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import fails


@pytest.fixture
def pair(two_runs: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same run of images with names twice, with groups that nobody has changed."""
    first, second = (shutil.copytree(two_runs[0], tmp_path / name) for name in ("one", "other"))
    return first, second


@pytest.mark.parametrize("by", ["map", "pose"])
def test_the_command_splits_a_group_as_the_explorer_does(pair: tuple[Path, Path], by: str) -> None:
    run = TrainedRun.open(pair[0])
    explorer = Explorer(run=run, gallery=hang(run, run.data()))
    largest = max(explorer.groups()["groups"], key=lambda one: one["size"])
    split(explorer, largest["id"], by)  # pyright: ignore[reportArgumentType]
    main(["groups", str(pair[1]), "--split", largest["name"], "--by", by])
    kept = Collections.read(pair[1], run.clusters)
    assert kept == explorer.collections
    found = explorer.gallery
    sizes = np.bincount(kept.assign(found.cluster, found.z, found.names))
    halves = [sizes[kept.named(f"{largest['name']} {half}")] for half in "ab"]
    assert sum(halves) == largest["size"] and halves[0] >= halves[1] > 0


def test_the_halves_of_no_group_are_refused(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--by pose: says how a group is split; give --split GROUP with it" in fails(
        capsys, "groups", str(pair[0]), "--by", "pose"
    )
    assert "there is no group x" in fails(
        capsys, "groups", str(pair[0]), "--split", "x", "--by", "pose"
    )
    assert not (pair[0] / "groups.json").exists()
