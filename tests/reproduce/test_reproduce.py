"""`mcevae reproduce`: cells are made once, go on where they were, and are drawn and tabulated."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from mcevae.base.errors import TrainingError, UserError
from mcevae.cli import main
from mcevae.cli.reproduce import reproduce
from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.loading import load
from mcevae.models.config import PRESETS
from mcevae.models.registry import spec_of
from mcevae.reproduce import cells as cells_module
from mcevae.reproduce import grid
from mcevae.reproduce.cells import run_cell, splits
from mcevae.reproduce.entries import FLOORS, MODELS, UPRIGHT
from mcevae.reproduce.floors import fit_floor
from mcevae.reproduce.grid import PAPER, RIVALS, Budget, Cell, budget_of, cells_for
from mcevae.reproduce.protocols import PROTOCOLS, ProtocolName
from mcevae.reproduce.tables import comma_separated, markdown, rows
from mcevae.runs.metrics import matched_accuracy

TINY = Budget(name="tiny", split="standard", limit=200, minutes=0.001, scored=100)
QUIET = Console(quiet=True)


def cell(out: Path, model: str = "vae", **changes: object) -> Cell:
    whole = Cell(model=model, protocol="se2", seed=0, budget=TINY, source="mnist-mini", out=out)
    return dataclasses.replace(whole, **changes)  # pyright: ignore[reportArgumentType]


def test_models_are_presets_and_every_peer_is_there() -> None:
    for entry in MODELS.values():
        PRESETS[entry.preset]().changed(**entry.changes)
    assert {entry.preset for entry in MODELS.values()} == PRESETS.keys()


def test_full_budget_is_the_papers() -> None:
    full = dataclasses.replace(
        cell(Path(), "mce-vae"), budget=budget_of("full"), source="mnist"
    ).config()
    assert (full.train.epochs, full.train.batch_size, full.train.lr) == (60, 100, 1e-3)
    assert (full.data.split, full.data.limit, full.train.minutes) == ("paper", None, None)


def test_minutes_are_the_same_for_all(tmp_path: Path) -> None:
    budget = budget_of(7.0)
    for model in MODELS:
        config = cell(tmp_path, model, budget=budget).config()
        if not spec_of(config.model.kind).trained:
            continue
        train = config.train
        assert train.minutes == 7
        assert (train.epochs > 1000) == (train.schedule == "constant")  # no end but the clock's
    assert cell(tmp_path, budget=budget).folder == tmp_path / "7-minutes" / "se2" / "vae-0"
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="give minutes above 0, or full"):
            budget_of(bad)


def test_experiments_need_what_the_paper_shows(tmp_path: Path) -> None:
    def needed(*experiments: str, **chosen: object) -> set[tuple[str, str]]:
        options = {"models": (), "protocols": (), "seeds": (0,)} | chosen
        found = cells_for(
            experiments,  # pyright: ignore[reportArgumentType]
            budget=TINY,
            source="mnist",
            out=tmp_path,
            **options,  # pyright: ignore[reportArgumentType]
        )
        assert len({cell.folder for cell in found}) == len(found)
        return {(cell.model, cell.protocol) for cell in found}

    assert needed("figure3") == {
        (model, group) for model in ("mce-vae", "mce-vae-supervised") for group in ("so2", "se2")
    }
    assert len(needed(*PAPER)) == 2 * (len(MODELS) + len(FLOORS))
    assert len(needed("comparison")) == len(PROTOCOLS) * len(RIVALS)
    assert needed("table", models=("gmvae",), protocols=("so2",)) == {("gmvae", "so2")}
    with pytest.raises(UserError, match="'nothing' is not one of default, mce-vae"):
        needed("table", models=("nothing",))
    with pytest.raises(UserError, match="needs none of the chosen"):
        needed("figure3", models=("gmvae",))
    with pytest.raises(UserError, match="seeds has no numbers"):
        needed("table", seeds=())
    drawn = {model for model, entry in MODELS.items() if entry.curve in ("", UPRIGHT)}
    assert needed("figure4a", seeds=(1, 1)) == {(model, "se2") for model in drawn}


def test_help_counts_models_protocols_and_cells() -> None:
    cells = 2 * (len(MODELS) + len(FLOORS))
    told = " ".join((reproduce.__doc__ or "").split())
    counted = f"{len(RIVALS)} models with {len(PROTOCOLS)} protocols"
    assert f"comparison: {counted}." in told and f"`all` has {cells} cells" in told
    for name, sentence in (
        ("cli", f"`comparison` compares {counted}"),
        ("reproduction", f"compares {len(MODELS)} models and {len(FLOORS)} simple clusterings"),
    ):
        page = Path(__file__).parents[2] / "docs" / f"{name}.md"
        assert sentence in " ".join(page.read_text().split()), name


def test_a_cell_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_cell(cell(tmp_path), QUIET)
    assert first and first["parameters"] > 1e6 and first["scores"]["bce"]["n"] == 100
    assert first["images"] == {"train": 200, "validation": 100, "test": 100}
    with monkeypatch.context() as patch:
        patch.setattr(cells_module, "trained", None)
        assert run_cell(cell(tmp_path), QUIET) == first
    with pytest.raises(UserError, match="made with other settings"):
        run_cell(cell(tmp_path, budget=dataclasses.replace(TINY, limit=150)), QUIET)


def test_a_stopped_cell_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        original = cells_module.fit
        patch.setattr(cells_module, "fit", lambda *a, **k: original(*a, **k) and False)
        assert run_cell(cell(tmp_path), QUIET) is None
    assert not (cell(tmp_path).folder / "cell.json").exists()
    resumed = []
    with monkeypatch.context() as patch:
        patch.setattr(
            cells_module, "fit", lambda *a, **k: resumed.append(k["resume"]) or original(*a, **k)
        )
        assert run_cell(cell(tmp_path), QUIET)
    assert resumed == [True]


def test_a_diverged_training_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> bool:
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(cells_module, "fit", diverge)
    found = run_cell(cell(tmp_path), QUIET)
    assert found and found["failed"] == "the loss is not finite" and found["scores"] == {}
    assert run_cell(cell(tmp_path), QUIET) == found  # not tried again
    (row,) = rows([found])
    assert row["bce"] is None and "seed 0 diverged" in row["notes"]


def test_files_of_labelled_images_are_posed(tmp_path: Path) -> None:
    whole = load("mnist-mini").train
    assert whole.labels is not None
    path = tmp_path / "some.npz"
    np.savez(path, images=whole.pixels[:400, 0].numpy(), labels=whole.labels[:400].numpy())
    data = splits(cell(tmp_path, source=str(path)))
    assert not data.test.images.pixels.equal(data.test.upright)
    assert data.test.images.labels is not None
    found = run_cell(cell(tmp_path, "k-means", source=str(path)), QUIET)
    assert found and 0.1 < found["scores"]["accuracy"]["value"] < 1


def test_floors_say_that_images_are_too_few() -> None:
    with pytest.raises(UserError, match="5 training images are too few for 10 clusters"):
        fit_floor("pca", torch.zeros(5, 1, 20, 20, dtype=torch.uint8), 10, seed=0)


@pytest.mark.parametrize("name", list(FLOORS))
def test_floors_sort_images_better_than_chance(name: str) -> None:
    data = splits(cell(Path(), name))
    predict = fit_floor(name, data.train.upright, 10, seed=0)
    found = predict(data.test.upright)
    assert found.shape == (100,) and set(found) <= set(range(10))
    labels = data.test.images.labels
    assert labels is not None
    chance = np.random.default_rng(0).permutation(found)
    measured, shuffled = (matched_accuracy(one, labels.numpy()) for one in (found, chance))
    assert measured > shuffled + 0.1
    assert (predict(data.test.upright) == found).all()


def test_tables_give_means_and_spreads() -> None:
    def one(seed: int, model: str, bce: float, clusters: int, level: float | None) -> dict:
        scores = {"bce": bce, "accuracy": 0.5, "clusters": clusters}
        return {
            "model": model,
            "protocol": "se2",
            "seed": seed,
            "parameters": 1234567,
            "seconds_to_level": level,
            "scores": {key: {"value": value} for key, value in scores.items()},
        }

    results = [
        one(0, "vae", 100.0, 1, 3.0),
        one(1, "vae", 104.0, 1, None),
        one(0, "gmvae", 90.0, 10, 2.0),
    ]
    first, second = rows(results)
    assert (first["bce"], first["seeds"]) == (102.0, 2)
    assert first["bce_sd"] == pytest.approx(8**0.5)
    assert first["accuracy"] is None and second["accuracy"] == 0.5  # one cluster is no clustering
    assert first["seconds_to_level"] is None and second["seconds_to_level"] == 2.0
    assert "| VAE | 2 | 102 ± 3 |" in markdown(results) and "1,234,567" in markdown(results)
    read = list(csv.DictReader(comma_separated(results).splitlines()))
    assert [row["bce"] for row in read] == ["102.0", "90.0"]


def test_the_command_draws_and_tabulates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["mce-vae", "mce-vae-supervised", "beta-vae", "pca"]
    asked = []
    monkeypatch.setattr(grid, "budget_of", lambda given: asked.append(given) or TINY)
    options = ["--source", "mnist-mini", "--budget", "0.5", "--out", str(tmp_path)]
    main(["reproduce", "all", *options, "--models", *chosen])
    assert asked == [0.5]
    folder = tmp_path / "tiny"
    for name in ("figure3", "figure4a", "figure4b", "figure5"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (folder / f"{name}.svg").read_bytes()
    found = json.loads((folder / "table.json").read_text())["cells"]
    assert {(one["model"], one["protocol"]) for one in found} == {
        (model, group) for model in chosen for group in ("so2", "se2")
    }
    assert str(folder / "table.md") in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mnist-u", "mnist-n", "affnist-like"])
def test_other_protocols_move_images_on_their_canvas(name: ProtocolName) -> None:
    one = cell(Path(), protocol=name, budget=dataclasses.replace(TINY, limit=50, scored=50))
    data, side = splits(one), PROTOCOLS[name].canvas
    train, test = data.train, data.test
    assert train.images.shape == (1, side, side) and train.elements is not None
    assert test.elements is not None and not test.elements.equal(train.elements)
    assert train.upright is not None
    again = to_bytes(warp(to_float(train.upright), train.elements))
    assert again.equal(train.images.pixels)
    ink = to_float(train.images.pixels).sum((1, 2, 3)) / to_float(train.upright).sum((1, 2, 3))
    size = torch.linalg.det(train.elements)
    assert (ink / size - 1).abs().max() < 0.06  # nothing leaves the frame
    group = get_group(one.config().model.group)
    reach = torch.tensor(one.config().support.half_widths(group))
    found = group.to_parameters(train.elements.double()).abs()
    assert (found <= reach + 1e-3).float().mean() > 0.98  # some are beyond 3 standard deviations
    assert splits(one).train.images.pixels.equal(train.images.pixels)


def test_upright_protocols_are_upright_and_rigid_models_get_a_rigid_group(tmp_path: Path) -> None:
    data = splits(cell(tmp_path, protocol="upright"))
    assert data.train.elements is None and data.train.upright is data.train.images.pixels
    groups = [
        cell(tmp_path, model, protocol="affnist-like").config().model.group
        for model in ("default", "target-vae")
    ]
    assert groups == ["aff2", "se2"]
    clothes = cell(tmp_path, protocol="fashion-upright").config()
    assert clothes.data.source == "fashion-mnist"


def test_the_comparison_is_made_cell_by_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(grid, "budget_of", lambda _: TINY)
    command = ["reproduce", "comparison", "--source", "mnist-mini", "--out", str(tmp_path)]
    main([*command, "--models", "graph", "--protocols", "mnist-u"])
    main([*command, "--models", "graph", "iic", "--protocols", "mnist-u"])
    folder = tmp_path / "tiny"
    found = json.loads((folder / "comparison.json").read_text())["cells"]
    assert [one["model"] for one in found] == ["graph", "iic"]
    graph, iic = found
    assert graph == json.loads((folder / "mnist-u" / "graph-0" / "cell.json").read_text())
    assert graph["scores"]["accuracy"]["value"] > 0.3  # without any training
    correlations = {f"{one}_correlation" for one in ("rotation", "shift_x", "shift_y")}
    assert {"rotation_error_median", *correlations} <= graph["scores"].keys()
    assert "train_accuracy" in iic["scores"] and "train_accuracy" not in graph["scores"]
    assert "--models iic --protocols mnist-u --seeds 0" in iic["command"]
    main(iic["command"].split()[1:])  # it is there already
    table = (folder / "comparison.md").read_text()
    assert "### MNIST(U)" in table and "| IIC | 1 |" in table and "graph" not in table
    assert str(folder / "comparison.md") in " ".join(capsys.readouterr().out.split())


def test_the_command_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "some.npy", np.zeros((20, 20, 20), np.uint8))
    for arguments, sentence in (
        (["table", "--models", "nobody"], "'nobody' is not one of"),
        (["figure3", "--models", "k-means"], "needs none of the chosen"),
        (["table", "--source", str(tmp_path / "some.npy")], "has no labels"),
        (["table", "--budget", "0"], "--budget is 0; give minutes above 0, or full"),
        (["table", "--seeds", "-3"], "seed is -3"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["reproduce", *arguments, "--out", str(tmp_path / "out")])
        assert stopped.value.code == 2
        assert sentence in " ".join(capsys.readouterr().err.split())
