"""Runs whose poses may be mirrored, from the images to the tables, pages and exports."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from playwright.sync_api import Page, expect
from torch.testing import assert_close

from mcevae import open_run
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.exporting.interchange import write_for
from mcevae.geometry.groups import mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.splits import Splits
from mcevae.models.default.beginning import Beginning
from mcevae.models.default.selftraining import SelfTraining
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.runs.checkpoint import load_model
from mcevae.runs.data import prepare_for
from mcevae.runs.infer import embed
from mcevae.runs.metrics import evaluate
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit
from tests.conftest import served
from tests.sizes import taught
from tests.test_estimator import tiny as tiny_estimator

DIGITS = (2, 4, 7)
"""Digits that differ from their mirror images, whichever way they are turned."""


@pytest.fixture(scope="module")
def data() -> Splits:
    """Some digits under E(2): half of them are mirrored."""
    whole = prepare_for(taught(mirror=True, limit=4000))
    parts = {}
    for name, most in (("train", 1000), ("validation", 150), ("test", 150)):
        part = getattr(whole, name)
        wanted = torch.isin(part.images.labels, torch.tensor(DIGITS)).nonzero()[:most, 0]
        parts[name] = part.subset(wanted)
    return replace(whole, **parts)


def as_told(data: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let training start from the true poses and kinds of the training images."""
    kind = torch.searchsorted(torch.tensor(DIGITS), data.train.images.labels)

    def beginning(self: SelfTraining, find: object) -> Beginning:
        elements = data.train.elements
        assert elements is not None
        return Beginning(element=elements, grouping=None, message="true poses")

    def group_images(self: SelfTraining) -> str:
        self.targets = replace(self.targets, cluster=kind, first=kind.clone())
        return "true kinds"

    monkeypatch.setattr(SelfTraining, "beginning", beginning)
    monkeypatch.setattr(SelfTraining, "group_images", group_images)


@pytest.fixture(scope="module")
def run(data: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was taught from true poses, with a calibration."""
    folder = tmp_path_factory.mktemp("mirror") / "run"
    with pytest.MonkeyPatch.context() as patch:
        as_told(data, patch)
        assert fit(taught(mirror=True, epochs=14, hidden=64, rotation=60.0), data, folder)
    TrainedRun.open(folder).calibrate(data)
    return folder


def test_half_of_the_posed_images_are_mirrored(data: Splits) -> None:
    posed = data.train
    assert posed.elements is not None and posed.upright is not None
    signs = mirrored(posed.elements)
    assert 0.45 < signs.float().mean() < 0.55
    moved = warp(to_float(posed.upright), posed.elements)
    assert (moved - to_float(posed.images.pixels)).abs().max() < 0.01


def test_signs_and_poses_are_learned_from_targets_of_both_signs(run: Path, data: Splits) -> None:
    model, config, _ = load_model(run)
    scores = evaluate(model, config, data)
    assert scores["mirror_right"].n == 150
    assert scores["mirror_right"].value > 0.75  # 0.5 by chance
    assert scores["rotation_error_median"].value < 20
    assert scores["rotation_error_median"].n == round(150 * scores["mirror_right"].value)
    assert scores["rotation_coverage_90"].value > 0.5
    found = embed(model, data.test.images.pixels)
    assert 0.3 < found.mirrored.float().mean() < 0.7


def test_predictions_are_the_same_after_reading_the_run_again(run: Path, data: Splits) -> None:
    opened = open_run(run, device="cpu")
    pixels = data.test.images.pixels[:40]
    answers = opened.predict(pixels[:, 0].numpy())
    found = embed(load_model(run)[0], pixels)
    assert_close(torch.from_numpy(answers.pose), found.element)
    assert np.array_equal(answers.mirrored, np.linalg.det(answers.pose) < 0)
    assert 0 < answers.mirrored.sum() < 40


def test_tables_say_which_images_are_mirrored(run: Path, data: Splits, tmp_path: Path) -> None:
    np.save(tmp_path / "new.npy", data.test.images.pixels[:40, 0].numpy())
    for name in ("table.parquet", "table.csv"):
        main(["predict", str(run), str(tmp_path / "new.npy"), "--out", str(tmp_path / name)])
    table = parquet.read_table(tmp_path / "table.parquet")
    answers = open_run(run, device="cpu").predict(tmp_path / "new.npy")
    assert table["mirrored"].to_pylist() == answers.mirrored.tolist()
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert '"mirrored"' in lines[0] and "true" in lines[1] + lines[2] + lines[3] + lines[4]


def test_pages_and_exports_show_it(run: Path, data: Splits, tmp_path: Path) -> None:
    opened = TrainedRun.open(run, device="cpu")
    gallery = hang(opened, data, most=120)
    assert gallery.mirrored is not None and 0 < gallery.mirrored.sum() < 120
    write_for("embedding-atlas", gallery, opened.collections, tmp_path / "atlas")
    rows = parquet.read_table(tmp_path / "atlas" / "images.parquet")
    assert rows["mirrored"].to_pylist() == gallery.mirrored.tolist()
    explorer = Explorer(run=opened, gallery=gallery)
    first = int(np.flatnonzero(gallery.mirrored)[0])
    latents = explorer.latents(first)
    assert latents["mirrored"]
    del latents["reach"]
    latents["pose"] = [0.0] * len(latents["pose"])
    there, back = (explorer.draw(**{**latents, "mirrored": sign}) for sign in (True, False))
    assert there["canonical"] == back["canonical"] == back["moved"] != there["moved"]


def test_the_explorer_shows_and_moves_it(run: Path, data: Splits, page: Page) -> None:
    opened = TrainedRun.open(run, device="cpu")
    explorer = Explorer(run=opened, gallery=hang(opened, data, most=60))
    with served(application(explorer, data, {})) as (host, port):
        page.goto(f"http://{host}:{port}")
        bench = page.locator("#sliders").get_by_role("checkbox", name="mirrored")
        drawn = page.locator("#bench-pictures[aria-busy=false]")
        expect(bench).to_be_visible()
        expect(drawn).to_be_visible()
        before = page.locator("#bench-moved").get_attribute("src")
        bench.click()
        expect(page.locator("#bench-moved")).not_to_have_attribute("src", before or "")
        page.locator(".group .thumb").first.click()
        row = page.locator("dialog#image").get_by_role("row", name="mirrored")
        expect(row).to_contain_text(re.compile("yes|no"))
        page.keyboard.press("Escape")


def test_the_command_line_goes_all_the_way(tmp_path: Path) -> None:
    """From a start that finds proper poses only, which training must take as well."""
    sizes = "--limit 200 --epochs 2 --templates 4 --neighbours 5 --restarts 1 --rotations 24"
    out = ["--out", str(tmp_path / "run")]
    main(["fit", "digits", "--mirror", "--clusters", "3", *sizes.split(), "--hidden", "32", *out])
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())["scores"]
    assert 0 <= kept["mirror_right"]["value"] <= 1
    table = parquet.read_table(tmp_path / "run" / "images.parquet")
    assert str(table["mirrored"].type) == "bool"
    assert "mirror = true" in (tmp_path / "run" / "settings.toml").read_text()
    assert '"mirrored":{' in (tmp_path / "run" / "report.html").read_text()


def test_the_estimator_has_it_and_can_be_shared(data: Splits, tmp_path: Path) -> None:
    X = data.train.images.pixels[:150, 0].numpy()
    model = tiny_estimator(mirror=True).fit(X)
    latents, names = model.transform(X[:20]), model.get_feature_names_out()
    assert names[-1] == "mirrored" and latents.shape == (20, len(names))
    assert np.array_equal(latents[:, -1] == 1, np.linalg.det(model.pose(X[:20])) < 0)
    latents[:, 3:6] = 0  # no rotation and no shift
    plain, turned = (latents[:1].copy() for _ in range(2))
    plain[:, -1], turned[:, -1] = 0, 1
    drawn = model.inverse_transform(np.concatenate([plain, turned]))
    assert np.abs(drawn[0, :, ::-1] - drawn[1]).max() < 1e-5
    model.save_pretrained(tmp_path / "shared")
    again = MCEVAE.from_pretrained(tmp_path / "shared")
    assert again.mirror and np.array_equal(again.pose(X), model.pose(X))
    assert "mirrored or not" in (tmp_path / "shared" / "README.md").read_text()
