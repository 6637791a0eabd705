"""Folders with names of any bytes, other files, links and labels, from folder to explorer."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mcevae import open_run
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.models.config import Config
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.predicting.kept_sums import page_sums
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import TINY

COUNT = 32
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name, and whose files' names, are Latin-1."""
    digits = load("digits").train
    assert digits.labels is not None
    folder = tmp_path_factory.mktemp("own") / os.fsdecode(b"Proben_\xe4")
    folder.mkdir()
    rows = ["Bild;Art;Rest"]
    for i in range(COUNT):
        path = folder / os.fsdecode(b"%02d_\xfc.png" % i)
        Image.fromarray(digits.pixels[i, 0].numpy()).save(path)
        rows.append(f"{path.stem};{'' if i % 2 == 0 else int(digits.labels[i]) % 3};x")
    (folder.parent / "Art.csv").write_bytes(os.fsencode("\n".join(rows)))
    (folder / "notes.txt").write_text("none")
    (folder / "more").symlink_to(folder.parent / "far")
    (folder.parent / "far").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder.parent / "far/far.png")
    return folder


@pytest.fixture(scope="module")
def run(own: Path) -> Path:
    out = own.parent / os.fsdecode(b"Lauf_\xe4")
    labels = ("--labels", str(own.parent / "Art.csv"), "--label-column", "art")
    main(["fit", str(own), "--out", str(out), "--preset", "paper", *TINY.split(), *labels])
    return out


def test_a_folder_of_any_name_goes_from_start_to_end(
    own: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = own.parent / os.fsdecode(b"\xe4.parquet")
    capsys.readouterr()
    main(["predict", str(run), str(own), "--out", str(table)])
    said = capsys.readouterr().out
    assert "read 32 of 34 files: 1 of kinds that are not read (.txt 1), 1 behind a link" in said
    with table.open("rb") as file:
        rows = pyarrow.parquet.read_table(file)
    assert rows["file"].to_pylist() == [rf"{i:02}_\xfc.png" for i in range(COUNT)]
    with table.with_name(f"{table.stem}.skipped.csv").open() as file:
        assert [row["file"] for row in csv.DictReader(file)] == ["more/far.png", "notes.txt"]
    opened = open_run(run)
    answers = opened.predict(own)
    assert len(answers.faults) == 2 and any("read 32 of 34" in note for note in answers.notes)


def test_reports_and_explorers_show_such_names(run: Path) -> None:
    text = (run / "report.html").read_text("utf-8")
    assert r"Lauf_\xe4" in text and r"03_\\xfc.png" in text
    opened = TrainedRun.open(run)
    data = opened.data()
    explorer = Explorer(run=opened, gallery=hang(opened, data), sums=page_sums(opened, data, None))
    client = TestClient(application(explorer, data, {}), base_url="http://127.0.0.1")
    assert r"Lauf_\xe4" in client.get("/").text
    names = client.get("/api/images").json()["names"]
    assert sorted(names) == [rf"{i:02}_\xfc.png" for i in range(COUNT)]


def test_a_run_knows_its_labels_and_what_was_not_read(run: Path) -> None:
    assert Config.read(run / "settings.toml").data.label_column == "art"
    scores = json.loads((run / "metrics.json").read_text())["scores"]
    tested = scores["clusters"]["n"]
    names = TrainedRun.open(run).data().test.images.names
    assert names is not None
    labelled = [name for name in names.tolist() if int(name[:2]) % 2]
    assert scores["accuracy"]["n"] == len(labelled) < len(names) == tested
    before = (run / "metrics.json").read_text()
    main(["evaluate", str(run)])
    assert (run / "metrics.json").read_text() == before
    with (run / "skipped.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_packs_tell_the_same_and_hand_it_on(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["pack", str(own), "--out", str(tmp_path / "pack"), "--links"])
    said = capsys.readouterr().out
    assert "Wrote 33 images" in said
    assert "read 33 of 34 files: 1 of kinds that are not read (.txt 1)." in said
    out = tmp_path / "run"
    main(["fit", str(tmp_path / "pack"), "--out", str(out), "--preset", "paper", *TINY.split()])
    assert "read 33 of 34 files" in capsys.readouterr().out
    assert "notes.txt" in (out / "skipped.csv").read_text()


def test_columns_without_a_table_are_refused(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        main(["fit", str(own), "--out", str(tmp_path / "run"), "--file-column", "x"])
    assert error.value.code == 2 and not (tmp_path / "run").exists()
    assert "give it with --labels" in " ".join(capsys.readouterr().err.split())
