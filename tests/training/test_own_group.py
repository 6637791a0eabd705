"""Runs with a group given by generators: they learn it, and carry it with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.exporting.graphs import write_graphs
from mcevae.images.loading import load
from mcevae.images.splits import Splits
from mcevae.models.config import Config
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.runs.checkpoint import load as load_checkpoint
from mcevae.runs.checkpoint import load_model, run_file, save
from mcevae.runs.confidence import calibrate
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.runs.metrics import evaluate
from mcevae.runs.pose_scores import frames
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit
from tests.exporting.stand_in import with_empty_graphs
from tests.own_group import SLANT, slant
from tests.sizes import taught, tiny
from tests.test_estimator import tiny as tiny_estimator

PRESETS = {
    "default": (taught, {"limit": 1200, "epochs": 8}),
    "paper": (tiny, {"limit": 800, "epochs": 10, "clusters": 2, "batch_size": 25}),
}


@pytest.fixture(scope="module", params=PRESETS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits that slant by chance, whose file of generators is gone."""
    folder = tmp_path_factory.mktemp("slant")
    settings, sizes = PRESETS[request.param]
    config = settings(group=slant(folder), **sizes)
    assert fit(config, prepare_for(config), folder / request.param)
    return folder / request.param


@pytest.fixture(scope="module")
def data(run: Path) -> Splits:
    return prepare_for(Config.read(run / "settings.toml"))


def test_slanted_images_are_brought_back(run: Path, data: Splits) -> None:
    """Canonical frames are any; what images lie off them must be less than what they were moved."""
    model, _, _ = load_model(run)
    held, test = (embed(model, part.images.pixels) for part in (data.validation, data.test))
    held_truth, truth = data.validation.elements, data.test.elements
    assert held_truth is not None and truth is not None
    own = frames(held, held_truth, model.group)[test.cluster]
    group = model.group
    left = group.log(group.compose(group.inverse(group.compose(test.element, own)), truth))
    # Digits slant by nature, too, which nothing tells from how they were moved.
    assert left.abs().mean() < 0.75 * group.log(truth).abs().mean()


def test_tables_and_scores_are_in_its_coordinates(run: Path, data: Splits, tmp_path: Path) -> None:
    model, config, _ = load_model(run)
    scores = evaluate(model, config, data)
    assert scores["strain_error_mean"].value > 0 and "shift_error_mean" not in scores
    assert not any(name.startswith("rotation_coverage") for name in scores)
    calibrate(model, config, data.validation.images.pixels[:100]).write(run)
    np.save(tmp_path / "new.npy", data.test.images.pixels[:20, 0].numpy())
    main(["predict", str(run), str(tmp_path / "new.npy"), "--out", str(tmp_path / "table.parquet")])
    table = parquet.read_table(tmp_path / "table.parquet")
    assert {"slant_1", "tau_slant_1"} <= set(table.column_names)
    assert np.isfinite(table["slant_1"].to_numpy()).all()


def test_pages_show_its_coordinates(run: Path, data: Splits) -> None:
    opened = TrainedRun.open(run)
    few = slice(60)
    small = Splits(
        train=data.train.subset(few),
        validation=data.validation.subset(few),
        test=data.test.subset(few),
    )
    opened.calibrate(small)
    gallery = hang(opened, small)
    (coordinate,) = gallery.coordinates
    assert (coordinate.name, coordinate.unit, coordinate.half_width) == ("slant", "1", 0.6)
    explorer = Explorer(run=opened, gallery=gallery)
    z = [0.0] * gallery.z.shape[1]
    drawn = explorer.draw(0, z, [0.5])
    assert drawn["moved"] != drawn["canonical"]


@pytest.mark.parametrize("run", ["default"], indirect=True)
def test_graphs_move_as_it_does(
    run: Path, data: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_empty_graphs(monkeypatch, but=["encode"])  # the others take any pose
    opened = TrainedRun.open(run, device="cpu")
    write_graphs(opened, data.test.images.pixels[:20], tmp_path / "graphs")
    about = json.loads((tmp_path / "graphs" / "model.json").read_text())
    assert about["pose"]["group"] == "slant"


def test_the_command_line_takes_a_file_and_settings_that_have_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Config] = []
    monkeypatch.setattr("mcevae.cli.fit.train", lambda config, *_, **__: asked.append(config))
    own = slant(tmp_path)
    (tmp_path / "slant.toml").write_text(SLANT)
    out = ["--out", str(tmp_path / "run")]
    for preset in ("default", "paper"):
        main(["fit", "digits", "--preset", preset, "--group", str(tmp_path / "slant.toml"), *out])
    (tmp_path / "settings.toml").write_text(asked[0].to_toml())
    (tmp_path / "slant.toml").unlink()
    main(["fit", "--settings", str(tmp_path / "settings.toml"), "--epochs", "3", *out])
    assert [config.model.group for config in asked] == [own] * 3
    main(["fit", "--settings", str(tmp_path / "settings.toml"), "--group", "so2", *out])
    assert asked[-1].model.group == "so2"


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ("so3", "'so3'; use so2, se2, sim2, aff2, or a .toml file"),
        ("no.toml", "no.toml: no such file"),
    ],
)
def test_the_command_line_says_what_is_no_group(
    group: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", "digits", "--group", group, "--out", str(tmp_path / "run")])
    assert error.value.code == 2 and says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ({"matrix": [[0, 1, 0], [0, 0, 0], [0, 0, 9]]}, "the last row of the matrix of slant"),
        ({"matrix": [[0, 0, 0], [0, 0, 0], [0, 0, 0]]}, "largest entry of its matrix is 0"),
        ({"half_width": 1e9}, "half_width of slant is 1000000000.0; use 0.01 to 10"),
        ({"half_width": 10**400}, "OverflowError|int too large"),
        ({"coordinate": "<script>"}, "coordinate is '<script>'"),
    ],
)
@pytest.mark.parametrize("run", ["paper"], indirect=True)
def test_a_checkpoint_whose_group_is_none_is_refused(
    run: Path, harm: dict[str, Any], says: str, tmp_path: Path
) -> None:
    tensors, state = load_checkpoint(run_file(run, "best"))
    state["config"]["model"]["group"]["generators"][0] |= harm
    save(run_file(tmp_path, "best"), tensors, state)
    with pytest.raises(UserError, match=says):
        load_model(tmp_path)


def test_an_estimator_takes_a_file_and_is_shared_without_it(tmp_path: Path) -> None:
    file = tmp_path / "slant.toml"
    file.write_text(SLANT)
    X: Any = load("mnist-mini").train.pixels[:150, 0].numpy()
    model = tiny_estimator(group=str(file), image_shape=(28, 28)).fit(X)
    assert model.get_params()["group"] == str(file)
    assert "tau_slant_1" in model.get_feature_names_out()
    model.save_pretrained(tmp_path / "model")
    file.unlink()
    card = (tmp_path / "model" / "README.md").read_text()
    assert "group slant (slant up to 0.6 either way)" in card and str(tmp_path) not in card
    back = MCEVAE.from_pretrained(tmp_path / "model")
    assert np.array_equal(back.transform(X), model.transform(X))
    torch.manual_seed(0)
    assert back.fit(X).model_.group.name == "slant"  # the parameter is the group itself
