"""Two groups side by side: a dialog of report and explorer, by mouse, by keyboard, on a phone."""

import pytest
import torch
from fastapi.testclient import TestClient
from playwright.sync_api import Locator, Page, expect

from mcevae.images.splits import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.likeness import nearest
from mcevae.pages.report import write_report
from mcevae.runs.scores import Score
from tests.pages.test_selecting import SIZES, bar, count, opened, push


@pytest.fixture(params=SIZES)
def shown(page: Page, parted: TestClient, address: str, request: pytest.FixtureRequest) -> Page:
    """The page of an explorer with three groups, on a screen and on a phone."""
    return opened(page, address, *SIZES[request.param])


def test_the_nearest_group_is_that_with_the_nearest_mean() -> None:
    look = torch.tensor([[0.0], [2], [4], [11], [11], [30]]).half()
    of = torch.tensor([0, 0, 1, 3, 3, 5])
    assert nearest(look, of, 6) == [1, 0, None, 1, None, 3]
    assert nearest(look, torch.full((6,), 1), 3) == [None, None, None]


def dialog_of(page: Page) -> Locator:
    return page.locator("dialog#compare")


def compare(page: Page, how: str) -> Locator:
    """Press Compare on the first card; the dialog."""
    push(page.locator(".group").first.get_by_role("button", name="Compare"), how)
    expect(dialog_of(page)).to_be_visible()
    return dialog_of(page)


def sides(page: Page) -> list[str]:
    return (
        dialog_of(page).get_by_role("combobox").evaluate_all("all => all.map((one) => one.value)")
    )


@pytest.mark.parametrize("how", ["mouse", "keyboard"])
def test_a_group_is_compared_with_the_one_most_like_it(
    shown: Page, explorer: Explorer, how: str
) -> None:
    groups = {one["id"]: one for one in explorer.groups()["groups"]}
    largest = max(groups.values(), key=lambda one: one["size"])
    dialog = compare(shown, how)
    assert sides(shown) == [largest["id"], largest["alike"]]
    for place, id in zip(("first", "second"), sides(shown), strict=True):
        side = dialog.get_by_role("region", name=f"{place} group: ")
        expect(side.get_by_alt_text("canonical image of group")).to_be_visible()
        expect(side).to_contain_text(f"{groups[id]['size']} images")
        expect(side).to_contain_text(groups[id]["average"]["words"])
        assert side.get_by_role("listbox").count() == 2
    lefts = dialog.locator(".side").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).map(({ x, y }) => [x, y])"
    )
    assert lefts[0][0] < lefts[1][0] and lefts[0][1] == lefts[1][1]
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")
    shown.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(shown.locator(".group").first.get_by_role("button", name="Compare")).to_be_focused()


def test_another_group_is_chosen_and_the_keyboard_stays(shown: Page, explorer: Explorer) -> None:
    dialog = compare(shown, "keyboard")
    second = dialog.get_by_role("combobox", name="second group")
    first, before = sides(shown)
    free = second.locator("option:not(:disabled)")
    values = free.evaluate_all("all => all.map((one) => one.value)")
    assert first not in values and before in values
    other = next(one for one in values if one != before)
    second.focus()
    second.select_option(other)
    assert sides(shown) == [first, other]
    expect(second).to_be_focused()
    names = {one["id"]: one["name"] for one in explorer.groups()["groups"]}
    expect(dialog.get_by_role("columnheader", name=f"group {names[other]}")).to_be_visible()
    thumb = dialog.locator(".thumb").first
    thumb.press("Space")
    count(shown, 1)
    thumb.press("Enter")
    expect(shown.locator("dialog#image")).to_be_visible()
    shown.keyboard.press("Escape")
    expect(thumb).to_be_focused()
    dialog.get_by_role("button", name="average of group").first.press("Enter")
    expect(shown.locator("dialog#average")).to_be_visible()
    shown.keyboard.press("Escape")
    expect(dialog.get_by_role("button", name="average of group").first).to_be_focused()


def test_both_are_merged_there(shown: Page, explorer: Explorer) -> None:
    before = explorer.groups()["groups"]
    dialog = compare(shown, "mouse")
    first, second = sides(shown)
    dialog.get_by_role("button", name="Merge these two").click()
    expect(dialog).to_be_hidden()
    after = {one["id"]: one for one in explorer.groups()["groups"]}
    assert len(after) == len(before) - 1 and second not in after
    assert after[first]["size"] == sum(
        one["size"] for one in before if one["id"] in (first, second)
    )
    card = shown.locator(".group").filter(has_text=f"Group {after[first]['name']}").first
    expect(card.get_by_role("button", name="Compare")).to_be_focused()
    bar(shown, "Undo").click()
    expect(shown.locator(".group")).to_have_count(sum(one["size"] > 0 for one in before))


def test_what_is_decided_there_is_seen_there(page: Page, parted: TestClient, address: str) -> None:
    opened(page, address)
    dialog = compare(page, "keyboard")
    lines = dialog.locator(".side").first
    expect(lines).not_to_contain_text("junk")
    dialog.locator(".thumb").first.press("Space")
    bar(page, "Junk the selected images").press("Enter")
    expect(lines).to_contain_text("(1 junk)")


def test_a_report_compares_but_does_not_merge(
    page: Page, parted: TestClient, explorer: Explorer, small_data: Splits
) -> None:
    scores = {"bce": Score(value=100.0, unit="nats", n=100)}
    opened(page, write_report(explorer.run, small_data, scores).as_uri(), 390, 844)
    dialog = compare(page, "keyboard")
    assert not dialog.get_by_role("button", name="Merge").count()
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_numbers_that_differ_most_come_first(page: Page, parted: TestClient, address: str) -> None:
    opened(page, address)
    dialog = compare(page, "keyboard")
    page.evaluate("""() => {
        const [a, b] = sides.map((id) => state.groups.findIndex((group) => group.id === id));
        state.images.area = Uint16Array.from(state.of, (own, id) =>
            65535 * ((own === a ? 0.2 : 0.8) + (id % 2 ? 0.1 : -0.1)));
        drawCompare();
    }""")
    row = dialog.locator("tbody tr").first
    expect(row).to_contain_text("area")
    apart = float(row.locator("td").last.text_content() or "")
    assert 5 < apart < 7  # 0.6 between the means, 0.1 within
    assert [float(one) for one in row.locator("td").all_text_contents()[:2]] == pytest.approx(
        [0.2, 0.8], abs=0.03
    )
