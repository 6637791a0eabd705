"""Pages say which answer they show, change to a better one, and runs say what they found."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.images.splits import Splits
from mcevae.models.config import PRESETS
from mcevae.pages.closing import Found, found_in, next_steps, unlike
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.latest import Latest
from mcevae.pages.report import TABLE, write_report
from mcevae.pages.serve import application
from mcevae.pages.stage import FirstAnswer, is_first, latest, stage_of
from mcevae.runs.run import TrainedRun
from mcevae.training.first import FIRST, end_first_answer, has_first, shown_of
from mcevae.training.loop import fit
from tests.conftest import served


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> Path:
    """A run of preset quick, with its calibration, scores and report."""
    folder = tmp_path_factory.mktemp("quick") / "run"
    config = PRESETS["quick"]().changed(
        data={"source": "mnist-mini", "limit": 400}, model={"clusters": 4}, start={"restarts": 1}
    )
    assert fit(config, small_data, folder)
    run = TrainedRun.open(folder)
    run.calibrate(small_data)
    run.keep(run.scores(small_data))
    return folder


@pytest.fixture
def training(answer: Path, trained: Path, tmp_path: Path) -> Path:
    """A run that trains, and has a first answer."""
    run = tmp_path / "training"
    shutil.copytree(trained, run)
    shutil.copytree(answer, run / FIRST)
    return run


def test_a_first_answer_is_told_from_other_runs(training: Path, answer: Path) -> None:
    first, quick, last = (TrainedRun.open(one) for one in (training / FIRST, answer, training))
    assert [is_first(one) for one in (first, quick, last)] == [True, False, False]
    kinds = [stage_of(one, shown=5, total=9)["kind"] for one in (first, quick, last)]
    assert kinds == ["first", "quick", "last"]
    assert "shows 5 of the 9 images" in stage_of(first, shown=5, total=9)["text"]
    assert latest(training) == training / FIRST and latest(answer) == answer
    end_first_answer(training)
    assert latest(training) == training


def test_the_page_of_a_first_answer_is_the_report_of_its_run(
    training: Path, small_data: Splits, page: Page
) -> None:
    run = TrainedRun.open(training / FIRST)
    path = training / "report.html"
    first = FirstAnswer(page=path, total=600)
    assert write_report(run, shown_of(small_data), {}, first=first) == path
    page.goto(path.as_uri())
    expect(page.locator("#stage")).to_contain_text("First answer.")
    expect(page.locator("h1")).to_have_text("training")
    expect(page.locator(".group").first).to_be_visible()
    link = page.get_by_role("link", name=TABLE)
    assert link.get_attribute("href") == f"{FIRST}/{TABLE}" and (training / FIRST / TABLE).exists()


def test_a_quick_run_has_a_whole_report(answer: Path, small_data: Splits, page: Page) -> None:
    run = TrainedRun.open(answer)
    path = write_report(run, small_data, run.scores(small_data))
    page.goto(path.as_uri())
    expect(page.locator("#stage")).to_contain_text("no network was trained")
    expect(page.locator(".average").first).to_be_visible()
    found = found_in(run.file(TABLE), [one.name for one in run.collections.entries])
    assert sum(found.sizes) == 600 and 0 <= found.odd < 0.2


def test_the_explorer_changes_to_the_last_answer_by_itself(
    training: Path, small_data: Splits, page: Page, errors: list[str]
) -> None:
    def make(folder: Path) -> FastAPI:
        run = TrainedRun.open(folder)
        run.calibrate(small_data)
        return application(Explorer(run=run, gallery=hang(run, small_data)), small_data, {})

    app = Latest(make, training)
    with served(app) as (host, port), app.watching(every=0.2):
        page.goto(f"http://{host}:{port}")
        expect(page.locator("#stage")).to_contain_text("First answer.")
        expect(page.locator(".group").first).to_be_visible()
        expect(page.get_by_role("button", name="Split")).to_have_count(0)  # it would be refused
        end_first_answer(training)  # as a training does when it has ended
        expect(page.locator("#stage")).to_contain_text("Final answer.")
        expect(page.get_by_role("button", name="Split").first).to_be_visible()
    errors.clear()  # the reload breaks off a request, or none


def test_a_first_answer_that_leads_elsewhere_is_not_used(answer: Path, training: Path) -> None:
    shutil.rmtree(training / FIRST)
    (training / FIRST).symlink_to(answer)
    before = sorted(path.name for path in answer.rglob("*"))
    for use in (latest, has_first):
        with pytest.raises(UserError, match="is a link or no folder"):
            use(training)
    end_first_answer(training)
    assert sorted(path.name for path in answer.rglob("*")) == before


def test_groups_of_a_first_answer_cannot_be_changed(training: Path, small_data: Splits) -> None:
    run = TrainedRun.open(training / FIRST)
    explorer = Explorer(run=run, gallery=hang(run, small_data))
    with pytest.raises(ValueError, match="training will replace"):
        explorer.change(lambda old: old.renamed(0, "mine"))
    assert not (training / FIRST / "groups.json").exists()


def test_a_run_that_is_being_written_is_looked_at_again(training: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> FastAPI:
        made.append(folder)
        TrainedRun.open(folder)
        return FastAPI()

    app = Latest(make, training)
    end_first_answer(training)
    whole = (training / "best.safetensors").read_bytes()
    write_text(training / "best.safetensors", "half")
    assert app.look() and app.folder != training
    (training / "best.safetensors").write_bytes(whole)
    assert not app.look() and app.folder == training
    assert made == [training / FIRST, training, training]


def test_an_image_is_like_no_group_if_it_is_drawn_far_worse_than_others_of_it() -> None:
    rng = np.random.default_rng(0)
    misfit = np.exp(rng.normal(0, 0.2, 400))
    misfit[200:] *= 50  # a group that is drawn worse as a whole
    group = np.repeat([0, 1], 200)
    strange = [3, 50, 250]
    misfit[strange] *= 10
    found = np.flatnonzero(unlike(misfit, group))
    assert set(strange) <= set(found.tolist()) and len(found) < 8
    assert not unlike(np.ones(30), np.zeros(30, int)).any()


def test_what_was_found_is_said_in_words() -> None:
    found = Found(sizes=(90, 100, 120), empty=0, odd=0.031)
    assert found.in_words() == ("3 groups, sizes 90 to 120; 3.1 % of the images are like no group.")
    assert Found(sizes=(1200,), empty=2, odd=0.0).in_words() == (
        "1 group, of 1,200 images, and 2 without images; each image is like one."
    )
    steps = next_steps(Path("runs/a"), "photos", trained=False)
    assert steps[0].endswith("mcevae serve runs/a") and "mcevae fit photos" in steps[-1]
    assert len(next_steps(Path("runs/a"), "photos", trained=True)) == 2
