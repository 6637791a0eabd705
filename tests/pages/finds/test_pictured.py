"""The pictures of frames on the page without a server: which, how many, and what is left over."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mcevae.base.errors import UserError
from mcevae.finding.templates import Templates
from mcevae.pages.finds import pictured as module
from mcevae.pages.finds.album import Album
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.pictured import View, chosen, pictured
from mcevae.pages.finds.sheet import write_sheet
from mcevae.run import Run
from mcevae.runs.infer import write_tables
from tests.finding.test_find import PLACES, run, scene, templates  # noqa: F401  fixtures
from tests.pages.finds.conftest import FRAMES, rows


@pytest.fixture
def tracked() -> bool:
    return False


def pixels(view: View) -> np.ndarray:
    """The pieces of a view put together, one pixel for each of the frame."""
    whole = np.full((view.height, view.width), -1.0)
    for one in view.pieces:
        content = base64.b64decode(one.address.partition(",")[2])
        picture = Image.open(io.BytesIO(content)).convert("L").resize((one.width, one.height))
        x, y = one.x - view.x, one.y - view.y
        whole[y : y + one.height, x : x + one.width] = np.asarray(picture)
    assert whole.min() >= 0  # the pieces leave no hole
    return whole


def test_a_residual_has_what_was_not_found_and_not_what_was(
    run: Run,  # noqa: F811
    source: Path,
    tmp_path: Path,
) -> None:
    table = tmp_path / "most.parquet"
    write_tables([rows(False)[1 : len(PLACES)]], table)  # the first thing is missing
    found = pictured(Board(run, table, Album(str(source), run.settings.data)), 0)
    assert found.whole and found.rest and found.part is None and found.unknown is None
    assert len(found.whole.things) == len(PLACES) - 1
    assert (found.rest.width, found.rest.height) == (found.whole.width, found.whole.height)
    rest = np.abs(pixels(found.rest) - 128)
    loud = [rest[int(y) - 10 : int(y) + 10, int(x) - 10 : int(x) + 10].max() for x, y in PLACES]
    assert loud[0] > 2 * max(loud[1:])


@pytest.fixture
def large(run: Run, templates: Templates, tmp_path: Path) -> Board:  # noqa: F811
    """A frame that is too large for a residual of all of it; its things lie in one corner."""
    small, _ = scene(templates, PLACES)
    rng = np.random.default_rng(0)
    slope = np.abs(np.linspace(-2, 1, 2700))[None].repeat(2500, 0)
    frame = slope + rng.normal(0, 0.02, slope.shape)
    frame[-128:, -128:] = slope[-128:, -128:] + small - np.median(small)
    np.save(tmp_path / "large.npy", frame[None].astype(np.float32))
    made = rows(False)[: len(PLACES)]
    for name, more in (("x", 2572), ("y", 2372), ("box_x", 2572), ("box_y", 2372)):
        place = made.schema.get_field_index(name)
        made = made.set_column(place, name, [made[name].to_numpy() + more])
    made = made.set_column(0, "file", [["large.npy"] * len(PLACES)])
    write_tables([made], tmp_path / "large.parquet")
    album = Album(str(tmp_path / "large.npy"), run.settings.data)
    return Board(run, tmp_path / "large.parquet", album)


def test_of_a_large_frame_the_fullest_part_has_a_residual(large: Board) -> None:
    found = pictured(large, 0)
    assert found.whole and found.part and found.rest and found.unknown is None
    assert (found.whole.width, found.whole.height) == (2700, 2500)
    assert len(found.part.things) == len(PLACES)
    for view in (found.part, found.rest):
        assert (view.x + view.width, view.y + view.height) == (2700, 2500)
        assert view.width * view.height < 2**21
    picture, rest = pixels(found.part), pixels(found.rest)
    corner = (slice(-128, None), slice(-128, None))
    assert rest[corner].std() < picture[corner].std() / 2
    assert "of the part with the dashed white frame" in write_sheet(large).read_text("utf-8")


def test_the_surest_things_are_drawn_of_a_frame_and_of_a_part(
    large: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = large.frame(0)
    for i, thing in enumerate(own["things"]):
        thing["probability"] = None if i == 0 else i / 10
    monkeypatch.setattr(large, "frame", lambda index: own)
    monkeypatch.setattr(module, "MOST_DRAWN", 2)
    found = pictured(large, 0)
    assert found.whole and found.part
    for view in (found.whole, found.part):
        assert view.things == own["things"][:-3:-1]


def test_too_many_things_or_no_templates_leave_a_sentence(
    large: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("mcevae.pages.finds.tiles.TILE", 0)  # no level has residuals
        told = pictured(large, 0)
        assert told.whole and told.rest is None and "takes too long" in (told.unknown or "")
    monkeypatch.setattr("mcevae.pages.finds.tiles.MOST_THINGS", 2)
    told = pictured(large, 0)
    assert told.whole and told.rest is None and "too many things" in (told.unknown or "")

    def refuse() -> None:
        raise UserError("run: its images are missing.")

    monkeypatch.setattr(large, "finder", refuse)
    monkeypatch.setattr(large.tiles, "finder", refuse)
    assert pictured(large, 0).unknown == "run: its images are missing"
    assert "There is no residual: run: its images are missing." in write_sheet(large).read_text()


def test_as_many_frames_are_shown_as_the_page_has_room_for(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert chosen(board) == [*range(FRAMES)]
    monkeypatch.setattr(module, "FEWEST", 2)
    monkeypatch.setattr(module, "MOST_PIXELS", 3 * 128 * 128)
    assert chosen(board) == [0, 2, 3]  # 1.5 is rounded to 2
    monkeypatch.setattr(module, "MOST_PIXELS", 1)
    assert chosen(board) == [0, FRAMES - 1]
