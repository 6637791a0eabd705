"""All that people do in the explorer: by mouse, by the keyboard alone, by a finger on a phone."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.pages.conftest import Site
from tests.pages.hand import Mouse

Holds = Callable[[], bool]
"""Whether what was done is kept on the disk."""


def card(hand: Mouse, name: str) -> Locator:
    heading = hand.page.get_by_role("heading", name=f"Group {name}", exact=True)
    return hand.page.locator(".group").filter(has=heading)


def bar(hand: Mouse, name: str) -> None:
    """Press a button of the bar."""
    hand.press(hand.page.locator("#bar").get_by_role("button", name=name, exact=True))


def typical(hand: Mouse, name: str) -> Locator:
    """The list of the typical images of a group."""
    return card(hand, name).get_by_role("listbox").first


def ids(images: Locator) -> list[int]:
    return images.get_by_role("option").evaluate_all("all => all.map((one) => +one.dataset.id)")


def some(hand: Mouse, group: str) -> list[int]:
    """Select three images of a group."""
    images = typical(hand, group)
    hand.tick_range(images, 0, 2)
    return sorted(ids(images)[:3])


def choose(hand: Mouse, fields: dict[str, str]) -> None:
    """Fill in and send the form that chooses images. Keys are names of fields."""
    bar(hand, "Choose images")
    dialog = hand.page.locator("dialog#choose")
    for name, value in fields.items():
        field = dialog.locator(f"[name='{name}']")
        (hand.choose if name == "selections" else hand.write)(field, value)
    hand.press(dialog.get_by_role("button", name="Select", exact=True))
    expect(dialog).to_be_hidden()


# Selecting: each returns the images that are to be selected then.


def a_tick(hand: Mouse, site: Site) -> list[int]:
    images = typical(hand, "A")
    hand.tick(images, 1)
    return [ids(images)[1]]


def a_range(hand: Mouse, site: Site) -> list[int]:
    return some(hand, "B")


def a_group(hand: Mouse, site: Site) -> list[int]:
    hand.press(hand.page.get_by_role("checkbox", name="select group B"))
    return site.members("B")


def a_box(hand: Mouse, site: Site) -> list[int]:
    return hand.draw("box", [(-60, -60), (60, -60), (60, 60), (-60, 60)])


def a_lasso(hand: Mouse, site: Site) -> list[int]:
    return hand.draw("lasso", [(-70, 0), (0, -60), (70, 30), (0, 50)])


def a_text(hand: Mouse, site: Site) -> list[int]:
    choose(hand, {"text": "plate1/"})
    return list(range(1, 360, 2))


def numbers(hand: Mouse, site: Site) -> list[int]:
    found = site.explorer.gallery
    choose(hand, {"rotation from": "-60", "area to": "0.2"})
    return np.flatnonzero((found.pose[:, 0] >= -60) & (found.area <= 0.2)).tolist()


def more_like_one(hand: Mouse, site: Site) -> list[int]:
    hand.open(typical(hand, "A"), 0)
    hand.press(hand.page.get_by_role("button", name="More like this"))
    expect(hand.page.locator("#listed")).to_have_text("60 images")
    listed = hand.page.evaluate("listing.members")
    hand.press(hand.page.get_by_role("button", name="Select all"))
    return sorted(listed)


def all_others(hand: Mouse, site: Site) -> list[int]:
    own = some(hand, "C")
    bar(hand, "Invert the selection")
    return sorted({*range(360)} - {*own})


def a_kept_selection(hand: Mouse, site: Site) -> list[int]:
    own = some(hand, "C")
    bar(hand, "Take the selection away")
    hand.write(hand.page.get_by_label("keep as"), "a few")
    hand.press(hand.page.get_by_role("button", name="Keep", exact=True))
    expect(hand.page.locator("dialog#take code")).to_contain_text("--selection 'a few'")
    hand.press(hand.page.get_by_role("button", name="Close", exact=True))
    bar(hand, "Clear the selection")
    assert hand.page.evaluate("pickedIds()") == []
    choose(hand, {"selections": "a few"})
    return own


SELECTING = (a_tick, a_range, a_group, a_box, a_lasso, a_text, numbers, more_like_one, all_others)


@pytest.mark.parametrize("action", [*SELECTING, a_kept_selection])
def test_images_are_selected(
    hand: Mouse, site: Site, action: Callable[[Mouse, Site], list[int]]
) -> None:
    wanted = action(hand, site)
    told = f"{len(wanted)} image{'s' * (len(wanted) != 1)} selected"
    expect(hand.page.locator("#count")).to_have_text(told)
    assert hand.page.evaluate("pickedIds()") == wanted and 0 < len(wanted) < 360


# Deciding: each returns whether what was done is kept.


def move(hand: Mouse, site: Site) -> Holds:
    own = some(hand, "A")
    bar(hand, "Move the selected images")
    small = hand.page.locator("dialog#small")
    hand.choose(small.get_by_role("combobox", name="to"), "group B")
    hand.press(small.get_by_role("button", name="Move"))
    return lambda: {*own} <= {*site.members("B")}


def make_a_group(hand: Mouse, site: Site) -> Holds:
    own = some(hand, "A")
    bar(hand, "Move the selected images")
    small = hand.page.locator("dialog#small")
    hand.choose(small.get_by_role("combobox", name="to"), "a new group")
    hand.write(small.get_by_role("textbox", name="its name"), "rings")
    hand.press(small.get_by_role("button", name="Move"))
    return lambda: site.members("rings") == own


def merge(hand: Mouse, site: Site) -> Holds:
    both = sorted(site.members("A") + site.members("C"))
    for name in "CA":
        hand.press(hand.page.get_by_role("checkbox", name=f"select group {name}", exact=True))
    bar(hand, "Merge 2 groups")
    return lambda: site.members("C") == both


def split(hand: Mouse, site: Site) -> Holds:
    whole = {*site.members("B")}
    hand.press(card(hand, "B").get_by_role("button", name="Split", exact=True))
    return lambda: all({*site.members(half)} & whole for half in ("B a", "B b"))


def halved(hand: Mouse, site: Site, by: str) -> Holds:
    whole = site.members("B")
    hand.press(hand.page.get_by_role("button", name=f"split group B by {by}"))
    return lambda: sorted(site.members("B a") + site.members("B b")) == whole


def split_by_map(hand: Mouse, site: Site) -> Holds:
    return halved(hand, site, "place on the map")


def split_by_pose(hand: Mouse, site: Site) -> Holds:
    return halved(hand, site, "pose")


def rename(hand: Mouse, site: Site) -> Holds:
    own = site.members("B")
    hand.write(hand.page.get_by_role("textbox", name="name of group B"), "bows")
    hand.press(card(hand, "B").get_by_role("button", name="Name", exact=True))
    return lambda: site.members("bows") == own


def tag(hand: Mouse, site: Site) -> Holds:
    own = site.names(some(hand, "B"))
    bar(hand, "Tag the selected images")
    hand.write(hand.page.locator("dialog#small").get_by_role("combobox", name="tag"), "dust")
    hand.press(hand.page.get_by_role("button", name="Give it"))
    return lambda: (
        {k for k, v in site.kept.decisions.marks.items() if v.tags == ("dust",)} == {*own}
    )


def junk(hand: Mouse, site: Site) -> Holds:
    own = site.names(some(hand, "B"))
    bar(hand, "Junk the selected images")
    return lambda: all(site.kept.decisions.of(name).junk is True for name in own)


def keep(hand: Mouse, site: Site) -> Holds:
    own = site.names(some(hand, "B"))
    bar(hand, "Keep the selected images")
    return lambda: all(site.kept.decisions.of(name).junk is False for name in own)


def junk_a_group(hand: Mouse, site: Site) -> Holds:
    hand.press(hand.page.get_by_role("button", name="Junk group A"))
    return lambda: [one.name for one in site.kept.entries if one.junk] == ["A"]


def keep_a_group(hand: Mouse, site: Site) -> Holds:
    junk_a_group(hand, site)
    hand.press(hand.page.get_by_role("button", name="Keep group A"))
    return lambda: not any(one.junk for one in site.kept.entries)


def turn(hand: Mouse, site: Site) -> Holds:
    hand.press(hand.page.get_by_role("button", name="right by 15 degrees of group B"))
    return lambda: site.kept.upright(site.kept.named("B")).degrees == 15


def mirror(hand: Mouse, site: Site) -> Holds:
    hand.press(hand.page.get_by_role("button", name="mirror the frame of group B"))
    return lambda: site.kept.upright(site.kept.named("B")).flipped


ABOUT_IMAGES = (move, make_a_group, tag, junk, keep)
SPLITS = (split, split_by_map, split_by_pose)
ABOUT_GROUPS = (merge, *SPLITS, rename, junk_a_group, keep_a_group, turn, mirror)


def steps(page: Page, back: str) -> int:
    return page.evaluate(f"state.{back}")


@pytest.mark.parametrize("action", [*ABOUT_IMAGES, *ABOUT_GROUPS])
def test_what_is_decided_is_kept_undone_and_made_again(
    hand: Mouse, site: Site, action: Callable[[Mouse, Site], Holds]
) -> None:
    holds = action(hand, site)
    expect(hand.page.locator("#said")).not_to_be_empty()
    count = 2 if action is keep_a_group else 1
    hand.page.wait_for_function("count => state.undo === count", arg=count)
    assert holds()
    made = site.kept.version
    for button, there, version in (("Undo", "redo", site.start.version), ("Redo", "undo", made)):
        for done in range(count):
            bar(hand, button)
            hand.page.wait_for_function(f"done => state.{there} === done", arg=done + 1)
        assert site.kept.version == version
    assert holds()


# Judging.


def test_groups_are_sorted(hand: Mouse, site: Site) -> None:
    hand.choose(hand.page.locator("#sort"), "smallest first")
    shown = hand.page.locator(".group h3").all_text_contents()
    wanted = sorted("ABC", key=lambda name: len(site.members(name)))
    assert shown == [f"Group {name}" for name in wanted]


def test_a_whole_group_is_seen_upright(hand: Mouse, site: Site) -> None:
    hand.press(card(hand, "A").get_by_role("button", name="All members"))
    dialog = hand.page.locator("dialog#members")
    look = "all => all.map((one) => one.style.backgroundImage)"
    lying = dialog.locator(".thumb").evaluate_all(look)
    hand.choose(dialog.get_by_role("combobox", name="show"), "all upright")
    expect(dialog.locator("[aria-busy=false]")).to_be_visible()
    upright = dialog.locator(".thumb").evaluate_all(look)
    assert len(upright) == len(lying) > 50 and not {*upright} & {*lying}


def test_an_original_is_opened_and_zoomed(hand: Mouse, site: Site) -> None:
    hand.open(typical(hand, "A"), 0)
    hand.press(hand.page.get_by_role("button", name="Original"))
    dialog = hand.page.locator("dialog#original")
    expect(dialog.locator("canvas")).to_be_focused()
    whole = hand.page.evaluate("original.scale")
    hand.press(dialog.get_by_role("button", name="zoom in"))
    assert hand.page.evaluate("original.scale") == pytest.approx(1.5 * whole)
    hand.press(dialog.get_by_role("button", name="show all of it"))
    assert hand.page.evaluate("original.scale") == pytest.approx(whole)
    hand.press(dialog.get_by_role("button", name="Close", exact=True))
    expect(dialog).to_be_hidden()


def test_two_groups_are_seen_side_by_side(hand: Mouse, site: Site) -> None:
    hand.press(hand.page.get_by_role("button", name="Compare group A with another"))
    dialog = hand.page.locator("dialog#compare")
    other = dialog.get_by_role("combobox", name="second group")
    hand.choose(other, "C" if other.input_value() == "B" else "B")
    lefts = dialog.locator(".side").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().x)"
    )
    assert len(lefts) == 2 and lefts[0] < lefts[1]
    hand.press(dialog.get_by_role("button", name="Close", exact=True))
    expect(dialog).to_be_hidden()


# Taking away.


def taken(hand: Mouse, button: str) -> bytes:
    """What a button of the dialog hands out."""
    with hand.page.expect_download() as download:
        hand.press(hand.page.locator("dialog#take").get_by_role("button", name=button))
    return Path(download.value.path()).read_bytes()


def test_a_selection_is_taken_away(hand: Mouse, site: Site) -> None:
    own = site.names(some(hand, "A"))
    bar(hand, "Take the selection away")
    assert taken(hand, "List of names").decode().split() == [*own]
    csv = pyarrow.csv.read_csv(io.BytesIO(taken(hand, "Table (.csv)")))
    table = pyarrow.parquet.read_table(io.BytesIO(taken(hand, "Table (.parquet)")))
    assert csv["file"].to_pylist() == table["file"].to_pylist() == [*own]


def test_the_command_for_a_group_is_copied(hand: Mouse, site: Site) -> None:
    hand.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    hand.press(hand.page.get_by_role("checkbox", name="select group B"))
    bar(hand, "Take the selection away")
    dialog = hand.page.locator("dialog#take")
    hand.choose(dialog.get_by_role("combobox", name="The command that writes"), "a Parquet table")
    hand.press(dialog.get_by_role("button", name="Copy the command"))
    expect(hand.page.locator("#said")).to_contain_text("The command is copied.")
    folder = site.explorer.run.folder
    wanted = f"mcevae select {folder} --keep B --junk too --out selected.parquet"
    assert hand.page.evaluate("navigator.clipboard.readText()") == wanted
