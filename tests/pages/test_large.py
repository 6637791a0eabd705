"""Pages and maps of more images than a page holds from the start."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Browser, expect

from mcevae.images.splits import Splits
from mcevae.pages import facts, gallery
from mcevae.pages.explorer import Explorer
from mcevae.runs.run import TrainedRun
from mcevae.teaching import layout
from tests.conftest import decided, served

NEAR = (
    "() => { const [x, y] = place(0); const { clientWidth: w, clientHeight: h } = canvas; "
    "Object.assign(view, { x: x - w / 2, y: y - h / 2, zoom: 100 }); moves(); }"
)
"""Brings the map so near to the first image that images in sight are shown as pictures."""


def test_the_explorer_holds_all_images_and_the_report_says_how_many_it_leaves_out(
    opened: TrainedRun, small_data: Splits
) -> None:
    all_of_them = gallery.hang(opened, small_data, most=None, mapped=False)
    assert len(all_of_them) == all_of_them.total == 600
    assert torch.equal(all_of_them.pixels[:400], small_data.train.images.pixels)
    assert gallery.MOST <= facts.EMBEDDED  # no server has the thumbnails of a file
    few = facts.images_of(gallery.hang(opened, small_data, most=60, mapped=False))
    assert (few["count"], few["total"]) == (60, 600)


def test_thumbnails_of_many_images_are_asked_for_one_by_one(
    client: TestClient, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "files" in client.get("/api/images").json()["thumbs"]
    monkeypatch.setattr(facts, "EMBEDDED", 599)
    thumbs = client.get("/api/images").json()["thumbs"]
    assert "files" not in thumbs and (thumbs["width"], thumbs["height"]) == (28, 28)
    for i in (0, 599):
        content = client.get(thumbs["address"].replace("ID", str(i))).content
        seen = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)
        own = explorer.gallery.pixels[:, 0].numpy().astype(int)
        assert np.abs(own - seen).mean((1, 2)).argmin() == i
    assert client.get("/api/images/600/thumb.webp").status_code == 404


def test_a_page_of_many_images_shows_thumbnails_in_lists_and_on_the_map(
    app: Any, browser: Browser, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "EMBEDDED", 599)
    with served(app) as (host, port):
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://{host}:{port}")
        one = page.locator(".group .thumb").first
        expect(one).to_be_visible()
        id = one.get_attribute("data-id")
        assert f"/api/images/{id}/thumb.webp" in one.evaluate("one => one.style.backgroundImage")
        page.evaluate(NEAR)
        page.wait_for_timeout(300)  # the map rests
        near = page.evaluate(
            "Promise.all(dots.near.map((id) => sheetOf(id).decode().then(() => sheetOf(id).width)))"
        )
        page.close()
    assert near and set(near) == {28} and not errors


def test_the_map_is_drawn_without_thumbnails_that_failed_and_asks_for_them_again(
    app: Any, browser: Browser, errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "EMBEDDED", 599)
    with served(app) as (host, port):
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.clock.install()
        page.route("**/thumb.webp", lambda route: route.abort())
        page.goto(f"http://{host}:{port}")
        expect(page.locator(".group .thumb").first).to_be_visible()
        page.evaluate(NEAR)
        page.clock.run_for(1000)
        asked = "Promise.allSettled([...dots.sheets.values()].map((one) => one.decode()))"
        failed = f"{asked}.then((all) => all.map((one) => one.status === 'rejected'))"
        found = page.evaluate(failed)
        page.evaluate("drawMap()")
        page.clock.run_for(1000)
        assert found and all(found) and not errors
        assert page.evaluate("dots.sheets.size") == len(found)
        page.unroute("**/thumb.webp")
        page.clock.run_for(10_000)
        assert not page.evaluate("dots.sheets.size")
        page.evaluate("drawMap()")
        page.clock.run_for(1000)
        again = page.evaluate(failed)
        assert again and not any(again)
        page.close()
    assert not errors


def test_hundreds_of_thousands_of_images_are_decided_on_at_once(named: Any) -> None:
    images = [i % 600 for i in range(300_000)]
    made = decided(named, images, mark="junk")
    assert made.status_code == 200
    assert sum(one["junked"] for one in made.json()["groups"]) == 600


def test_a_map_made_in_blocks_is_the_map_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    kind = draw.permutation(np.arange(180) % 3)
    middles = 20 * np.eye(3, 6)[kind]
    points = torch.from_numpy(middles + draw.normal(size=(180, 6)))
    monkeypatch.setattr(layout, "FITTED", 60)
    at_once = layout.plane(points)
    fit, transform, blocks = layout.PCA.fit, layout.PCA.transform, []
    monkeypatch.setattr(layout, "COMPARED", 100)
    monkeypatch.setattr(layout.PCA, "fit", lambda pca, _: fit(pca, points.numpy()))  # same axes
    monkeypatch.setattr(
        layout.PCA, "transform", lambda pca, x: blocks.append(len(x)) or transform(pca, x)
    )
    by_blocks = layout.plane(points)
    assert blocks == [100, 80]
    np.testing.assert_allclose(by_blocks, at_once, atol=1e-6)
    middles = np.stack([at_once[kind == k].mean(0) for k in range(3)])
    nearest = np.linalg.norm(at_once[:, None] - middles, axis=2).argmin(1)
    assert (nearest == kind).all()
