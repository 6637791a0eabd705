"""Files of a folder that can be a stranger's are read only if they are plain, and not endless."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import (
    Irregular,
    atomic,
    check_regular,
    read_text,
    real_folder,
    write_rows,
    write_text,
)
from mcevae.exporting.hub import read as read_hub
from mcevae.images.labels import labeller
from mcevae.images.readers.reading import Notes
from mcevae.images.sources.listing import files_of
from mcevae.models.config import Config
from mcevae.pages.report import save_png
from mcevae.runs.checkpoint import load
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.infer import write_tables
from mcevae.runs.scores import read_scores
from mcevae.training.log import read_log

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes or devices")


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_file(path: Path) -> None:
    secret = path.with_name("secret")
    secret.write_text('{"secret": 1}')
    path.symlink_to(secret)


def hollow(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


KINDS: dict[str, Callable[[Path], None]] = {
    "link to a device": link_to_device,
    "link to a file": link_to_file,
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "sparse": hollow,
}
READERS: dict[str, Callable[[Path], object]] = {
    "best.safetensors": load,
    "settings.toml": Config.read,
    "groups.json": lambda path: Collections.kept(path.parent),
    "calibration.json": lambda path: Calibration.read(path.parent),
    "metrics.json": lambda path: read_scores(path.parent),
    "metrics.jsonl": lambda path: read_log(path.parent),
    "config.json": lambda path: read_hub(path.parent),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_files_of_a_run_are_plain_files(name: str, kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / name)
    with pytest.raises(UserError, match=r"link|regular file|bytes") as told:
        READERS[name](tmp_path / name)
    assert "secret" not in str(told.value) and name in str(told.value)


def labels_in(table: Path, name: str) -> str:
    """The label that a table gives an image."""
    return labeller(DataConfig(labels=str(table)), [name], Notes())(name)


def test_a_person_may_name_a_link_but_nothing_endless(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("\ufefffile,label\na.png,cat\n", "utf-8")
    (tmp_path / "link.csv").symlink_to(tmp_path / "labels.csv")
    assert labels_in(tmp_path / "link.csv", "a.png") == "cat"
    for name in ("/dev/zero", "/dev/fd/0", str(tmp_path)):
        with pytest.raises(UserError, match="table of labels"):
            labels_in(Path(name), "a.png")
    (tmp_path / "list.txt").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is not a regular file"):
        files_of(tmp_path / "list.txt")


def test_sizes_are_limits(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("12345")
    assert read_text(tmp_path / "a", 5) == "12345"
    with pytest.raises(Irregular, match="has 5 bytes, more than 4"):
        read_text(tmp_path / "a", 4)
    with pytest.raises(FileNotFoundError):
        check_regular(tmp_path / "none")
    if Path("/proc/kallsyms").exists():  # without a size
        with pytest.raises(Irregular, match="more than 10 bytes"):
            read_text(Path("/proc/self/maps"), 10)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    run.mkdir()
    (outside / "kept").write_text("old")
    for name in ("groups.json", f".groups.json.{os.getpid()}.tmp"):
        (run / name).symlink_to(outside / "kept")
    write_text(run / "groups.json", "new")
    assert (outside / "kept").read_text() == "old" and read_text(run / "groups.json") == "new"
    (run / "figures").symlink_to(outside)
    from matplotlib.figure import Figure

    with pytest.raises(UserError, match="is a link or no folder"):
        save_png(Figure(), run / "figures" / "curves.png")
    assert [path.name for path in outside.iterdir()] == ["kept"]
    (run / "file").write_text("")
    with pytest.raises(UserError, match="is a link or no folder"):
        real_folder(run / "file")
    (run / "last.safetensors").mkdir()
    with pytest.raises(UserError, match="cannot be written"), atomic(run / "last.safetensors") as t:
        t.write_text("")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|x", "'+cmd|x"),
        ("-2+3", "'-2+3"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("'=1", "''=1"),
        ("-2.5e-3", "-2.5e-3"),
        ("+7", "+7"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_text_of_tables_is_no_formula(text: str, cell: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ("file", "label"), [(text, "cat")])
    rows = list(csv.reader((tmp_path / "a.csv").read_text().splitlines()))
    assert rows == [["file", "label"], [cell, "cat"]]
    assert cell.removeprefix("'") == text or cell == text
    if text:
        assert labels_in(tmp_path / "a.csv", text) == "cat"  # our own tables can be read
    table = pa.table({"file": [text, None], "z": [-1.0, 2.0]})
    write_tables([table], tmp_path / "b.csv")
    assert pyarrow.csv.read_csv(tmp_path / "b.csv")["z"].to_pylist() == [-1, 2]
    assert next(csv.DictReader((tmp_path / "b.csv").read_text().splitlines()))["file"] == cell
    write_tables([table], tmp_path / "b.parquet")
    assert parquet.read_table(tmp_path / "b.parquet")["file"][0].as_py() == text
