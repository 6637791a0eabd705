"""Folders and lists: every file is read, or is counted with its reason."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.base.names import as_path, as_setting, as_text, decoded, path_of
from mcevae.images.readers.frames import Fault
from mcevae.images.reckoning import reckon
from mcevae.images.sources.listing import MOST_BEHIND, files_of
from mcevae.images.sources.registry import open_source
from tests.images.reading import read

BYTES = pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux only")


def draw(*paths: Path | bytes) -> None:
    """Write a picture to each path; folders are made."""
    for number, path in enumerate(paths):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            Image.fromarray(np.full((20, 20), number, np.uint8)).save(file, "png")


def names(folder: Path, *, links: bool = False) -> list[str]:
    return [p.relative_to(folder).as_posix() for p in files_of(folder, links=links).paths]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two pictures, files of other kinds, hidden ones, a linked folder and circles."""
    root = tmp_path / "root"
    draw(root / "a/1.png", root / "b/2.png", root / "a/.3.png", tmp_path / "far/deep/4.png")
    draw(tmp_path / "far/5.png")
    for name in ("x.xyz", "y.XYZ", "notes.md", "README", "table.csv"):
        (root / name).write_text("1")
    (root / "far").symlink_to(tmp_path / "far")
    (root / "a/far").symlink_to("../../far/deep")
    (root / "b/up").symlink_to("..")
    (root / "b/gone.png").symlink_to("nowhere.png")
    (root / "c.png").symlink_to("a/1.png")
    return root


def test_what_is_passed_over_is_counted_by_reason_and_ending(mixed: Path) -> None:
    assert names(mixed) == ["a/1.png", "b/2.png"]
    source = open_source(str(mixed))
    loaded = source.load()
    assert source.in_words(loaded.faults) == (
        f"{mixed}: read 2 of 14 files: 5 of kinds that are not read (.xyz 2, .csv 1, .md 1, no "
        "ending 1), 6 behind a link, 1 hidden."
    )
    listed = {fault.name: fault.reason for fault in loaded.faults}
    assert len(listed) == 12 and "kind" in listed["y.XYZ"]
    assert "--links" in listed["far/deep/4.png"] and "not there" in listed["b/gone.png"]


def test_links_are_followed_once_and_not_in_circles(mixed: Path) -> None:
    assert names(mixed, links=True) == [
        *("a/1.png", "a/far/4.png", "b/2.png", "c.png"),
        "far/5.png",
    ]
    source = open_source(str(mixed), DataConfig(source=str(mixed), links=True))
    passed = {fault.name: fault.reason for fault in source.passed if fault.passed == "link"}
    assert sorted(passed) == ["b/gone.png", "b/up", "far/deep"]
    assert "read already" in passed["b/up"]


def test_a_link_to_all_there_is_is_not_searched(tmp_path: Path) -> None:
    draw(tmp_path / "root/1.png")
    (tmp_path / "root/all").symlink_to("/")
    listing = files_of(tmp_path / "root")
    assert [fault.name for fault in listing.passed] == ["all"]
    assert MOST_BEHIND < 10**6  # so a link to another disk is not searched for long


def test_a_folder_of_links_says_how_to_read_it(tmp_path: Path) -> None:
    draw(tmp_path / "far/1.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/1.png").symlink_to("../far/1.png")
    with pytest.raises(UserError, match="but 1 behind a link; add links"):
        files_of(tmp_path / "root")
    assert names(tmp_path / "root", links=True) == ["1.png"]


def test_nothing_is_said_where_all_is_read() -> None:
    assert reckon(3, []) == ""
    frame = Fault("stack.tif#2", "is empty")
    assert reckon(1, [frame]) == "" and "0 of 1 files" in reckon(1, [Fault("a.png", "is empty")])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf0.png\r\n1.png\r\n",
        "0.png\r\n1.png".encode("utf-16"),
        "0.png\n1.png\n".encode("utf-16-be"),
        "0.png\r\n1.png\r\n".encode("utf-16-le"),
        "0.png\n1.png".encode("utf-32"),
        b"\"0.png\"\n'1.png'\n",
        b".\\0.png\r\n..\\%s\\1.png\r\n",
        b"# of today\n\n  0.png  \r1.png\r#2.png\n",
    ],
    ids=["mark", "utf16", "big-endian", "unmarked", "utf32", "quotes", "backslashes", "comments"],
)
def test_lists_as_other_programs_write_them(content: bytes, tmp_path: Path) -> None:
    draw(*(tmp_path / f"{i}.png" for i in range(3)))
    content = content.replace(b"%s", tmp_path.name.encode())
    (tmp_path / "list.txt").write_bytes(content)
    images, faults = read(tmp_path / "list.txt", DataConfig())
    assert not faults and images.names is not None
    assert [Path(name).name for name in images.names.tolist()] == ["0.png", "1.png"]


@BYTES
def test_what_is_there_goes_before_what_a_line_may_mean(tmp_path: Path) -> None:
    odd = ["#1.png", '"2".png', "a\\b.png"]
    draw(*(tmp_path / name for name in odd), os.fsencode(tmp_path) + b"/\xe4.png")
    draw(tmp_path / "ö.png")
    lines = [*(name.encode() for name in odd), b"\xe4.png", b"\xf6.png"]  # the last one as cp1252
    (tmp_path / "list.txt").write_bytes(b"\n".join(lines))
    images, faults = read(tmp_path / "list.txt", DataConfig())
    assert not faults and images.names is not None
    assert images.names.tolist() == [*odd, "\\xe4.png", "ö.png"]


@pytest.mark.parametrize(
    "name", [b"plain.png", "ä.png".encode(), b"\xe4.png", b"\\xe4.png", b"a\\x5c\xff\\xZZ", b"\\"]
)
def test_names_come_back_from_text(name: bytes) -> None:
    path = os.fsdecode(name)
    text = as_text(path)
    assert text.encode() and os.fsencode(as_path(text)) == name
    assert as_setting(as_setting(path)) == as_setting(path)


def test_texts_that_break_off_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfea\0b")
    with pytest.raises(UserError, match="is not a readable list"):
        files_of(tmp_path / "list.txt")
    assert decoded(b"") == "" and decoded(b"\xe4") == "\udce4"


@BYTES
def test_a_folder_of_any_bytes_is_a_source(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/Proben_\xe4"
    draw(*(folder + b"/%d\xfc.png" % i for i in range(3)))
    source = open_source(os.fsdecode(folder))
    assert source.name == f"{tmp_path}/Proben_\\xe4"
    again = open_source(source.name)  # as settings.toml has it
    assert path_of(source.name) == again.location and again.files() == source.files()
    images = again.load().train
    assert images.names is not None and images.names[0] == "0\\xfc.png"
    write_text(tmp_path / "names.txt", "\n".join([again.name, *images.names]))
