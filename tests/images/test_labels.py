"""Labels of any kind, and tables of labels of any form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.names import as_path
from mcevae.images import packing
from mcevae.images.arrays import MISSING, Images
from mcevae.images.labels import words_of
from mcevae.images.loading import load
from mcevae.images.packing import write_pack
from mcevae.images.sources.registry import open_source
from mcevae.pages.gallery import UNLABELLED, known_labels, likeliest
from mcevae.runs.metrics import agreement

FILES = ("a/0.png", "a/1.png", "b/0.png", "b/2.png", "b/3.x.png", "c_\\xe4/4.png")
KINDS = ("cat", "dog", "dog", "eel", "cat", "eel")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in FILES:
        path = tmp_path / "pictures" / as_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (20, 20), np.uint8)).save(path)
    return tmp_path / "pictures"


def words(images: Images) -> list[str]:
    """The label of each image as a word, "" for none."""
    assert images.labels is not None and images.label_names is not None
    return [images.label_names[i] if i != MISSING else "" for i in images.labels.tolist()]


def given(pictures: Path, content: bytes | str, **settings: Any) -> tuple[list[str], list[str]]:
    """The labels that a table gives the pictures, and what is said of them."""
    table = pictures.parent / "labels.tab"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    source = open_source(
        str(pictures), DataConfig(source=str(pictures), labels=str(table), **settings)
    )
    return words(source.load().train), [note for note in source.notes if "labels.tab" in note]


def rows(form: str, header: str = "file,label") -> str:
    pairs = zip(FILES, KINDS, strict=True)
    return f"{header}\n" + "".join(form.format(f=f, k=k) + "\n" for f, k in pairs)


@pytest.mark.parametrize(
    "content",
    [
        rows("{f},{k}"),
        b"\xef\xbb\xbf" + rows("{f};{k}", "Datei;Art").replace("\n", "\r\n").encode(),
        rows("{f}\t{k}", "path\tclass").encode("utf-16"),
        "sep=;\r\n" + rows("{f};{k}", "x;y"),
        rows("7,{f},{k},no", ",image_path,label,comment"),
        rows('"./{f}" , {k}', "name,kind").replace('" ,', '",'),
        rows("somewhere/else/{f},{k}"),
        rows("C:/data/{f};{k}", "file;label")
        .replace("\\xe4", "ä")
        .replace("/", "\\")
        .encode("cp1252"),
        rows("{f},{k}").replace(".png", ""),
        rows("{f},{k}").partition("\n")[2],
        rows("{f};1,5 {k}", "file;label").replace("1,5 ", ""),
        rows("{f},{k}").replace("\\xe4", "ä").encode("latin-1"),
    ],
    ids=[
        *("plain", "semicolons", "utf16", "excel", "index", "quoted", "elsewhere", "windows"),
        *("unended", "headless", "decimal commas", "bytes of names"),
    ],
)
def test_tables_of_any_form_give_the_same_labels(content: bytes | str, pictures: Path) -> None:
    found, _ = given(pictures, content)
    assert tuple(found) == KINDS


def test_absolute_paths_and_a_file_column_are_found(pictures: Path) -> None:
    content = rows(f"{{f}},{pictures}/{{f}},x,{{k}}", "id,where,label,art")
    found, notes = given(pictures, content, label_column="Art")
    assert tuple(found) == KINDS and "columns" not in notes
    found, notes = given(pictures, content, file_column="where")
    assert found == ["x"] * 6 and len(notes) == 1 and "column where" in notes[0]


def test_names_alone_are_enough_if_no_two_folders_share_them(pictures: Path) -> None:
    found, notes = given(pictures, "file,label\n0,cat\n1.png,dog\n2,eel\n3.x,cat\n4.png,eel\n")
    assert found == ["", "dog", "", "eel", "cat", "eel"]
    assert len(notes) == 1 and "no label to 2 of 6 images (a/0.png and 1 others)" in notes[0]


def test_missing_and_contrary_labels_are_left_out(pictures: Path) -> None:
    content = rows("{f},{k}").replace("eel", "NaN") + "a/0.png,dog\na/1.png\nb/0.png,dog\n"
    found, notes = given(pictures, content)
    assert found == ["", "", "dog", "", "cat", ""] and "no label to 4 of 6" in notes[0]


@pytest.mark.parametrize(
    ("content", "settings", "said"),
    [
        ("file,label\nx.png,1\n", {}, "no column has names of the images, such as a/0.png"),
        ("file\na/0.png\n", {}, "has no two columns"),
        (rows("{f},1,{k}", "file,u,v"), {}, "choose one of file, u, v with label_column"),
        (rows("{f},{k}"), {"label_column": "art"}, "has no column art; its columns are file, la"),
        (rows("{f},{k}", "a,A"), {"file_column": "b"}, "has no column b"),
        (rows("{f},"), {}, "no image has a label in"),
        (b"\xff\xfea", {}, "cannot be read as a table"),
        ("", {}, "has no two columns"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(
    content: Any, settings: dict[str, str], said: str, pictures: Path
) -> None:
    with pytest.raises(UserError, match=said):
        given(pictures, content, **settings)


@pytest.mark.parametrize("buckets", [1, 20])
def test_a_pack_takes_the_same_labels(
    buckets: int, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "bucket_count", lambda source: buckets)  # some stay empty
    table = tmp_path / "labels.csv"
    table.write_text(rows("{f};{k}", "x;y").replace("cat", ""))
    source = open_source(str(pictures), DataConfig(source=str(pictures), labels=str(table)))
    pack = write_pack(source, tmp_path / "pack")
    images = pack.rows(0, pack.count)
    assert images.names is not None
    of = dict(zip(images.names.tolist(), words(images), strict=True))
    assert [of[name] for name in FILES] == [kind.replace("cat", "") for kind in KINDS]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.array(["cat", "", "nan"]), ["cat", "", ""]),
        (np.array([b"cat", b"\xff", b""]), ["cat", "\\xff", ""]),
        (np.array([1.0, np.nan, 2.5]), ["1", "", "2.5"]),
        (np.array([True, False, True]), ["True", "False", "True"]),
        (np.array([[-1], [7], [10**9]]), ["-1", "7", "1000000000"]),
        (np.eye(3)[[2, 0, 1]], ["2", "0", "1"]),
        (np.array([[1, 1], [0, 0], [0, 1]]), ["1 1", "0 0", "0 1"]),
        (np.array(["2020-01-01", "NaT", "2021"], "M8[D]"), ["2020-01-01", "", "2021-01-01"]),
        (np.array([1 + 2j, 0, 1]), ["(1+2j)", "0j", "(1+0j)"]),
        (np.array([(1, 2.0), (3, 4.0), (1, 2.0)], "i4,f4"), ["(1, 2.0)", "(3, 4.0)", "(1, 2.0)"]),
        (np.zeros((3, 0)), ["", "", ""]),
    ],
)
def test_labels_of_any_kind_are_words(labels: np.ndarray, found: list[str], tmp_path: Path) -> None:
    assert words_of(labels) == found
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (3, 20, 20), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    np.savez(tmp_path / "two.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    one, two = load(str(tmp_path / "own.npz")), load(str(tmp_path / "two.npz"))
    assert two.test is not None
    for part in (one.train, two.train, two.test):
        assert part.labels is None if not any(found) else words(part) == found


def test_labels_that_cannot_be_read_are_left_out_and_this_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "own.npz")
    images = np.random.default_rng(0).integers(0, 255, (3, 20, 20), np.uint8)
    np.savez(path, images=images, labels=np.array([None, "cat", 3], object))
    source = open_source(path)
    assert source.load().train.labels is None
    assert any("labels" in note and "Python objects" in note for note in source.notes)


def test_scores_and_pages_leave_out_what_has_no_label() -> None:
    labels = np.array([MISSING, 0, 0, 1, MISSING])
    scores = agreement(np.array([1, 0, 0, 1, 0]), labels)
    assert scores["accuracy"].value == 1 and scores["nmi"].n == 3
    pixels = torch.zeros(5, 1, 16, 16, dtype=torch.uint8)
    images = Images(
        name="x", pixels=pixels, labels=torch.from_numpy(labels), label_names=("cat", "dog")
    )
    names, of = known_labels([images], np.arange(5))
    assert names == ("cat", "dog", UNLABELLED) and of is not None and of.tolist() == [2, 0, 0, 1, 2]
    assert likeliest(of, names) == {"label": "cat", "label_share": 2 / 3}
    assert likeliest(of[[0, 4]], names) == {}
