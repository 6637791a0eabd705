"""A long random sequence of changes, made on the explorer's page, undone and made again."""

import random
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.pages.conftest import Site
from tests.pages.hand import STILL, Mouse

COUNT = 200
"""Changes; as many can be undone."""


def answered(page: Page) -> None:
    """Wait until the last change is done or refused, and close the message."""
    page.evaluate("changing.then(() => say(''))")  # on a slow machine, it may have left by itself


def on_a_card(page: Page, draws: random.Random, name: str) -> None:
    """Name, split, turn, mirror, junk or keep some group."""
    buttons = page.locator(".group .tools button, .group .turns button")
    one = buttons.nth(draws.randrange(buttons.count()))
    key = one.get_attribute("data-key") or ""
    if key.startswith("rename"):
        page.locator(f"[data-key='{key.replace('rename', 'name')}']").fill(name)
    one.evaluate(STILL)  # a card that moves between press and release is not clicked
    one.click()
    answered(page)


def on_images(page: Page, draws: random.Random, name: str) -> None:
    """Junk, keep, tag or move two images, or keep the selection."""
    ticks = page.locator(".group [data-list^=typical] .tick")  # there, each image is once
    for place in draws.sample(range(ticks.count()), 2):
        ticks.nth(place).click()
    button = draws.choice(("Junk", "Keep", "Tag…", "Move…", "Move…", "Take away…"))
    page.locator("#bar").get_by_text(button, exact=True).click()
    if button == "Move…":
        field = page.get_by_role("combobox", name="to")
        field.select_option(index=draws.randrange(field.locator("option").count()))
        if not field.input_value():
            page.get_by_role("textbox", name="its name").fill(name)
        page.get_by_role("button", name="Move", exact=True).click()
    elif button == "Tag…":
        page.get_by_role("combobox", name="tag").fill(f"tag {draws.randrange(4)}")
        page.get_by_role("button", name=draws.choice(("Give it", "Take it away"))).click()
    elif button == "Take away…":
        page.get_by_label("keep as").fill(f"some {draws.randrange(4)}")
        page.get_by_role("button", name="Keep", exact=True).click()
        page.locator("dialog#take code").wait_for()
    answered(page)
    page.keyboard.press("Escape")  # closes a dialog, or clears the selection
    page.evaluate("pick([])")


def on_groups(page: Page, draws: random.Random, name: str) -> None:
    """Merge two groups."""
    ticks = page.locator("input[data-group]")
    if ticks.count() > 2:
        for place in draws.sample(range(ticks.count()), 2):
            ticks.nth(place).check()
        page.get_by_role("button", name="Merge 2 groups").click()
        answered(page)


def state(page: Page) -> dict[str, Any]:
    """All that the server says of the groups, but for the number of steps."""
    groups = page.evaluate("ask('/api/groups')")
    return {name: value for name, value in groups.items() if name not in ("undo", "redo")}


@pytest.mark.parametrize("hand", ["mouse"], indirect=True)
def test_two_hundred_changes_are_undone_to_the_start_and_made_again(
    hand: Mouse, site: Site
) -> None:
    page, draws = hand.page, random.Random(0)
    start = state(page)
    tried = 0
    while page.evaluate("state.undo") < COUNT:
        tried += 1
        does = draws.choice((on_a_card, on_a_card, on_images, on_images, on_images, on_groups))
        does(page, draws, f"name {tried}")
    end, kept = state(page), site.kept
    assert len(kept.decisions.marks) > 20 and kept.decisions.selections and kept.uprights
    for key, left in (("Control+z", "undo"), ("Control+Shift+z", "redo")):
        for done in range(COUNT):
            page.keyboard.press(key)
            page.wait_for_function(f"left => state.{left} === left", arg=COUNT - done - 1)
        assert state(page) == (start if left == "undo" else end)
        assert site.kept == (site.start if left == "undo" else kept)
