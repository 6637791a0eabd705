"""Selecting and deciding in the explorer's page: each action by mouse, by keyboard, on a phone."""

import io
import re
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Locator, Page, expect

from mcevae.pages.explorer import Explorer

SIZES = {"wide": (1280, 900), "phone": (390, 844)}


@pytest.fixture(params=SIZES)
def shown(page: Page, named: TestClient, address: str, request: pytest.FixtureRequest) -> Page:
    """The page of an explorer whose images have names, on a screen and on a phone."""
    return opened(page, address, *SIZES[request.param])


def opened(page: Page, address: str, width: int = 1280, height: int = 900) -> Page:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    expect(page.locator(".group").first).to_be_visible()
    expect(page.locator("#said")).to_be_hidden()
    return page


def count(page: Page, expected: int) -> None:
    """The bar says how many images are selected."""
    told = "No image is" if not expected else f"{expected} image{'s' * (expected > 1)}"
    expect(page.locator("#count")).to_have_text(f"{told} selected")


def push(button: Locator, how: str) -> None:
    """Press a button with the mouse or with the keyboard."""
    if how == "mouse":
        button.click()
    else:
        button.press("Enter")


def bar(page: Page, name: str) -> Locator:
    return page.locator("#bar").get_by_role("button", name=name, exact=True)


def picked(page: Page) -> list[int]:
    return page.evaluate("pickedIds()")


def test_images_are_selected_one_by_one_in_ranges_and_all(shown: Page) -> None:
    box = shown.get_by_role("listbox").first
    ticks, options = box.locator(".tick"), box.get_by_role("option")
    ticks.nth(1).click()
    count(shown, 1)
    ticks.nth(3).click(modifiers=["Shift"])
    count(shown, 3)
    options.nth(2).click(modifiers=["Control"], position={"x": 45, "y": 45})
    count(shown, 2)
    expect(options.nth(2)).to_have_attribute("aria-selected", "false")
    shown.keyboard.press("Escape")
    count(shown, 0)
    options.nth(0).focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Space")
    count(shown, 1)
    shown.keyboard.press("Shift+ArrowRight")
    shown.keyboard.press("Shift+ArrowRight")
    count(shown, 3)
    shown.keyboard.press("Control+a")
    count(shown, options.count())
    assert not shown.locator("dialog[open]").count()
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_all_views_show_one_selection(shown: Page, explorer: Explorer) -> None:
    tick = shown.locator(".group").first.get_by_role("checkbox")
    size = max(explorer.groups()["groups"], key=lambda one: one["size"])["size"]
    tick.press("Space")
    count(shown, size)
    card = shown.locator(".group").first
    card.get_by_role("button", name="All members").press("Enter")
    dialog = shown.locator("dialog#members")
    inside = dialog.locator(".thumb")
    expect(inside.first).to_have_attribute("aria-selected", "true")
    inside.first.press("Space")
    count(shown, size - 1)
    dialog.get_by_role("combobox", name="show").select_option("as a table")
    checks = dialog.locator("tbody input")
    expect(checks.first).not_to_be_checked()
    expect(checks.nth(1)).to_be_checked()
    checks.nth(3).click()
    checks.nth(1).click(modifiers=["Shift"])  # a range from the third to the first
    count(shown, size - 1)
    shown.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert tick.evaluate("one => one.indeterminate")
    expect(card.get_by_role("button", name="All members")).to_be_focused()
    push(bar(shown, "Show the selected images"), "keyboard")
    expect(shown.locator("#listed")).to_have_text(f"{size - 1} images")


@pytest.mark.parametrize("tool", ["box", "lasso", "shift"])
def test_what_is_drawn_around_on_the_map_is_selected(shown: Page, tool: str) -> None:
    shown.locator("#map").scroll_into_view_if_needed()
    if tool != "shift":
        shown.get_by_role("radio", name=tool).check()
    shown.locator("#map").scroll_into_view_if_needed()
    shown.evaluate("scrollBy(0, 60)")
    box = shown.locator("#map").bounding_box()
    assert box
    x, y = shown.evaluate("place(0)")
    left, right, top, bottom = max(2, x - 60), x + 60, max(2, y - 60), y + 60
    wanted = shown.evaluate(
        """ends => everyImage().filter((id) => {
            const [x, y] = place(id);
            return x > ends[0] && x < ends[1] && y > ends[2] && y < ends[3]; })""",
        [left, right, top, bottom],
    )
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    route = corners if tool == "lasso" else [corners[0], corners[2]]
    if tool == "shift":
        shown.keyboard.down("Shift")
    shown.mouse.move(box["x"] + route[0][0], box["y"] + route[0][1])
    shown.mouse.down()
    for x, y in route[1:]:
        shown.mouse.move(box["x"] + x, box["y"] + y)
    shown.mouse.up()
    shown.keyboard.up("Shift")
    count(shown, len(wanted))
    assert picked(shown) == wanted and 0 < len(wanted) < 600
    shown.locator("#map-how").select_option("remove")
    shown.get_by_role("button", name="Select what is in sight").press("Enter")
    count(shown, 0)


def test_the_map_selects_by_keyboard(shown: Page) -> None:
    shown.locator("#map").focus()
    shown.keyboard.press("ArrowRight")
    shown.keyboard.press("Space")
    count(shown, 1)
    shown.keyboard.press("Shift+ArrowRight")
    shown.keyboard.press("Shift+ArrowUp")
    assert len(picked(shown)) in (2, 3)  # at the edge there may be no next one
    shown.keyboard.press("Control+a")
    count(shown, 600)
    shown.keyboard.press("Control+z")  # nothing to undo: no error
    push(bar(shown, "Invert the selection"), "keyboard")
    count(shown, 0)


def test_images_are_chosen_by_text_and_ranges(shown: Page, explorer: Explorer) -> None:
    found = explorer.gallery
    bar(shown, "Choose images").press("Enter")
    dialog = shown.locator("dialog#choose")
    text = dialog.get_by_role("textbox")
    expect(text).to_be_focused()
    text.fill("PLATE1/")
    expect(dialog.locator("form [role=status]")).to_have_text("300 of 600 images match.")
    dialog.get_by_role("spinbutton", name="rotation from").fill("-30")
    dialog.get_by_role("spinbutton", name="outlier score to").fill("0.9")
    dialog.get_by_role("spinbutton", name="area to").fill("0.19")
    dialog.get_by_role("spinbutton", name="brightness from").fill("0.05")
    shown.keyboard.press("Enter")
    small = (found.pose[:, 0] >= -30) & (found.outlier * 1000 < 901)
    small &= (found.area <= 0.19) & (found.brightness >= 0.05)
    wanted = [i for i in range(1, 600, 2) if small[i]]
    assert len(wanted) > 0
    count(shown, len(wanted))
    assert picked(shown) == wanted
    bar(shown, "Choose images").click()
    assert found.labels is not None
    label = found.label_names[found.labels[0]]
    dialog.get_by_role("textbox").fill(label)
    dialog.get_by_role("combobox", name="then").select_option("within")
    dialog.get_by_role("button", name="Select").click()
    names = found.names or []
    own = [i for i in wanted if found.labels[i] == found.labels[0] or label in names[i]]
    expect(dialog).to_be_hidden()
    assert picked(shown) == own


def test_images_like_one_are_listed_and_upright(shown: Page, explorer: Explorer) -> None:
    shown.locator(".group .thumb").first.press("Enter")
    image = shown.locator("dialog#image")
    image.get_by_role("checkbox", name="select").press("Space")
    count(shown, 1)
    image.get_by_role("button", name="next image").click()
    expect(image.get_by_role("button", name="next image")).to_be_focused()
    image.get_by_role("button", name="More like this").press("Enter")
    dialog = shown.locator("dialog#members")
    expect(shown.locator("#listed")).to_have_text("60 images")
    lying = dialog.locator(".thumb").first.evaluate("one => one.style.backgroundImage")
    dialog.get_by_role("combobox", name="show").select_option("all upright")
    expect(dialog.locator("[aria-busy=false]")).to_be_visible()
    turned = dialog.locator(".thumb").first.evaluate("one => one.style.backgroundImage")
    assert turned != lying
    dialog.get_by_role("combobox", name="order").select_option("highest outlier score first")
    first = int(dialog.locator(".thumb").first.get_attribute("data-id") or -1)
    listed = shown.evaluate("listing.members")
    assert explorer.gallery.outlier[first] == explorer.gallery.outlier[listed].max()
    for order, values in (
        ("variation 2", explorer.gallery.z[:, 1]),
        ("area", explorer.gallery.area),
    ):
        dialog.get_by_role("combobox", name="order").select_option(f"by {order}")
        assert (np.diff(values[shown.evaluate("listing.members")]) >= 0).all()


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_selected_images_are_decided_on_undone_and_made_again(
    shown: Page, explorer: Explorer, named: TestClient, how: str
) -> None:
    start = named.get("/api/groups").json()["version"]
    pick = "pick([...state.groups.find((one) => one.size > 20).doubtful].slice(0, 3))"
    shown.evaluate(pick)
    own = picked(shown)
    names = sorted((explorer.gallery.names or [])[i] for i in own)
    push(bar(shown, "Tag the selected images"), how)
    shown.locator("dialog#small").get_by_role("combobox", name="tag").fill("dust")
    push(shown.get_by_role("button", name="Give it"), how)
    expect(shown.locator("#said")).to_contain_text("3 images are tagged dust.")
    count(shown, 3)
    push(bar(shown, "Move the selected images"), how)
    small = shown.locator("dialog#small")
    small.get_by_role("combobox", name="to").select_option("")
    small.get_by_role("textbox", name="its name").fill("odd ones")
    push(small.get_by_role("button", name="Move"), how)
    expect(shown.get_by_role("heading", name="Group odd ones")).to_be_visible()
    count(shown, 0)
    shown.get_by_role("checkbox", name="select group odd ones").press("Space")
    push(bar(shown, "Junk the selected images"), how)
    expect(shown.locator("#said")).to_contain_text("3 images are junk.")
    marks = explorer.run.collections.decisions.marks
    assert sorted(marks) == names
    assert all(one.junk and one.unit == "+1" and one.tags == ("dust",) for one in marks.values())
    table = pyarrow.csv.read_csv(io.BytesIO(named.get("/api/table.csv").content))
    assert table["kept"].to_pylist().count(False) == 3
    last = named.get("/api/groups").json()["version"]
    for _ in range(3):
        push(bar(shown, "Undo"), how)
    expect(bar(shown, "Undo")).to_be_disabled()
    assert named.get("/api/groups").json()["version"] == start
    for _ in range(3):
        shown.keyboard.press("Control+Shift+z")
    expect(bar(shown, "Redo")).to_be_disabled()
    assert named.get("/api/groups").json()["version"] == last
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_selection_is_kept_taken_away_and_forgotten(
    shown: Page, explorer: Explorer, tmp_path: Path
) -> None:
    shown.evaluate("pick([4, 2])")
    bar(shown, "Take the selection away").press("Enter")
    dialog = shown.locator("dialog#take")
    expect(dialog).to_contain_text("Keep the selection under a name.")
    for button, ending in (("List of names", "txt"), ("Table (.csv)", "csv")):
        with shown.expect_download() as download:
            dialog.get_by_role("button", name=button).press("Enter")
        download.value.save_as(tmp_path / f"selected.{ending}")
    names = explorer.gallery.names or []
    assert (tmp_path / "selected.txt").read_text().split() == [names[2], names[4]]
    rows = pyarrow.csv.read_csv(tmp_path / "selected.csv")
    assert rows["file"].to_pylist() == [names[2], names[4]]
    dialog.get_by_label("keep as").fill("a pair")
    shown.keyboard.press("Enter")
    dialog.get_by_role("combobox").select_option("selected.txt")
    command = f"mcevae select {explorer.run.folder} --selection 'a pair' --junk too"
    expect(dialog.locator("code")).to_have_text(f"{command} --out selected.txt")
    assert explorer.run.collections.decisions.selections == {"a pair": (names[2], names[4])}
    shown.keyboard.press("Escape")
    bar(shown, "Clear the selection").press("Enter")
    bar(shown, "Choose images").press("Enter")
    choose = shown.locator("dialog#choose")
    choose.get_by_role("combobox", name="kept selection").select_option("a pair")
    choose.get_by_role("button", name="Select").press("Enter")
    assert picked(shown) == [2, 4]
    bar(shown, "Choose images").press("Enter")
    choose.get_by_role("button", name="forget a pair").press("Enter")
    expect(choose.get_by_role("combobox", name="kept selection")).to_have_count(0)
    assert not explorer.run.collections.decisions.selections


def test_groups_are_sorted(page: Page, parted: TestClient, address: str) -> None:
    opened(page, address)
    values = {"largest first": "size", "highest confidence first": "confidence"}
    for order, value in values.items():
        page.locator("#sort").select_option(order)
        ids = page.locator(".group").evaluate_all("all => all.map((one) => +one.id.slice(6))")
        groups = parted.get("/api/groups").json()["groups"]
        own = [groups[i][value] for i in ids]
        assert own == sorted(own, reverse=True)
    resolutions = [one["average"]["resolutions"][0] for one in groups if one["size"]]
    assert any(resolutions)
    for order, sign in {"finest detail first": 1, "coarsest detail first": -1}.items():
        page.locator("#sort").select_option(order)
        ids = page.locator(".group").evaluate_all("all => all.map((one) => +one.id.slice(6))")
        own = [groups[i]["average"]["resolutions"][0] for i in ids]
        known = [one for one in own if one is not None]
        assert known == sorted(known, key=lambda one: sign * one)
        assert own[: len(known)] == known  # those without one come last in both orders
    page.locator("#sort").select_option("most outliers first")
    shares = page.evaluate("""() => [...document.querySelectorAll('.group')].map((one) => {
        const own = membersOf(+one.id.slice(6)); return own.filter(isOutlier).length / own.length;
    })""")
    assert shares == sorted(shares, reverse=True)


def test_detail_orders_groups_only_where_it_is_known(
    page: Page, parted: TestClient, address: str
) -> None:
    opened(page, address)
    page.evaluate("state.groups[sortedGroups()[0]].average.resolutions = [null, null]")
    page.locator("#sort").select_option("finest detail first")
    last = page.evaluate("sortedGroups().at(-1)")
    page.locator("#sort").select_option("coarsest detail first")
    assert page.evaluate("sortedGroups().at(-1)") == last
    page.evaluate("state.groups.forEach((one) => { one.average = undefined; }); startGroups()")
    names = page.locator("#sort option").all_text_contents()
    assert "largest first" in names and not [one for one in names if "detail" in one]


def test_an_outlier_is_called_one_before_any_percentage(page: Page, address: str) -> None:
    opened(page, address)
    worst = page.locator("#outliers .thumb").first
    expect(worst).to_have_attribute("aria-label", re.compile("^outlier, "))
    worst.press("Enter")
    rows = page.locator("dialog#image tr")
    expect(rows.first).to_contain_text("outlier")
    expect(rows.nth(2)).to_contain_text("confidence")


def test_the_keyboard_stays_where_it_was(shown: Page) -> None:
    field = shown.locator(".group").first.get_by_role("textbox")
    field.fill("mine")
    field.press("Enter")
    expect(shown.get_by_role("heading", name="Group mine")).to_be_visible()
    expect(shown.get_by_role("textbox", name="name of group mine")).to_be_focused()
    expect(shown.locator("#bench-cluster")).to_contain_text("(mine)")
    shown.get_by_role("button", name="Junk group mine").press("Enter")
    expect(shown.get_by_role("button", name="Keep group mine")).to_be_focused()


def test_good_news_leaves_by_itself(page: Page, named: TestClient, address: str) -> None:
    opened(page, address)
    page.clock.install()
    page.locator(".group").first.get_by_role("button", name="Junk").press("Enter")
    expect(page.locator("#said")).to_be_visible()
    said, bar_box = page.locator("#said").bounding_box(), page.locator("#bar").bounding_box()
    assert said and bar_box and said["y"] + said["height"] <= bar_box["y"]  # it covers no button
    page.clock.fast_forward(9000)
    expect(page.locator("#said")).to_be_hidden()


def test_who_is_behind_keeps_the_selection(
    page: Page, errors: list[str], named: TestClient, address: str, explorer: Explorer
) -> None:
    opened(page, address)
    page.evaluate("pick([1, 2])")
    explorer.change(lambda old: old.renamed(0, "theirs"))
    bar(page, "Junk the selected images").click()
    expect(page.locator("#said")).to_contain_text("group 0 is now theirs")
    count(page, 2)
    bar(page, "Junk the selected images").click()
    expect(page.locator("#said")).to_contain_text("2 images are junk")
    errors.clear()  # the browser counts the refused request as one


def test_images_without_names_are_not_decided_on(page: Page, address: str) -> None:
    opened(page, address)
    page.locator(".tick").first.click()
    expect(page.locator("#bar")).to_contain_text("These images have no names")
    expect(bar(page, "Junk the selected images")).to_be_hidden()
