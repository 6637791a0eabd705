"""Crops of boxes and of objects, from training to table, averages, report and explorer."""

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient
from scipy import ndimage

from mcevae import open_run
from mcevae.base.cutting import CuttingConfig
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import TINY

SIDE, ACROSS = 20, 12
"""Side of a cell, and cells in each row of a large image."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two large images of digits, a table of their boxes, and their label images."""
    folder = tmp_path_factory.mktemp("large")
    digits = load("digits").train.pixels[:, 0].numpy()
    rows = ["file,x,y,size"]
    for number in range(2):
        canvas = np.zeros((4 * SIDE, ACROSS * SIDE), np.uint8)
        for i in range(4 * ACROSS):
            y, x = SIDE * (i // ACROSS) + 2, SIDE * (i % ACROSS) + 2
            canvas[y : y + 16, x : x + 16] = np.kron(
                digits[number * 48 + i][:8, :8], np.ones((2, 2), np.uint8)
            )
            rows.append(f"image{number}.npy,{x - 2},{y - 2},{SIDE}")
        for kind in ("images", "labels"):
            (folder / kind).mkdir(exist_ok=True)
        np.save(folder / f"images/image{number}.npy", canvas)
        parts, _ = ndimage.label(canvas > 0, np.ones((3, 3)))
        np.save(folder / f"labels/image{number}.npy", parts)
    rows.append("image0.npy,-500,0,20")
    (folder / "boxes.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def run(large: Path) -> Path:
    out, boxes = large / "run", ("--boxes", str(large / "boxes.csv"))
    main(
        [
            "fit",
            str(large / "images"),
            *boxes,
            "--out",
            str(out),
            "--preset",
            "paper",
            *TINY.split(),
        ]
    )
    return out


def test_crops_go_from_training_to_tables(
    large: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "boxes.csv#96" in (run / "skipped.csv").read_text()
    source, boxes = str(large / "images"), ("--boxes", str(large / "boxes.csv"))
    main(["predict", str(run), source, *boxes, "--out", str(large / "table.csv"), "--force"])
    rows = pyarrow.csv.read_csv(large / "table.csv")
    assert rows.column_names[:7] == [
        *("id", "file", "image_file", "box_x", "box_y", "box_width", "box_height")
    ]
    assert len(rows) == 96
    assert rows["file"][13].as_py() == "image0.npy#20,20,20,20"
    assert rows["image_file"][60].as_py() == "image1.npy"
    again = ("--boxes", str(large / "table.csv"), "--out", str(large / "again.parquet"))
    main(["predict", str(run), source, *again, "--force"])
    kept = pyarrow.parquet.read_table(large / "again.parquet")
    assert kept["file"].to_pylist() == rows["file"].to_pylist()
    assert kept["cluster"].to_pylist() == rows["cluster"].to_pylist()
    out = ("--out", str(large / "shards"), "--shard", "1/4", "--force")
    main(["predict", str(run), source, *boxes, *out])
    (part,) = (large / "shards").glob("*.parquet")
    assert pyarrow.parquet.read_table(part)["box_x"].to_pylist() == rows["box_x"].to_pylist()[24:48]
    capsys.readouterr()
    main(["predict", str(run), source, "--out", str(large / "whole.csv"), "--force"])
    assert "is read in whole images, but the run was trained on crops" in " ".join(
        capsys.readouterr().out.split()
    )


def test_python_and_averages_cut_the_same(large: Path, run: Path) -> None:
    opened, cutting = open_run(run), CuttingConfig(boxes=str(large / "boxes.csv"))
    found = opened.predict(large / "images", cutting=cutting)
    rows = pyarrow.csv.read_csv(large / "table.csv")
    assert found.names == rows["file"].to_pylist()
    assert found.cluster.tolist() == rows["cluster"].to_pylist()
    made = opened.table(large / "images", large / "python.parquet", cutting=cutting)
    assert made.rows == 96
    assert sum(one.images for one in opened.averages()) == 96  # of the run's own crops


def test_reports_and_explorers_show_crops(run: Path) -> None:
    main(["report", str(run)])
    assert "image0.npy#20,20,20,20" in (run / "report.html").read_text()
    opened = TrainedRun.open(run)
    data = opened.data()
    client = TestClient(
        application(Explorer(run=opened, gallery=hang(opened, data)), data, {}),
        base_url="http://127.0.0.1",
    )
    names = client.get("/api/images").json()["names"]
    assert "image1.npy#20,20,20,20" in names


def test_objects_go_from_training_to_tables(large: Path) -> None:
    out, labels = large / "objects", ("--objects", str(large / "labels"))
    source = str(large / "images")
    main(["fit", source, *labels, "--out", str(out), "--preset", "paper", *TINY.split()])
    table = large / "objects.parquet"
    main(["predict", str(out), source, *labels, "--out", str(table), "--force"])
    rows = pyarrow.parquet.read_table(table)
    for number in range(2):
        name = f"image{number}.npy"
        mine = [row["object"] for row in rows.to_pylist() if row["image_file"] == name]
        assert mine == list(range(1, np.load(large / "labels" / name).max() + 1))
