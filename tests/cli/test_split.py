"""`mcevae groups --split GROUP --by ...`: the halves are those of the explorer."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from mcevae.cli import main
from mcevae.images.splits import Splits
from mcevae.models.contract import Model
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.splitting import split
from mcevae.runs.collections import Collections
from mcevae.runs.infer import Embedding, embed
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import fails


@pytest.fixture
def pair(two_runs: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """The same run of images with names twice, with groups that nobody has changed."""
    first, second = (shutil.copytree(two_runs[0], tmp_path / name) for name in ("one", "other"))
    return first, second


def nameless(run: TrainedRun) -> Splits:
    """The images of a run without their names."""
    data = run.data()
    return replace(data, train=replace(data.train, images=replace(data.train.images, names=None)))


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


def at_one_image(model: Model, pixels: Tensor, **more: Any) -> Embedding:
    """As `embed`, but for one image alone, which tells the sizes of what the model finds."""
    assert len(pixels) == 1, "the model looked at images"
    return embed(model, pixels, **more)


def test_the_halves_of_no_group_are_refused_before_the_model_looks_at_images(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcevae.runs.infer.embed", at_one_image)
    assert "--by pose: says how a group is split; give --split GROUP with it" in fails(
        capsys, "groups", str(pair[0]), "--by", "pose"
    )
    assert "there is no group x" in fails(
        capsys, "groups", str(pair[0]), "--split", "x", "--by", "pose"
    )
    run = TrainedRun.open(pair[0])
    name, without = run.collections.entries[0].name, nameless(run)
    monkeypatch.setattr(TrainedRun, "data", lambda *_: without)
    assert "the images of this run have no names" in fails(
        capsys, "groups", str(pair[0]), "--split", name, "--by", "map"
    )
    assert not (pair[0] / "groups.json").exists()
