"""A hand on mouse and keyboard of a browser, which counts what it does; see `sitting.py`."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Download, Locator, Page

PACE = {"point": 1.1, "button": 0.2, "key": 0.28, "mental": 1.35, "image": 0.1}
"""Seconds for a person, as the keystroke-level model has them (Card, Moran and Newell, 1980): to
point at something, to press and let go a button, to press a key, to decide. The last one is for a
look at a thumbnail, which that model does not have: our guess."""
Point = tuple[float, float]


class Hand:
    """Acts on a page as a person does, and counts.

    Attributes:
        page: the page. None: nothing is done, only counted.
        counts: clicks, drags, keys, characters, hovers, decisions, images looked at.
        page_seconds: seconds that the page took to answer.
    """

    def __init__(self, page: Page | None) -> None:
        self.page: Any = page
        self.counts: Counter[str] = Counter()
        self.page_seconds = 0.0

    def waited(self, act: Callable[[], Any], until: Callable[[], Any] | None = None) -> None:
        """Do something, wait until the page has answered, and note how long that took."""
        started = time.perf_counter()
        act()
        if until:
            until()
        self.page_seconds += time.perf_counter() - started

    def click(self, what: Locator, until: Callable[[], Any] | None = None, **keys: Any) -> None:
        """Click on something; a key that is held counts as pressed."""
        self.counts["clicks"] += 1
        self.counts["keys"] += len(keys.get("modifiers", ()))
        what.scroll_into_view_if_needed()
        self.waited(lambda: what.click(**keys), until)

    def choose(self, field: Locator, option: str, until: Callable[[], Any] | None = None) -> None:
        """Choose from a list that opens: two clicks."""
        self.counts["clicks"] += 2
        self.waited(lambda: field.select_option(option), until)

    def press(self, key: str, until: Callable[[], Any] | None = None) -> None:
        """Press a key; keys that are held with it count as well."""
        self.counts["keys"] += key.count("+") + 1
        self.waited(lambda: self.page.keyboard.press(key), until)

    def write(self, text: str, into: Locator | None = None) -> None:
        """Type a text, in the page (in place of what is in a field) or elsewhere."""
        self.counts["characters"] += len(text)
        if into:
            self.click(into)
            self.press("ControlOrMeta+a")
            self.page.keyboard.type(text)

    def drag(self, route: Sequence[Point], until: Callable[[], Any] | None = None) -> None:
        """Draw with the button held."""
        self.counts["drags"] += 1
        self.counts["corners"] += len(route) - 1
        mouse = self.page.mouse

        def draw() -> None:
            mouse.move(*route[0])
            mouse.down()
            for place in route[1:]:
                mouse.move(*place, steps=4)
            mouse.up()

        self.waited(draw, until)

    def hover(self, place: Point) -> None:
        """Rest on a place, and look at what the page says of it."""
        self.counts["hovers"] += 1
        self.page.mouse.move(*place)

    def decide(self, images: Iterable[Any] = ()) -> None:
        """Look at images, and make up the mind once."""
        self.counts["decisions"] += 1
        self.counts["images looked at"] += len(list(images))

    def download(self, what: Locator, path: Path) -> Path:
        """Click on something that gives a file."""
        got: list[Download] = []

        def fetch() -> None:
            with self.page.expect_download() as coming:
                what.click()
            got.append(coming.value)

        self.counts["clicks"] += 1
        self.waited(fetch)
        got[0].save_as(path)
        return path

    def told(self) -> dict[str, Any]:
        """What was counted, and how long a person would take."""
        counts = {name: count for name, count in sorted(self.counts.items()) if name != "corners"}
        pace, seen = PACE, self.counts
        person = (pace["point"] + pace["button"]) * (seen["clicks"] + seen["drags"])
        person += pace["point"] * (seen["corners"] + seen["hovers"])
        person += pace["key"] * (seen["keys"] + seen["characters"])
        person += pace["mental"] * seen["decisions"] + pace["image"] * seen["images looked at"]
        return {
            **counts,
            "page_seconds": round(self.page_seconds, 1),
            "person_seconds": round(person),
        }
