"""The report: the gallery's numbers are the run's, pictures are where the page looks for them."""

import base64
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from mcevae.images.splits import Splits
from mcevae.pages.gallery import Gallery, collections_of, findings, hang
from mcevae.pages.report import embedded, write_report
from mcevae.pages.sheets import COLUMNS, ROWS, packed, sheets_of, strips, thumbnails
from mcevae.runs.checkpoint import load_model
from mcevae.runs.collections import Collections
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import SHOWN, Score
from mcevae.teaching.layout import plane


def test_the_gallery_has_the_numbers_of_the_run(
    gallery: Gallery, trained: Path, small_data: Splits
) -> None:
    model, _, _ = load_model(trained)
    assert len(gallery) == gallery.total == 600
    assert np.bincount(gallery.split).tolist() == [400, 100, 100]
    found = embed(model, small_data.test.images.pixels)
    test = gallery.split == 2
    assert (gallery.cluster[test] == found.cluster.numpy()).all()
    degrees = model.group.to_parameters(found.element)[:, 0] * 180 / np.pi
    assert np.allclose(gallery.pose[test, 0], degrees, atol=1e-3)
    assert [one.unit for one in gallery.coordinates] == ["deg", "px", "px"]
    assert [one.half_width for one in gallery.coordinates] == pytest.approx([90, 7, 7])


def test_a_gallery_of_fewer_images_takes_them_evenly(
    opened: TrainedRun, small_data: Splits
) -> None:
    few = hang(opened, small_data, most=60)
    assert len(few) == 60 and few.total == 600
    assert np.bincount(few.split).tolist() == [40, 10, 10]


def test_groups_hold_every_image_once_and_name_their_surest(
    gallery: Gallery, trained: Path
) -> None:
    model, _, _ = load_model(trained)
    made = collections_of(gallery, Collections.plain(gallery.clusters), model)
    assert sum(one["size"] for one in made["groups"]) == len(gallery)
    for k, one in enumerate(made["groups"]):
        if not one["size"]:
            continue
        assert (gallery.cluster[one["typical"] + one["doubtful"]] == k).all()
        sure = gallery.confidence
        assert sure[one["doubtful"]].max() <= sure[one["typical"]].min() + 1e-3
    assert gallery.outlier[made["outliers"][0]] == gallery.outlier.max()


def test_junk_is_counted_and_shown_after_what_is_kept(gallery: Gallery, trained: Path) -> None:
    model, _, _ = load_model(trained)
    gallery = replace(gallery, names=[f"{i}.png" for i in range(len(gallery))])
    plain = Collections.plain(gallery.clusters)
    before = collections_of(gallery, plain, model)
    k, group = max(enumerate(before["groups"]), key=lambda one: one[1]["size"])
    junk = {*group["doubtful"], *before["outliers"][:2]}
    decided = plain.decisions.judged([f"{i}.png" for i in junk], True)
    after = collections_of(gallery, replace(plain, decisions=decided), model)
    assert sum(one["junked"] for one in after["groups"]) == len(junk)
    assert after["groups"][k]["size"] == group["size"]
    for shown in (
        *(after["groups"][k][name] for name in ("doubtful", "typical")),
        after["outliers"],
    ):
        assert not junk & set(shown)


def test_findings_name_what_is_wrong(gallery: Gallery) -> None:
    good = {"name": "a", "size": 100, "sure": 1.0, "units": ("0",), "made": False}
    even = np.arange(len(gallery)) % gallery.clusters
    gallery = replace(gallery, cluster=even, advice=None)
    none = {"name": "b", "size": 0, "units": ("9",), "made": False}
    said = findings(gallery, [good, good, none])
    assert "1 of 3 groups are empty" in said[0]["text"]
    for kept in ({"units": ("1",)}, {"made": True}):  # its images were moved elsewhere, by hand
        said = findings(gallery, [good, good, none | kept])
        assert not any("empty" in one["text"] for one in said)
    poor = good | {"name": "b", "size": 400, "sure": 0.2}
    said = findings(replace(gallery, trust=None), [good, good, poor])
    assert [one["group"] for one in said if one["text"].startswith("Group b")] == [2]


@pytest.mark.parametrize("advice", [None, "Take --epochs 40."])
def test_clusters_that_collapsed_need_more_training_if_they_had_little(
    gallery: Gallery, advice: str | None
) -> None:
    one = np.ones(len(gallery), int)
    one[:10] = 0
    sizes = {"a": 10, "b": 590, "c": 0, "d": 0}
    plain = {"sure": 1.0, "made": False}
    groups = [
        {"name": name, "size": size, "units": (str(k),), **plain}
        for k, (name, size) in enumerate(sizes.items())
    ]
    said = findings(replace(gallery, cluster=one, advice=advice), groups)
    texts = [finding["text"] for finding in said]
    assert texts[0].startswith("One cluster has 98% of the images.")
    assert ("--epochs" in texts[0]) == (advice is not None)
    assert not any("fewer clusters" in one for one in texts)


def given(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="given">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_the_page_holds_all_images_and_asks_no_one_else(
    trained: Path, opened: TrainedRun, small_data: Splits, gallery: Gallery
) -> None:
    scores = {"accuracy": Score(value=0.5, unit="share", n=100)}
    Collections.plain(gallery.clusters).renamed(0, "</script><b>x").write(trained)
    path = write_report(opened, small_data, scores)
    (trained / "groups.json").unlink()
    page = path.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#|[\w.]+")[^"]*"', page)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert f"<td>{SHOWN['accuracy']}</td>" in page  # the names of metrics.json are folded away
    content = given(page)
    assert content["groups"]["groups"][0]["name"] == "</script><b>x"
    images = content["images"]
    assert images["count"] == len(gallery)
    raw = np.frombuffer(base64.b64decode(images["pose"][0]["data"]), "<f4")
    assert np.array_equal(raw, gallery.pose[:, 0])
    assert set(content["groups"]["outliers"]) <= set(content["strips"]["ids"])
    rows = parquet.read_table(trained / "images.parquet")
    assert rows.num_rows == len(gallery)
    assert rows["group"].to_pylist() == [
        "</script><b>x" if k == 0 else str(k) for k in gallery.cluster
    ]


def test_pictures_lie_on_sheets_where_the_page_looks_for_them() -> None:
    pictures = torch.randint(0, 256, (COLUMNS * ROWS + 50, 1, 8, 6)).byte()
    sheets = sheets_of(pictures, quality=100)
    assert len(sheets.files) == 2
    sheet = np.asarray(Image.open(BytesIO(sheets.files[1])).convert("L"))
    at = 45  # the sixth of the second row
    cell = sheet[8:16, 5 * 6 : 6 * 6]
    assert np.array_equal(cell, pictures[COLUMNS * ROWS + at, 0].numpy())


def test_sheets_of_large_pictures_are_no_larger_than_webp_can_be() -> None:
    pictures = torch.randint(0, 256, (30, 1, 3, 1000)).byte()
    told = sheets_of(pictures, quality=100).to_dict()
    assert (told["columns"], told["each"]) == (16, 16 * ROWS)
    (file,) = sheets_of(pictures, quality=100).files
    sheet = np.asarray(Image.open(BytesIO(file)).convert("L"))
    assert np.array_equal(sheet[3:6, 1000:2000], pictures[17, 0].numpy())


@pytest.mark.parametrize(("count", "longest"), [(3, 50), (6200, 25)])
def test_thumbnails_are_small_and_keep_brightness(count: int, longest: int) -> None:
    """Those of few images are sharp; a page with many holds coarse ones."""
    small = thumbnails(torch.full((1, 3, 100, 70), 200).byte().expand(count, -1, -1, -1))
    assert max(small.shape[-2:]) == longest and (small == 200).all()


def test_a_residual_is_grey_where_image_and_drawing_agree() -> None:
    x = torch.rand(2, 1, 5, 5)
    strip = strips(x, x, x)
    assert strip.shape == (2, 1, 5, 20) and (strip[..., 15:] == 128).all()


def test_script_content_cannot_end_its_element() -> None:
    assert "</" not in embedded(["</script>"]) and json.loads(embedded(["</b>"])) == ["</b>"]


def test_packed_numbers_are_little_endian() -> None:
    assert base64.b64decode(packed(np.array([1, 256], ">u2"))["data"]) == b"\x01\x00\x00\x01"


def test_the_map_keeps_groups_apart_and_is_the_same_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mcevae.teaching.layout.FITTED", 120)
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(3, 20) * 9
    kind = torch.arange(240) % 3
    points = centres[kind] + torch.randn(240, 20, generator=generator)
    where = plane(points)
    assert where.min() == 0 and where.max() == 1
    assert np.array_equal(where, plane(points))
    middles = np.stack([where[kind == k].mean(0) for k in range(3)])
    nearest = ((where[:, None] - middles) ** 2).sum(-1).argmin(1)
    assert (nearest == kind.numpy()).mean() > 0.98
    assert plane(points[:5]).shape == (5, 2)
