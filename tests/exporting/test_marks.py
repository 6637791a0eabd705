"""Tables of places for other programs: what these read is where the things are."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from gemmi import cif
from roifile import roiread

from mcevae.cli import main
from mcevae.runs.infer import write_tables

FILES = ["a/one.png", "a/one.png", "b/film.npy", "b/film.npy", "b/film.npy"]
FRAMES = [0, 0, 0, 2, 2]
X, Y = [10.5, 30.0, 5.5, 8.5, 40.25], [20.5, 31.0, 6.5, 9.5, 2.0]
GROUPS = ["key", "fish", "fish", "key", "a 'b'\nc"]


def table(path: Path, **more: list[object]) -> Path:
    sides = [10.0, 12.0, 8.0, 8.0, 9.0]
    columns = {
        "file": FILES,
        "frame": FRAMES,
        "x": X,
        "y": Y,
        "group": GROUPS,
        "probability": [0.9, 0.8, 0.7, 1.0, 0.5],
        "rotation_deg": [0.0, 90.0, -30.0, 10.0, 180.0],
        "box_x": [x - side / 2 for x, side in zip(X, sides, strict=True)],
        "box_y": [y - 4 for y in Y],
        "box_width": sides,
        "box_height": [8.0] * 5,
    }
    write_tables([pa.table(columns | more)], path)
    return path


def converted(tmp_path: Path, form: str, *flags: str, suffix: str = ".parquet", **more) -> Path:
    out = tmp_path / f"{form}.out"
    made = table(tmp_path / f"finds{suffix}", **more)
    main(["convert", str(made), "--to", form, "--out", str(out), *flags])
    return out


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_star_files_have_the_places_of_their_frames(tmp_path: Path, suffix: str) -> None:
    out = converted(tmp_path, "star", suffix=suffix)
    names = {"a__one.star", "b__film_000000.star", "b__film_000002.star"}
    assert {path.name for path in out.iterdir()} == names
    block = cif.read(str(out / "a__one.star")).sole_block()
    wanted = ["CoordinateX", "CoordinateY", "ClassNumber", "AnglePsi"]
    rows = [[float(v) for v in row] for row in block.find([f"_rln{one}" for one in wanted])]
    assert np.allclose(rows, [[10.5, 20.5, 3, 0], [30, 31, 2, -90]])
    text = (out / "a__one.star").read_text()
    assert "# class 2: fish" in text and "# class 1: a 'b' c" in text


def test_boxes_of_eman_are_squares_of_one_size(tmp_path: Path) -> None:
    out = converted(tmp_path, "eman")
    rows = np.loadtxt(out / "b__film_000002.box")
    assert (rows[:, 2:] == 12).all()
    assert np.abs(rows[:, :2] + 6 - np.array([[8.5, 9.5], [40.25, 2]])).max() <= 0.5


def test_coco_has_boxes_and_the_sizes_of_the_frames(tmp_path: Path, capsys) -> None:
    from PIL import Image

    frames = tmp_path / "frames"
    for folder in "ab":
        (frames / folder).mkdir(parents=True)
    Image.new("L", (60, 50)).save(frames / "a" / "one.png")
    np.save(frames / "b" / "film.npy", np.zeros((3, 40, 70), np.uint8))
    found = json.loads(converted(tmp_path, "coco", "--frames", str(frames)).read_text())
    sizes = {one["file_name"]: (one["height"], one["width"]) for one in found["images"]}
    one = (50, 60)
    assert sizes == {"a/one.png": one, "b/film.npy": (40, 70), "b/film.npy#2": (40, 70)}
    first = found["annotations"][0]
    assert first["bbox"] == [5.5, 16.5, 10, 8] and first["area"] == 80
    assert found["categories"][first["category_id"]]["name"] == "key"
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(tmp_path / "finds.parquet"), "--to", "coco", "--out", "x.json"])
    assert "--frames" in capsys.readouterr().err


def test_imagej_has_a_region_on_the_slice_of_each_thing(tmp_path: Path) -> None:
    out = converted(tmp_path, "imagej")
    regions = roiread(out / "b__film.zip")
    assert [one.position for one in regions] == [1, 3, 3]
    assert [one.name.split()[1] for one in regions] == ["fish", "key", "a"]
    assert (regions[1].left, regions[1].right, regions[1].bottom) == (4, 12, 14)


def test_films_of_napari_and_trackmate_know_tracks(tmp_path: Path) -> None:
    more = {"track": [0, 1, 0, 1, 1], "time": [0, 0, 3, 4, 5]}
    more["found"] = [True, True, True, False, True]
    with converted(tmp_path, "napari", **more).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["t"] for row in rows] == ["0", "0", "3", "5"]  # the gap is left out
    assert (rows[0]["track_id"], rows[0]["y"], rows[0]["x"]) == ("0", "20.0", "10.0")
    with converted(tmp_path, "trackmate", **more).open() as file:
        rows = list(csv.DictReader(file))
    assert [row["TRACK_ID"] for row in rows] == ["0", "1", "0", "1"]
    assert (rows[1]["POSITION_X"], rows[1]["RADIUS"]) == ("29.5", "6.0")
    with converted(tmp_path / "points", "napari").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["axis-0"] for row in rows] == ["0", "0", "1", "2", "2"]


def test_names_of_files_lead_to_no_other_folder(tmp_path: Path) -> None:
    names = ["../../up.png", "/etc/x.tif", "..\\y.png", "...", ".hidden"]
    out = converted(tmp_path, "eman", file=names, frame=[0] * 5)
    assert len(list(out.iterdir())) == 5
    assert {path.parent for path in tmp_path.rglob("*.box")} == {out}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"x": [1.0, None, 2.0, 3.0, 4.0]}, "x is missing in 1 rows"),
        ({"y": [1.0, float("nan"), 2.0, 3.0, 4.0]}, "y is not finite"),
        ({"frame": ["a"] * 5}, "no place"),
        ({"file": ["a.png", "a.tif", "b", "c", "d"], "frame": [0] * 5}, "same name"),
    ],
)
def test_tables_that_hold_no_places_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, list[object]], said: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        converted(tmp_path, "star", **more)
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "star.out").exists()


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    converted(tmp_path, "napari")
    with pytest.raises(SystemExit, match="2"):
        converted(tmp_path, "napari")
    converted(tmp_path, "napari", "--overwrite")
    converted(tmp_path, "star")
    with pytest.raises(SystemExit, match="2"):
        converted(tmp_path, "star", "--overwrite")
    other = tmp_path / "other.parquet"
    write_tables([pa.table({"id": [1]})], other)
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(other), "--to", "star", "--out", str(tmp_path / "new")])
