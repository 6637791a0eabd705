"""Crops from large images: tables of boxes of any form, borders, and what cannot be cut."""

from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
import tifffile
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import SettingError, UserError
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.sources.contract import Share
from mcevae.images.sources.crops import CropSource
from mcevae.images.sources.registry import open_source
from mcevae.predicting.shards import Shard
from tests.images.reading import look, read

RNG = np.random.default_rng(0)
LARGE = {
    "a/one.mrc": RNG.normal(size=(90, 120)).astype(np.float32),
    "a/two.tif": RNG.integers(0, 4000, (80, 70), dtype=np.uint16),
    "b/three.png": RNG.integers(0, 256, (60, 100, 3), dtype=np.uint8),
}
BOXES = [
    ("a/one.mrc", 10, 20, 24, 24),
    ("a/two.tif", 0, 0, 24, 24),
    ("b/three.png", 70, 30, 24, 24),
    ("a/one.mrc", 96, 66, 24, 24),
]
"""File, x, y, width and height; all are inside."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Large images that the libraries of their fields wrote."""
    made = tmp_path / "images"
    for name in LARGE:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(made / "a/one.mrc") as file:
        file.set_data(LARGE["a/one.mrc"])
    tifffile.imwrite(made / "a/two.tif", LARGE["a/two.tif"])
    Image.fromarray(LARGE["b/three.png"]).save(made / "b/three.png")
    return made


def opened(folder: Path, table: Path, **settings: object) -> CropSource:
    source = open_source(str(folder), DataConfig(boxes=str(table), **settings))  # pyright: ignore[reportArgumentType]
    assert isinstance(source, CropSource)
    return source


def pixels_in(box: tuple[str, int, int, int, int]) -> np.ndarray:
    name, x, y, width, height = box
    return LARGE[name][y : y + height, x : x + width]


def held(source: CropSource, boxes: list[tuple[str, int, int, int, int]]) -> None:
    """Hold that a source has just these crops, in this order."""
    frames = [source.frame(row) for row in range(source.total())]
    assert [one.name for one in frames] == [f"{b[0]}#{b[1]},{b[2]},{b[3]},{b[4]}" for b in boxes]
    for frame, box in zip(frames, boxes, strict=True):
        assert isinstance(frame, Frame), frame
        np.testing.assert_array_equal(frame.pixels, pixels_in(box))


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


CORNERS = pd.DataFrame(BOXES, columns=["file", "x", "y", "width", "height"])
CENTRES = CORNERS.assign(x=CORNERS.x + 12, y=CORNERS.y + 12)
FORMS = {
    "comma": (CORNERS, {}, ","),
    "tab": (CORNERS, {}, "\t"),
    "semicolon": (CORNERS, {}, ";"),
    "points": (CENTRES[["file", "x", "y"]], {"box_size": 24}, ","),
    "points of topaz": (
        CENTRES.assign(file=[Path(name).stem for name in CENTRES.file], score=0.5)[
            ["file", "x", "y", "score"]
        ].rename(columns={"file": "image_name", "x": "x_coord", "y": "y_coord"}),
        {"box_size": 24},
        "\t",
    ),
    "size": (CORNERS.assign(size=24)[["x", "size", "file", "y"]], {}, ","),
    "centres with size": (CENTRES.assign(size=24), {"box_at": "centre"}, ","),
    "ends": (
        pd.DataFrame(
            {
                "filename": [name.replace("/", "\\") for name in CORNERS.file],
                "class": "cell",
                "xmin": CORNERS.x,
                "ymin": CORNERS.y,
                "xmax": CORNERS.x + 24.0,
                "ymax": CORNERS.y + 24.0,
            }
        ),
        {},
        ",",
    ),
    "one size for all": (
        CORNERS.assign(x=CORNERS.x + 6, y=CORNERS.y + 4, width=12, height=16),
        {"box_size": 24},
        ",",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_tables_of_any_form_name_the_same_crops(form: str, folder: Path, tmp_path: Path) -> None:
    rows, settings, separator = FORMS[form]
    rows.to_csv(tmp_path / "boxes.csv", sep=separator, index=False)
    held(opened(folder, tmp_path / "boxes.csv", **settings), BOXES)


@pytest.mark.parametrize("optics", [False, True])
def test_coordinates_of_relion(folder: Path, tmp_path: Path, optics: bool) -> None:
    rows = pd.DataFrame(
        {
            "rlnMicrographName": [f"MotionCorr/job002/{name}" for name in CENTRES.file],
            "rlnCoordinateX": CENTRES.x + 0.0,
            "rlnCoordinateY": CENTRES.y + 0.0,
        }
    )
    groups = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.5]})
    blocks = {"optics": groups, "particles": rows} if optics else {"": rows}
    starfile.write(blocks, tmp_path / "picked.star")
    held(opened(folder, tmp_path / "picked.star", box_size=24), BOXES)


@pytest.mark.parametrize("name", ["one.box", "one_manualpick.box"])
def test_a_folder_of_files_of_eman(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "boxes").mkdir()
    table(tmp_path / "boxes" / name, "10\t20\t24\t24\n96 66  24 24 -3\n")
    table(tmp_path / "boxes" / "two.box", "0 0 24 24\n")
    source = opened(folder, tmp_path / "boxes")
    held(source, [BOXES[0], BOXES[3], BOXES[1]])
    assert [(one.name, one.reason) for one in source.passed] == [("b/three.png", "has no box")]
    faults = list(source.passed)
    assert source.in_words(faults).endswith("read 4 of 5 files: 1 without a box or label image.")


def test_one_image_needs_no_names(folder: Path, tmp_path: Path) -> None:
    boxes = table(tmp_path / "boxes.txt", "x y width height\n10 20 24 24\n96 66 24 24\n")
    source = opened(folder / "a/one.mrc", boxes)
    frames = [source.frame(row) for row in range(2)]
    assert [one.name for one in frames] == ["one.mrc#10,20,24,24", "one.mrc#96,66,24,24"]
    for frame, box in zip(frames, (BOXES[0], BOXES[3]), strict=True):
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.pixels, pixels_in(box))


def test_images_of_stacks_are_named_by_their_number(tmp_path: Path) -> None:
    stack = RNG.integers(0, 255, (5, 60, 50), dtype=np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    by_column = table(tmp_path / "a.csv", "x,y,size,frame\n3,4,20,4\n5,6,20,1\n")
    by_name = table(tmp_path / "b.csv", "file,x,y,size\nstack.npy#4,3,4,20\n2@stack.npy,5,6,20\n")
    for boxes in (by_column, by_name):
        source = opened(tmp_path / "stack.npy", boxes)
        frames = [source.frame(row) for row in range(2)]
        assert [one.name for one in frames] == ["stack.npy#4#3,4,20,20", "stack.npy#1#5,6,20,20"]
        for frame, (number, x, y) in zip(frames, ((4, 3, 4), (1, 5, 6)), strict=True):
            assert isinstance(frame, Frame)
            np.testing.assert_array_equal(frame.pixels, stack[number, y : y + 20, x : x + 20])
    bare = table(tmp_path / "c.csv", "x,y,size\n3,4,20\n")
    with pytest.raises(UserError, match=r"c.csv#0 is in stack.npy, which has several images"):
        read(tmp_path / "stack.npy", DataConfig(boxes=str(bare)))


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("colours", [False, True])
def test_crops_beyond_the_border_get_the_background(
    tmp_path: Path, kind: str, colours: bool
) -> None:
    shape = (40, 50, 3) if colours else (40, 50)
    level = {"bool": 1, "uint8": 200, "float32": 0.75, "float64": 0.75}.get(kind, 20_000)
    large = np.full(shape, level, kind)
    np.save(tmp_path / "large.npy", large)
    boxes = table(tmp_path / "boxes.csv", "x,y,size\n-8,-4,20\n38,30,20\n20,10,20\n")
    settings = DataConfig(boxes=str(boxes), background=0.25, normalise="none", flatten="no")
    images, faults = read(tmp_path / "large.npy", settings)
    assert not faults
    inside = np.zeros((3, 20, 20), bool)
    inside[0, 4:, 8:] = inside[1, :10, :12] = inside[2] = True
    top = {"bool": 1, "float32": 1, "float64": 1}.get(kind) or np.iinfo(kind).max
    wanted = np.where(inside, round(255 * level / top), round(255 * 0.25))
    np.testing.assert_array_equal(images.pixels[:, 0].numpy(), wanted)
    said = open_source(str(tmp_path / "large.npy"), settings)
    said.load()
    assert said.notes == [
        "large.npy has crops that reach beyond its border, where the background is put."
    ]


def test_ranges_do_not_change_at_the_border(tmp_path: Path) -> None:
    """What lies outside does not count where intensities are stretched."""
    large = RNG.integers(1000, 1100, (40, 50), dtype=np.uint16)
    np.save(tmp_path / "large.npy", large)
    inside = table(tmp_path / "a.csv", "x,y,size\n0,0,20\n10,5,20\n")
    beyond = table(tmp_path / "b.csv", "x,y,size\n-8,-4,20\n38,30,20\n0,0,20\n")
    ends = [
        look(tmp_path / "large.npy", DataConfig(boxes=str(one))).recipe.levels or (0.0, 0.0)
        for one in (inside, beyond)
    ]
    np.testing.assert_allclose(ends[0], ends[1], rtol=0.01)
    assert min(ends[0]) > 0.01


def test_every_row_that_cannot_be_cut_is_named(folder: Path, tmp_path: Path) -> None:
    boxes = table(
        tmp_path / "boxes.csv",
        "file,x,y,width,height\n"
        "a/one.mrc,10,20,24,24\n"
        "a/none.mrc,10,20,24,24\n"  # 1
        "a/one.mrc,ten,20,24,24\n"  # 2
        "a/one.mrc,200,20,24,24\n"  # 3
        "a/one.mrc,10,20\n"  # 4
        "a/one.mrc,10,20,0,24\n"  # 5
        "a/one.mrc,10,20,2,2\n"  # 6: cut, but too small
        ",10,20,24,24\n"  # 7
        "a/one.mrc,nan,20,24,24\n"  # 8
        "b/broken.png,0,0,24,24\n"  # 9
        "a/two.tif,0,0,24,24\n",
    )
    (folder / "b/broken.png").write_bytes((folder / "b/three.png").read_bytes()[:200])
    images, faults = read(folder, DataConfig(boxes=str(boxes), normalise="image"))
    assert images.names is not None
    assert images.names.tolist() == ["a/one.mrc#10,20,24,24", "a/two.tif#0,0,24,24"]
    told = {one.name: one.reason for one in faults if not one.passed}
    small = told.pop("a/one.mrc#10,20,2,2")
    assert small == "is 2 x 2 pixels, too small"
    broken = told.pop("boxes.csv#9")
    assert broken.startswith("is in b/broken.png, which cannot be read")
    assert told == {
        "boxes.csv#1": "names a/none.mrc, which is no image of the source",
        "boxes.csv#2": "has 'ten' where a number is needed",
        "boxes.csv#3": "has its middle (212, 32) outside of its image of 120 x 90 pixels",
        "boxes.csv#4": "has '' where a number is needed",
        "boxes.csv#5": "has a box of 0 x 24 pixels; use 1 to 10000",
        "boxes.csv#7": "names no image, and the source has several; add a column file",
        "boxes.csv#8": "has 'nan' where a number is needed",
    }
    with pytest.raises(UserError, match=r"boxes.csv#1 names a/none.mrc"):
        read(folder, DataConfig(boxes=str(boxes), on_error="stop", normalise="image"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,width,height\na/one.mrc,3,4\n", "has no columns x and y; its columns are file, wi"),
        (
            "file,x,y\na/one.mrc,3,4\n",
            "has no columns width and height, or size; give .*size",
        ),
        ("file,x,y,size\na/none.mrc,3,4,5\n", r"names no crop of an image; boxes.csv#0 names a/no"),
        ("file,x,y,size\n", "names no crop of an image"),
        ("", "has no columns x and y"),
    ],
)
def test_tables_without_boxes_are_refused(
    folder: Path, tmp_path: Path, text: str, words: str
) -> None:
    boxes = table(tmp_path / "boxes.csv", text)
    with pytest.raises(UserError, match=rf"boxes.csv: {words}"):
        opened(folder, boxes)


def test_contradictions_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such table of boxes"):
        opened(folder, tmp_path / "none.csv")
    boxes = table(tmp_path / "boxes.csv", "x,y,size\n1,2,3\n")
    with pytest.raises(UserError, match="boxes cuts crops from image files"):
        open_source("mnist-mini", DataConfig(boxes=str(boxes)))
    for settings in ({"boxes": "a", "objects": "b"}, {"box_size": 30}, {"box_at": "centre"}):
        with pytest.raises(SettingError, match="box"):
            DataConfig(**settings)  # pyright: ignore[reportArgumentType]


def test_shards_and_parts_have_every_crop_once(folder: Path, tmp_path: Path) -> None:
    rows = [f"a/one.mrc,{x},{y},24,24" for x in range(0, 96, 5) for y in range(0, 66, 5)]
    boxes = table(tmp_path / "boxes.csv", "\n".join(["file,x,y,width,height", *rows]))
    source = opened(folder, boxes)
    recipe = source.survey.recipe
    whole = [name for part in source.parts(recipe) for name in part.names or []]
    assert len(whole) == len(set(whole)) == len(rows)
    shares: list[Share] = [Shard(i, 3) for i in range(3)]
    parts = [part for share in shares for part in source.parts(recipe, share=share)]
    assert [name for part in parts for name in part.names or []] == whole
    columns = [part.columns for part in parts]
    x = np.concatenate([one["box_x"] for one in columns])
    assert x.tolist() == [int(row.split(",")[1]) for row in rows]
    assert {name for one in columns for name in one["image_file"].tolist()} == {"a/one.mrc"}


def test_labels_of_files_are_labels_of_their_crops(folder: Path, tmp_path: Path) -> None:
    CORNERS.to_csv(tmp_path / "boxes.csv", index=False)
    boxes = str(tmp_path / "boxes.csv")
    images, _ = read(folder, DataConfig(boxes=boxes, labels="folders", normalise="image"))
    assert images.labels is not None
    assert images.label_names == ("a", "b")
    assert images.labels.tolist() == [0, 0, 1, 0]
    assert isinstance(opened(folder, tmp_path / "boxes.csv").frame(0), Frame | Fault)
