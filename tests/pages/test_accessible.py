"""For everybody: axe-core finds nothing to mend in report and explorer, and colours can be told."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from mcevae.images.splits import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.report import write_report
from mcevae.runs.scores import Score
from tests.pages.test_selecting import bar, opened, picked
from tests.pages.test_serve import png_of

RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
"""All that are on by default, and that buttons are large enough for a finger."""
LOOKS = (("light", 1280), ("dark", 390), ("light", 390), ("dark", 1280))
DIALOGS = (
    *("showImage([0, 1], 0)", "showChoose()", "showTake()", "showMove()", "showTag()"),
    *("showOriginal(0)", "showAverage(largest)", "showMembers(largest)", "showCompare(largest)"),
    "showMembers(largest); listing.form = 'as a table'; fillList()",
)
"""What opens dialogs."""


CONTRASTS = """() => {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const light = (colour) => {
        pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => v / 255)
            .map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0) + .05;
    };
    const ground = light(getComputedStyle(document.querySelector(".map")).backgroundColor);
    return Array.from({ length: 40 }, (_, i) => light(hue(i)))
        .map((own) => Math.max(own, ground) / Math.min(own, ground));
}"""
"""How far the first colours of the map are from its ground."""


def sound(page: Page, part: str | None = None, looks: Any = LOOKS) -> None:
    """axe-core finds nothing, in any look. `part` is a selector; None: the whole page."""
    for scheme, width in looks:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 844})
        # What the bar covers is free after a scroll, but axe-core takes it for too small.
        page.evaluate("document.getElementById('bar')?.style.setProperty('position', 'static')")
        found = Axe().run(page, part, RULES)
        assert not found.violations_count, f"{scheme}, {width} px: {found.generate_report()}"


def test_nothing_in_the_explorer_is_closed_to_anybody(
    page: Page, parted: TestClient, address: str
) -> None:
    opened(page, address)
    sound(page)
    page.evaluate("largest = sortedGroups()[0]")
    assert page.evaluate("decide({ images: [3], mark: 'junk', tag: 'dust' }, '', false)")
    page.evaluate("pick([0, 1, 2]); say('Something went wrong.', true)")
    sound(page, looks=LOOKS[:2])
    for does in DIALOGS:
        page.evaluate(does)
        sound(page, "dialog[open]", LOOKS[:2])
        page.evaluate("dialogs.at(-1).close()")
    page.goto(f"{address}/docs")
    sound(page, looks=LOOKS[:2])


def test_nothing_of_new_images_is_closed_to_anybody(
    page: Page, errors: list[str], address: str, explorer: Explorer
) -> None:
    opened(page, address)
    kind = "image/png"
    named = {"a.png": png_of(explorer, 0), "b.png": png_of(explorer, 1), "c.png": b"no picture"}
    page.set_input_files(
        "#file", [{"name": k, "mimeType": kind, "buffer": v} for k, v in named.items()]
    )
    found = page.locator("#found")
    expect(found.get_by_role("status")).to_contain_text("2 of 3 files looked at, 1 cannot")
    found.get_by_role("button", name="a.png").click()
    expect(found.locator("#fresh h3")).to_have_text("a.png")
    sound(page, "#drop, #dropbox, #found")
    errors.clear()  # the browser counts the refused file as one


def test_a_report_selects_without_a_server(
    page: Page, named: TestClient, explorer: Explorer, small_data: Splits
) -> None:
    scores = {"bce": Score(value=100.0, unit="nats", n=100)}
    opened(page, write_report(explorer.run, small_data, scores).as_uri())
    sound(page)
    page.locator(".group").first.get_by_role("checkbox").check()
    bar(page, "Take the selection away").press("Enter")
    expect(page.locator("dialog#take code")).to_contain_text("mcevae select run --keep ")
    sound(page, "dialog[open]", LOOKS[:2])
    with page.expect_download() as download:
        page.get_by_role("button", name="List of numbers").press("Enter")
    listed = download.value.path().read_text().split()
    assert [int(one) for one in listed] == picked(page)
    assert not bar(page, "Undo").count()


def test_colours_of_the_map_can_be_told_from_the_ground(page: Page, address: str) -> None:
    opened(page, address)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert min(page.evaluate(CONTRASTS)) >= 3  # as WCAG asks of graphics
