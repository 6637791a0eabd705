"""An explorer and its server that tests share, and hands that use its page."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from mcevae.images.splits import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.pages.splitting import split
from mcevae.predicting.kept_sums import originals_of
from mcevae.predicting.sums import sum_up
from mcevae.runs.checkpoint import load_model
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import calibrate
from mcevae.runs.data import prepare_for
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit
from tests.conftest import served
from tests.pages.hand import HANDS, Mouse
from tests.sizes import taught


@dataclass
class Site:
    """An explorer of a run with mirror images, whose images have names.

    Attributes:
        start: groups A, B and C that have images, and two that have none.
        address: of its server.
    """

    explorer: Explorer
    start: Collections
    address: str

    @property
    def kept(self) -> Collections:
        """The groups as they lie on the disk."""
        return Collections.read(self.explorer.run.folder, self.start.clusters)

    def members(self, group: str) -> list[int]:
        """The images of a group, by its name."""
        found, kept = self.explorer.gallery, self.kept
        of = kept.assign(found.cluster, found.z, found.names)
        return np.flatnonzero(of == kept.named(group)).tolist()

    def names(self, images: list[int]) -> tuple[str, ...]:
        """Names of images."""
        return tuple((self.explorer.gallery.names or [])[i] for i in images)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings, folder = taught(mirror=True, limit=240), tmp_path_factory.mktemp("site")
    data = prepare_for(settings)
    validation, test = (one.subset(slice(60)) for one in (data.validation, data.test))
    data = Splits(train=data.train, validation=validation, test=test)
    assert fit(settings, data, folder / "run")
    run = TrainedRun.open(folder / "run")
    model, config, _ = load_model(run.folder)
    run.calibration = calibrate(model, config, data.validation.images.pixels)
    gallery = hang(run, data)
    names = [f"plate{i % 2}/{i:03}.png" for i in range(len(gallery))]
    explorer = Explorer(run=run, gallery=replace(gallery, names=names))
    for _ in range(2):
        largest = max(explorer.groups()["groups"], key=lambda one: one["size"])
        split(explorer, largest["id"])
    filled = [one["id"] for one in explorer.groups()["groups"] if one["size"]]
    for id, name in zip(filled, "ABC", strict=True):
        explorer.change(lambda old, id=id, name=name: old.renamed(old.identified(id), name))
    source, recipe = originals_of(run, data)
    explorer.sums = sum_up(run.model, source, recipe, explorer.collections)
    with served(application(explorer, data, {})) as (host, port):
        yield Site(explorer, explorer.collections, f"http://{host}:{port}")


@pytest.fixture(params=HANDS)
def hand(
    request: pytest.FixtureRequest, browser: Browser, site: Site, errors: list[str]
) -> Iterator[Mouse]:
    """Somebody with one kind of hand at the page of `site`, with the groups of the start."""
    for groups in (Collections.plain(site.start.clusters), site.start):
        groups.write(site.explorer.run.folder)
        assert site.explorer.collections == groups  # and so there is nothing to undo
    kind = HANDS[request.param]
    width, height = kind.size
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=kind.touch, is_mobile=kind.touch
    )
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.address)
    expect(page.locator(".group")).to_have_count(3)
    expect(page.locator("#said")).to_be_hidden()
    yield kind(page)
    fits = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert fits and not errors
