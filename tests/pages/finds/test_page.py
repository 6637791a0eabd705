"""The page of finds: each action by mouse and by keyboard, on a wide screen and on a phone."""

import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from mcevae.finding.places import Places
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.sheet import write_sheet
from tests.finding.test_find import PLACES, run, templates  # noqa: F401  fixtures
from tests.pages.finds.conftest import FRAMES
from tests.pages.test_accessible import LOOKS, sound
from tests.pages.test_selecting import SIZES, push

COUNT = len(PLACES)


@pytest.fixture
def tracked() -> bool:
    """Most of the page is the same for finds and for tracks, which have more."""
    return True


@pytest.fixture(params=SIZES)
def shown(page: Page, address: str, request: pytest.FixtureRequest) -> Page:
    return opened(page, address, *SIZES[request.param])


def opened(page: Page, address: str, width: int = 1280, height: int = 900) -> Page:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    things(page, COUNT)
    return page


def things(page: Page, count: int) -> None:
    expect(page.locator("#shown")).to_have_text(f"{count} thing{'' if count == 1 else 's'}.")
    expect(page.locator("#list").get_by_role("option")).to_have_count(count)


def at(page: Page, x: float, y: float) -> dict[str, float]:
    """Where a place of the frame is on the canvas."""
    left, top = page.evaluate("([x, y]) => onScreen(x, y)", [x, y])
    return {"x": left, "y": top}


def click(page: Page, x: float, y: float) -> None:
    page.locator("#picture").click(position=at(page, x, y))  # pyright: ignore[reportArgumentType]


def option(page: Page, number: int) -> Locator:
    return page.locator("#list").get_by_role("option").nth(number)


def now(page: Page) -> Any:
    return page.evaluate("[finds.frame, finds.chosen, finds.about.undo, finds.about.redo]")


@pytest.fixture(params=["mouse", "keyboard"])
def how(request: pytest.FixtureRequest) -> str:
    return request.param


def test_things_are_chosen_in_the_picture_and_in_the_list(shown: Page, how: str) -> None:
    if how == "mouse":
        click(shown, *PLACES[2])
        expect(option(shown, 2)).to_have_attribute("aria-selected", "true")
        option(shown, 0).click()
        expect(option(shown, 0)).to_be_focused()
        click(shown, 60, 110)  # nothing is there
        expect(shown.locator("#chosen")).to_have_text("Nothing is chosen")
    else:
        shown.locator("#picture").press("p")
        expect(option(shown, COUNT - 1)).to_have_attribute("aria-selected", "true")
        shown.keyboard.press("n")
        expect(option(shown, 0)).to_have_attribute("aria-selected", "true")
        option(shown, 0).press("ArrowDown")
        expect(option(shown, 1)).to_be_focused()
        shown.keyboard.press("End")
        expect(option(shown, COUNT - 1)).to_be_focused()
        shown.keyboard.press("Escape")
        expect(shown.locator("#chosen")).to_have_text("Nothing is chosen")
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_picture_is_zoomed_and_moved(shown: Page, how: str) -> None:
    canvas, before = shown.locator("#picture"), shown.evaluate("({ ...picture })")
    if how == "mouse":
        canvas.hover()
        shown.mouse.wheel(0, -400)
        shown.wait_for_function("scale => picture.scale > 2 * scale", arg=before["scale"])
        box = canvas.bounding_box()
        assert box
        shown.mouse.move(box["x"] + 100, box["y"] + 100)
        shown.mouse.down()
        shown.mouse.move(box["x"] + 160, box["y"] + 130, steps=3)
        shown.mouse.up()
        assert shown.evaluate("picture.x") < before["x"] and now(shown)[1] is None
        shown.get_by_role("button", name="show all of it").click()
    else:
        canvas.press("+")
        canvas.press("+")
        assert shown.evaluate("picture.scale") > 2 * before["scale"]
        canvas.press("ArrowRight")
        assert shown.evaluate("picture.x") > before["x"]
        canvas.press("0")
    assert shown.evaluate("({ ...picture })") == before
    pinch = """() => {
        const canvas = document.getElementById("picture"), box = canvas.getBoundingClientRect();
        const send = (kind, id, x) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: id,
            clientX: box.left + x, clientY: box.top + 90, bubbles: true }));
        canvas.setPointerCapture = () => {};
        send("pointerdown", 1, 100); send("pointerdown", 2, 140);
        send("pointermove", 1, 60); send("pointermove", 2, 180);
        send("pointerup", 1, 60); send("pointerup", 2, 180);
        return picture.scale;
    }"""
    assert shown.evaluate(pinch) > 2 * before["scale"]


def test_frames_are_gone_through_and_played(shown: Page, how: str) -> None:
    where = shown.locator("#where")
    if how == "mouse":
        shown.get_by_role("button", name="next frame").click()
        expect(where).to_contain_text(f"Frame 2 of {FRAMES}: film.npy #1")
        shown.get_by_role("button", name="previous frame").click()
        expect(where).to_contain_text("Frame 1 of")
        shown.locator("#speed").select_option("25")
        shown.locator("#play").click()
    else:
        shown.locator("#picture").press(".")
        expect(where).to_contain_text("Frame 2 of")
        shown.locator("#picture").press(",")
        expect(where).to_contain_text("Frame 1 of")
        shown.locator("#slider").press("ArrowRight")
        expect(where).to_contain_text("Frame 2 of")
        shown.locator("#picture").press("Space")
    expect(where).to_contain_text(f"Frame {FRAMES} of")
    expect(shown.locator("#play")).to_have_text("Play")
    shown.locator("#slider").fill("1")
    expect(where).to_contain_text("Frame 1 of")
    shown.goto(f"{shown.url.split('#')[0]}#frame=3")
    expect(where).to_contain_text("Frame 3 of")


def test_groups_and_probabilities_filter_picture_and_list(shown: Page, how: str) -> None:
    box = shown.locator("#groups").get_by_role("checkbox").first
    if how == "mouse":
        box.uncheck()
    else:
        box.press("Space")
    things(shown, COUNT - 2)  # two are of group 0
    expect(box).to_be_focused()
    box.press("Space")
    shown.locator("#least").fill("0.75")
    things(shown, 3)
    expect(shown.locator("#leastshown")).to_have_text("0.75")
    shown.locator("#least").fill("0")
    things(shown, COUNT)


def test_the_residual_and_the_contrast_are_drawn(shown: Page, how: str) -> None:
    def sum_of() -> int:
        return shown.evaluate(
            """() => { const { width, height } = document.getElementById("picture");
            return document.getElementById("picture").getContext("2d")
                .getImageData(0, 0, width, height).data.reduce((sum, v) => sum + v, 0); }"""
        )

    before = sum_of()
    if how == "mouse":
        shown.locator("#residual").check()
    else:
        shown.locator("#picture").press("r")
    residual = (
        "() => [...tiles.entries()].some(([name, one]) => name.includes('residual') && one.bitmap)"
    )
    shown.wait_for_function(residual)
    shown.wait_for_function("() => !document.getElementById('note').textContent")
    assert abs(sum_of() - before) > 10_000
    shown.locator("#residual").uncheck()
    shown.locator("#white").fill("500")
    shown.wait_for_function("() => [...tiles.keys()].some((name) => name.includes('white=500'))")
    shown.get_by_role("button", name="Contrast as at first").press("Enter")
    expect(shown.locator("#whiteshown")).to_have_text("99.8")


def test_things_are_deleted_added_and_regrouped(shown: Page, how: str, table: Path) -> None:
    undo, redo = (shown.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    if how == "mouse":
        click(shown, *PLACES[2])
        shown.get_by_role("button", name="Delete").click()
    else:
        option(shown, 2).press("Enter")
        shown.keyboard.press("Delete")
    things(shown, COUNT - 1)
    expect(shown.locator("#said")).to_contain_text("2 was deleted.")
    if how == "keyboard":
        expect(option(shown, 2)).to_be_focused()  # the next one
    shown.locator("#group").select_option("3")
    if how == "mouse":
        shown.get_by_role("button", name="Add").click()
        click(shown, *PLACES[2])
    else:
        shown.locator("#picture").press("a")
        expect(shown.locator("#adding")).to_contain_text("arrow keys move the cross")
        x, y = shown.evaluate("[adding.x, adding.y]")
        for _ in range(round((x - PLACES[2][0]) * shown.evaluate("picture.scale") / 30)):
            shown.keyboard.press("Shift+ArrowLeft")
        for _ in range(round((PLACES[2][1] - y) * shown.evaluate("picture.scale") / 30)):
            shown.keyboard.press("Shift+ArrowDown")
        shown.keyboard.press("Enter")
    things(shown, COUNT)
    expect(option(shown, COUNT - 1)).to_have_attribute("aria-selected", "true")
    expect(option(shown, COUNT - 1)).to_contain_text("added")
    shown.keyboard.press("Escape")
    expect(shown.locator("#adding")).to_be_hidden()
    shown.locator("#group").select_option("1")
    push(shown.get_by_role("button", name="Change group"), how)
    expect(shown.locator("#said")).to_contain_text("in group 1 now")
    expect(option(shown, COUNT - 1)).to_contain_text("1")
    assert Places.read(table).rows["group"].to_pylist()[-1] == "1"
    for left in (2, 1, 0):
        if how == "mouse":
            undo.click()
        else:
            shown.keyboard.press("Control+z")
        shown.wait_for_function(f"() => finds.about.undo === {left}")
    things(shown, COUNT)
    expect(undo).to_be_disabled()
    for left in (2, 1, 0):
        if how == "mouse":
            redo.click()
        else:
            shown.keyboard.press("Control+y")
        shown.wait_for_function(f"() => finds.about.redo === {left}")
    shown.reload()
    things(shown, COUNT)
    expect(option(shown, COUNT - 1)).to_contain_text("added")


def test_whole_tracks_are_changed_and_their_paths_drawn(
    shown: Page, board: Board, how: str
) -> None:
    option(shown, 1).click()
    if how == "mouse":
        shown.get_by_label("whole track").check()
    else:
        shown.get_by_label("whole track").press("Space")
    shown.locator("#group").select_option("3")
    push(shown.get_by_role("button", name="Change group"), how)
    expect(shown.locator("#said")).to_contain_text("Track 1 is in group 3 now.")
    assert {board.finds.row(i)["group"] for i in board.finds.in_track(1)} == {3}
    shown.locator("#past").select_option("-1")
    shown.wait_for_function(f"() => finds.data.paths[0].points.length === {FRAMES}")
    push(shown.get_by_role("button", name="Delete"), how)
    things(shown, COUNT - 1)
    shown.get_by_role("button", name="next frame").click()
    things(shown, COUNT - 1)


@pytest.mark.parametrize("tracked", [False, True])
def test_a_random_sequence_comes_back_to_the_start(page: Page, address: str, board: Board) -> None:
    opened(page, address)
    rng, start = random.Random(3), [board.frame(i)["things"] for i in range(FRAMES)]
    states = [start]
    for done in range(1, 9):
        page.evaluate(f"goTo({rng.randrange(FRAMES)})")
        do = rng.choice(["add", "delete", "group"])
        page.evaluate(f"chooseNext({rng.randint(1, 9)})")
        if do == "add":
            page.evaluate(f"addAt({rng.uniform(20, 100)}, {rng.uniform(20, 100)})")
        elif do == "delete":
            page.evaluate("deleteChosen()")
        else:
            group = page.evaluate("(chosenThing().group + 1) % 4")
            page.locator("#group").select_option(str(group))
            page.get_by_role("button", name="Change group").click()
        page.wait_for_function(f"() => finds.about.undo === {done}")
        states.append([board.frame(i)["things"] for i in range(FRAMES)])
    for left, state in reversed([*enumerate(states[:-1])]):
        page.keyboard.press("Control+z")
        page.wait_for_function(f"() => finds.about.undo === {left}")
        assert [board.frame(i)["things"] for i in range(FRAMES)] == state


def test_what_somebody_else_changed_is_shown_and_not_overwritten(
    page: Page, address: str, board: Board, errors: list[str]
) -> None:
    from mcevae.pages.finds.correcting import Corrector

    opened(page, address)
    option(page, 0).click()
    Corrector(board).delete([board.frame(0)["things"][1]["id"]], False, board.state()["version"])
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#said")).to_contain_text("changed meanwhile in another place")
    things(page, COUNT - 1)
    assert now(page)[2] == 1
    errors.clear()  # the browser counts the refused request as one


def test_nothing_is_closed_to_anybody(page: Page, address: str, board: Board) -> None:
    opened(page, address)
    sound(page)
    option(page, 0).click()
    page.evaluate("startAdding(true); say('Something went wrong.', true)")
    sound(page, looks=LOOKS[:2])
    page.goto(f"{address}/docs")
    sound(page, looks=LOOKS[:2])
    page.goto(write_sheet(board).as_uri())
    sound(page, looks=LOOKS[:2])


@pytest.mark.parametrize("tracked", [False, True])
def test_the_page_without_a_server_shows_frames_finds_and_tracks(page: Page, board: Board) -> None:
    path = write_sheet(board)
    assert path == board.finds.path.with_suffix(".html")
    page.goto(path.as_uri())
    expect(page.locator("header")).to_contain_text(f"{COUNT * FRAMES - board.finds.tracked} things")
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("#frames figure")).to_have_count(FRAMES)
    expect(page.locator("figure").last.locator("rect.line")).to_have_count(COUNT)
    expect(page.locator("polyline.line")).to_have_count(COUNT * board.finds.tracked)
    expect(page.get_by_role("img", name="residual of film.npy", exact=True)).to_be_visible()
    assert page.evaluate("[...document.images].every((one) => one.complete)")


def test_the_slider_of_the_page_without_a_server_goes_through_time(
    page: Page, board: Board, how: str
) -> None:
    page.goto(write_sheet(board).as_uri())
    where, seen = page.locator("#where"), page.locator("#frames figure:visible")
    expect(where).to_have_text(f"Frame 1 of {FRAMES}: film.npy")
    for name, step, key in (("next", 2, "ArrowRight"), ("previous", 1, "ArrowLeft")):
        if how == "mouse":
            page.get_by_role("button", name=f"{name} frame").click()
        else:
            page.locator("#slider").press(key)
        expect(where).to_contain_text(f"Frame {step} of {FRAMES}")
        expect(seen).to_have_count(1)
        expect(page.locator("#slider")).to_have_value(str(step))
    push(page.get_by_role("button", name="Play"), how)
    expect(where).to_have_text(f"Frame {FRAMES} of {FRAMES}: film.npy#{FRAMES - 1}")
    expect(page.get_by_role("button", name="Play")).to_have_attribute("aria-pressed", "false")
    expect(seen.locator("figcaption")).to_contain_text(f"film.npy#{FRAMES - 1}: {COUNT} things")
    page.emulate_media(media="print")
    expect(seen).to_have_count(FRAMES)


def test_without_javascript_all_frames_of_the_page_are_seen(browser: Browser, board: Board) -> None:
    path = write_sheet(board)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        expect(page.locator("#frames figure:visible")).to_have_count(FRAMES)
        expect(page.locator("#player")).to_be_hidden()
