"""Two runs side by side: agreement, groups that correspond, and the page."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.pages import compare
from mcevae.pages.crosstable import CrossTable, Pair, cross, crossed, repeated
from mcevae.pages.gallery import Gallery, hang
from mcevae.runs.metrics import matched_accuracy
from mcevae.runs.run import TrainedRun
from tests.pages.test_accessible import LOOKS, sound


def table_of(groups: str, files: list[str] | None = None) -> pa.Table:
    """A table of images whose groups have one letter each."""
    columns = {"id": np.arange(len(groups)), "group": list(groups)}
    confidence = np.linspace(0, 1, len(groups), dtype=np.float32)
    named = {} if files is None else {"file": files}
    return pa.table({**columns, **named, "confidence": confidence})


def made(a: str, b: str) -> CrossTable:
    found = crossed(table_of(a), table_of(b), "id")
    assert found
    return found


def test_agreement_is_that_of_the_best_matching() -> None:
    found = made("aaaaabbbcd", "yyyxxxxxzx")
    # x takes b (3) and y takes a (3), z takes c (1); d is left
    assert found.names == (("a", "b", "c", "d"), ("y", "x", "z"))
    assert found.agreement == pytest.approx(0.7)
    assert found.agreement == matched_accuracy(*found.of)
    assert found.pairs() == [
        Pair(a="a", b="y", both=3, only_a=2, only_b=0),
        Pair(a="b", b="x", both=3, only_a=0, only_b=3),
        Pair(a="c", b="z", both=1, only_a=0, only_b=0),
        Pair(a="d", b=None, both=0, only_a=1, only_b=0),
    ]
    assert found.disagreements() == [(0, 1), (3, 1)]
    assert found.images(0, 1).tolist() == [4, 3]  # the surest first


def test_names_of_groups_do_not_matter_and_their_images_do() -> None:
    same = made("aabbcc", "332211")
    assert same.agreement == 1 and same.nmi == pytest.approx(1) and not same.disagreements()
    one = made("aabb", "xxxx")
    assert one.agreement == 0.5 and one.nmi == 0
    assert one.pairs()[-1] == Pair(a="b", b=None, both=0, only_a=2, only_b=0)


def test_groups_that_share_nothing_are_no_counterparts() -> None:
    found = made("aab", "xxx")
    assert found.matches == {0: 0}
    found = made("aaab", "xxyy")  # b may take y, though a has more of it than of nothing
    assert [(one.a, one.b) for one in found.pairs()] == [("a", "x"), ("b", "y")]


def test_images_are_joined_by_their_files() -> None:
    a = table_of("ppqq", ["1.png", "2.png", "3.png", "4.png"])
    b = table_of("vvu", ["4.png", "3.png", "1.png"])
    found = crossed(a, b, "file")
    assert found and len(found) == 3 and found.agreement == 1
    assert found.ids[0].tolist() == [0, 2, 3] and found.ids[1].tolist() == [2, 1, 0]
    assert crossed(a, table_of("v", ["5.png"]), "file") is None


def test_images_without_names_are_joined_by_number(opened: TrainedRun, gallery: Gallery) -> None:
    assert gallery.names is None
    cluster = gallery.cluster.copy()
    largest = np.bincount(cluster).argmax()
    few = np.flatnonzero(cluster == largest)[:3]
    cluster[few] = (largest + 1) % gallery.clusters
    pair = gallery, replace(gallery, cluster=cluster)
    found, tables = cross((opened, opened), pair)
    assert found.key == "id" and len(tables[1]) == len(found) == len(gallery)
    assert found.agreement == 1 - 3 / len(gallery)
    for change, named in (({"limit": 300}, "limit"), ({"source": "digits"}, "source")):
        data = replace(opened.settings.data, **change)
        other = replace(opened, settings=replace(opened.settings, data=data))
        with pytest.raises(UserError, match=rf"have no names, and the runs differ in {named}"):
            cross((opened, other), pair)


def hung(folder: Path) -> tuple[TrainedRun, Gallery]:
    run = TrainedRun.open(folder)
    return run, hang(run, run.data(), mapped=False)


def test_images_that_were_moved_by_hand_are_in_their_new_group(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """Though the table in the run's folder is older."""
    (a, left), (b, right) = map(hung, (shutil.copytree(two_runs[0], tmp_path / "a"), two_runs[1]))
    assert left.names
    old, _ = cross((a, b), (left, right))
    where = a.collections.assign(left.cluster, left.z, left.names)
    moved = [name for name, of in zip(left.names, where, strict=True) if of == 0]
    unit = a.collections.entries[1].units[0]
    a.collections.said(a.collections.decisions.moved(moved, unit)).write(a.folder)
    a = TrainedRun.open(a.folder)
    new, _ = cross((a, b), (left, right))
    assert {*new.names[0]} == {*old.names[0]} - {"0"}
    assert new.counts.sum() == old.counts.sum() == 200


def test_the_page_shows_both_runs_to_everybody(
    page: Page, two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    main(["compare", *map(str, two_runs), "--out", str(out)])
    text = out.read_text()
    assert "http" not in text and not re.findall(r'(?:src|href)="(?!data:)', text)
    page.goto(out.as_uri())
    sound(page, looks=LOOKS)
    (a, left), (b, right) = map(hung, two_runs)
    found, _ = cross((a, b), (left, right))
    grid = page.get_by_role("region", name="groups of A by groups of B")
    counts = np.array(
        [
            [int(one.replace(",", "")) for one in row.locator("td small").all_text_contents()]
            for row in grid.locator("tbody tr").all()
        ],
        dtype=object,
    )
    assert [sum(row) for row in counts] == found.counts.sum(1).tolist()
    assert grid.locator(".match").count() == len(found.matches)
    assert grid.locator("img").count() == sum(map(len, found.names))
    expect(page.locator(".card").first).to_contain_text(f"{100 * found.agreement:.1f} %")
    runs = page.get_by_role("region", name="the runs")
    for told in ("trust", "source", "preset", "clusters (K)", "minutes of training"):
        expect(runs.get_by_role("rowheader", name=told).first).to_be_visible()
    shared = page.locator(".shared").first.locator("img")
    i, j = found.disagreements()[0]
    first = f"{cross_name(two_runs[0], int(found.ids[0][found.images(i, j)[0]]))}"
    expect(shared.first).to_have_attribute("alt", first)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "the runs"


def cross_name(run: Path, number: int) -> str:
    """The name of an image in the table of a run."""
    return parquet.read_table(run / "images.parquet")["file"][number].as_py()


def test_tables_of_the_page_hold_the_largest_groups(
    page: Page, two_runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "MOST_GROUPS", 2)
    out = tmp_path / "page.html"
    main(["compare", *map(str, two_runs), "--out", str(out)])
    page.goto(out.as_uri())
    grid = page.get_by_role("region", name="groups of A by groups of B")
    assert grid.locator("tbody tr").count() == 2 and grid.locator("thead th").count() == 2
    assert grid.locator("tbody td").count() == 4
    said = page.locator("main").text_content() or ""
    assert "Left out: groups of A: 2, groups of B: 1." in said
    assert "2 more rows are in what the command prints." in said


def test_images_with_the_name_of_another_are_counted() -> None:
    names = pa.table({"file": ["a.png", "b.png", "a.png", "c.png", "a.png"]})
    assert repeated(names, "file") == 2
