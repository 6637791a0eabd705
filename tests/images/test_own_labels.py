"""Labels of the source's own table, and arrays of labels: for scores, image by image."""

from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.images.sources.registry import open_source

RNG = np.random.default_rng(0)
KINDS = ["b", "a", "", "b", "a", "a"]
"""Labels of six images; the third has none."""


def words(source: Path, **settings: object) -> list[str]:
    """The label of each image, "" for none."""
    data = DataConfig(normalise="image", **settings)  # pyright: ignore[reportArgumentType]
    images = load(str(source), data).train
    assert images.labels is not None and images.label_names is not None
    return [images.label_names[i] if i >= 0 else "" for i in images.labels.tolist()]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A large image and a table of six crops, the fourth of which cannot be cut."""
    (tmp_path / "images").mkdir()
    pixels = RNG.integers(0, 256, (80, 90), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images/a.png")
    x = [0, 5, 10, 900, 20, 25]
    table = {"file": "a.png", "x": x, "y": 3, "width": 20, "height": 20, "Kind": KINDS}
    pd.DataFrame(table).to_csv(tmp_path / "boxes.csv", index=False)
    return tmp_path


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack of six particles."""
    with mrcfile.new(tmp_path / "some.mrcs") as file:
        file.set_data(RNG.normal(size=(6, 20, 20)).astype(np.float32))
    return tmp_path


def test_a_column_of_boxes_is_labels_of_their_crops(large: Path) -> None:
    boxes = str(large / "boxes.csv")
    found = words(large / "images", boxes=boxes, label_column="kind")
    assert found == ["b", "a", "", "a", "a"]  # the fourth row cannot be cut
    star = {"rlnMicrographName": ["a.png"] * 2, "rlnCoordinateX": [30, 41], "rlnCoordinateY": 30}
    starfile.write(pd.DataFrame(star | {"rlnClassNumber": [7, 12]}), large / "picked.star")
    settings = {"boxes": str(large / "picked.star"), "box_size": 20}
    assert words(large / "images", label_column="rlnClassNumber", **settings) == ["7", "12"]


def test_predictions_need_no_labels_in_their_boxes(large: Path) -> None:
    pd.read_csv(large / "boxes.csv").drop(columns="Kind").to_csv(large / "new.csv", index=False)
    settings = DataConfig(boxes=str(large / "new.csv"), label_column="kind", normalise="image")
    source = open_source(str(large / "images"), settings)
    assert sum(len(part.pixels) for part in source.parts(source.survey.recipe)) == 5  # pyright: ignore[reportOptionalMemberAccess]
    with pytest.raises(UserError, match="has no column kind; its columns are file, x, y"):
        source.load()


def test_a_column_of_star_and_cs_files_is_labels_of_particles(stack: Path) -> None:
    order = [3, 0, 5, 1]
    names = [f"{i + 1:06}@some.mrcs" for i in order]
    kinds = [KINDS[i] for i in order]
    table = pd.DataFrame({"rlnImageName": names, "rlnKind": kinds})
    starfile.write(table, stack / "run.star")
    for column in ("rlnKind", "_rlnKind"):
        assert words(stack / "run.star", label_column=column) == kinds
    with pytest.raises(UserError, match=r"has no column rlnClass; .*rlnImageName, rlnKind"):
        words(stack / "run.star", label_column="rlnClass")
    types = [("blob/path", "S12"), ("blob/idx", "<u4"), ("alignments2D/class", "<u4")]
    records = np.zeros(4, types)
    records["blob/path"], records["blob/idx"] = "some.mrcs", order
    records["alignments2D/class"] = [2, 0, 11, 2]
    with (stack / "run.cs").open("wb") as file:
        np.save(file, records)
    assert words(stack / "run.cs", label_column="alignments2D/class") == ["2", "0", "11", "2"]
    (stack / "list.txt").write_text("1@some.mrcs\n2@some.mrcs\n")
    with pytest.raises(UserError, match="has no columns, so there is no label_column kind"):
        words(stack / "list.txt", label_column="kind")


def test_a_damaged_row_shifts_no_label(stack: Path) -> None:
    rows = ["1@some.mrcs x", "2@some.mrcs", "9@some.mrcs y", "3@some.mrcs z"]
    text = "data_\n\nloop_\n_rlnImageName #1\n_rlnKind #2\n" + "\n".join(rows) + "\n"
    (stack / "run.star").write_text(text)
    assert words(stack / "run.star", label_column="rlnKind") == ["x", "z"]


def test_a_particle_with_two_labels_has_none(stack: Path) -> None:
    rows = ["1@some.mrcs x", "1@some.mrcs y", "2@some.mrcs y"]
    text = "data_\n\nloop_\n_rlnImageName #1\n_rlnKind #2\n" + "\n".join(rows) + "\n"
    (stack / "run.star").write_text(text)
    assert words(stack / "run.star", label_column="rlnKind") == ["", "", "y"]


def test_an_array_has_a_label_for_each_image(stack: Path) -> None:
    np.save(stack / "kinds.npy", np.array(KINDS))
    assert words(stack / "some.mrcs", labels=str(stack / "kinds.npy")) == KINDS
    np.save(stack / "kinds.npy", np.arange(5))
    with pytest.raises(UserError, match=r"kinds.npy has int64 of shape \(5,\); give 6 labels"):
        words(stack / "some.mrcs", labels=str(stack / "kinds.npy"))
    np.save(stack / "kinds.npy", np.zeros((6, 0)))
    with pytest.raises(UserError, match="no image has a label in"):
        words(stack / "some.mrcs", labels=str(stack / "kinds.npy"))
    np.save(stack / "kinds.npy", np.zeros((2**40, 0)))  # a list of that many would fill the memory
    with pytest.raises(UserError, match="give 6 labels"):
        words(stack / "some.mrcs", labels=str(stack / "kinds.npy"))
    np.save(stack / "kinds.npy", np.array([{}] * 6), allow_pickle=True)
    with pytest.raises(UserError, match="no image has a label in"):
        words(stack / "some.mrcs", labels=str(stack / "kinds.npy"))


def test_a_pack_keeps_labels_of_its_table(large: Path) -> None:
    source, boxes = str(large / "images"), str(large / "boxes.csv")
    given = ("--boxes", boxes, "--label-column", "kind", "--out", str(large / "pack"))
    main(["pack", source, *given])
    assert sorted(words(large / "pack")) == ["", "a", "a", "a", "b"]


def test_a_column_needs_a_table(large: Path) -> None:
    with pytest.raises(UserError, match="label_column kind is a column of labels, of boxes"):
        words(large / "images", label_column="kind")
