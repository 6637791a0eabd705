"""A sitting in the explorer: split, name, junk, take away; see `sitting.py`."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from playwright.sync_api import Locator, expect
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, KDTree
from sitting_hand import Hand, Point
from sitting_set import JUNK

PAGE = 120  # images that a list shows at once
CARDS = 50  # images on a page of Embedding Atlas
TOO_MANY = 3  # good images on such a page of the least sure ones, from which on it is left alone
SECOND = 0.05  # from this share on, the average of a group looks like a blend of two kinds
NEAR = 9.0  # dots of one heap are nearer than this, in pixels
SMALL, LEAST = 200, 5  # dots of a small heap
Eye = dict[str, str]
"""What the file of each image shows, for a person who sees it."""


def heaps(places: np.ndarray) -> list[np.ndarray]:
    """Small heaps of dots that lie apart on a map, by the numbers of their dots.

    Args:
        places: (n, 2) of the dots, in pixels.
    """
    linked = KDTree(places).sparse_distance_matrix(KDTree(places), NEAR)
    _, of = connected_components(linked, directed=False)
    sizes = np.bincount(of)
    small = np.flatnonzero((sizes >= LEAST) & (sizes <= SMALL))
    return [np.flatnonzero(of == heap) for heap in small]


def around(places: np.ndarray, margin: float = 4.0) -> list[Point]:
    """A line around dots, closed, a little away from them."""
    corners = np.concatenate(
        [places + margin * np.array(d) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    )
    hull = corners[ConvexHull(corners).vertices]
    kept = hull[:: max(1, len(hull) // 8)]
    middle = kept.mean(0)
    wider = middle + (kept - middle) * 1.08
    return [(float(x), float(y)) for x, y in [*wider, wider[0]]]


def runs(marked: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last of each run of what is marked."""
    edges = np.flatnonzero(np.diff([False, *marked, False]))
    return [(int(low), int(high) - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]


class Sitter:
    """Somebody before the explorer's page, who sees what the images show.

    Attributes:
        hand: what they do.
        eye: what they see.
        names: of the images, by their numbers on the page.
    """

    def __init__(self, hand: Hand, eye: Eye) -> None:
        self.hand, self.page = hand, hand.page
        self.names: list[str] = self.page.evaluate("state.images.names")
        self.eye = [eye[name] for name in self.names]
        self.log: list[str] = []

    def junk(self, image: int) -> bool:
        """Whether an image is seen to be junk."""
        return self.eye[image] in JUNK

    def state(self) -> dict[str, int]:
        """How much junk is left, and how many good images are thrown away."""
        thrown = set(self.page.evaluate("everyImage().filter((id) => state.junk[id])"))
        every = range(len(self.eye))
        return {
            "junk_left": sum(self.junk(i) and i not in thrown for i in every),
            "good_lost": sum(not self.junk(i) and i in thrown for i in every),
        }

    def bar(self, name: str) -> Locator:
        """A button of the bar."""
        return self.page.locator("#bar").get_by_role("button", name=name, exact=True)

    def said(self, text: str) -> Callable[[], None]:
        """Wait for what the page says."""
        return lambda: expect(self.page.locator("#said")).to_contain_text(text, timeout=60_000)

    def groups(self) -> list[dict]:
        """Names of the groups with images, and what they show, the most frequent first."""
        shown = self.page.evaluate(
            "state.groups.map((one, i) => ({id: one.id, name: one.name, members: membersOf(i)}))"
        )
        for one in shown:
            counts = Counter(self.eye[i] for i in one["members"])
            one["kinds"] = [kind for kind, count in counts.most_common() if kind not in JUNK]
            one["shares"] = [counts[kind] / len(one["members"]) for kind in one["kinds"]]
        return [one for one in shown if one["members"]]

    def card(self, group: dict) -> Locator:
        """The card of a group."""
        return self.page.locator(".group").filter(
            has=self.page.get_by_role("heading", name=f"Group {group['name']}", exact=True)
        )

    def split(self) -> None:
        """Split groups whose card shows a blend of two kinds."""
        for group in self.groups():
            self.hand.decide(range(2))  # canonical image and average
            if len(group["shares"]) > 1 and group["shares"][1] > SECOND:
                button = self.card(group).get_by_role("button", name="Split", exact=True)
                self.hand.click(button, self.said("is split"))
                self.log.append(f"split group {group['name']}")

    def name(self) -> None:
        """Name each group by what it shows."""
        for group in self.groups():
            self.hand.decide()
            field = self.card(group).get_by_role("textbox")
            self.hand.write(group["kinds"][0], field)
            self.hand.press("Enter", self.said(f"is now {group['kinds'][0]}"))

    def heaps(self) -> None:
        """Draw lassos around small heaps of junk on the map."""
        page, drawn = self.page, 0
        page.locator("#map").scroll_into_view_if_needed()
        page.evaluate("document.getElementById('map-mode').scrollIntoView()")
        page.wait_for_timeout(300)
        self.hand.click(page.get_by_role("radio", name="lasso"))
        self.hand.choose(page.locator("#map-how"), "add")
        page.evaluate(
            "scrollTo(0, scrollY + document.getElementById('map').getBoundingClientRect().top - 60)"
        )
        box = page.locator("#map").bounding_box()
        assert box
        places = np.array(page.evaluate("everyImage().map(place)")) + np.array((box["x"], box["y"]))
        for heap in heaps(places):
            looked = heap[np.linspace(0, len(heap) - 1, 3).astype(int)]
            for dot in looked:
                self.hand.hover(tuple(places[dot]))
            self.hand.decide(looked)
            if all(self.junk(i) for i in looked):
                self.hand.drag(around(places[heap]))
                drawn += 1
        if drawn:
            self.throw()
        self.log.append(f"{drawn} small heaps of junk on the map")

    def unsure(self) -> None:
        """Read the least sure images, page by page, and throw away all below a limit."""
        hand, dialog = self.hand, self.page.locator("dialog#members")
        hand.click(self.bar("Invert the selection"))
        seen = dialog.locator(".thumb").first
        hand.click(self.bar("Show the selected images"), lambda: expect(seen).to_be_visible())
        hand.choose(dialog.get_by_label("order"), "lowest confidence first")
        members, at, limit = self.page.evaluate("listing.members"), 0, 0.0
        while at < len(members):
            if at:
                hand.click(dialog.locator("#longer"))
            shown = members[at : at + PAGE]
            hand.decide(shown)
            good = [i for i in shown if not self.junk(i)]
            if len(good) > TOO_MANY * PAGE // CARDS:
                limit = self.page.evaluate(f"state.images.confidence[{good[0]}] - 1") / 255
                break
            at += PAGE
        hand.press("Escape")
        hand.click(self.bar("Clear the selection"))
        if limit > 0:
            hand.click(self.bar("Choose images"))
            choose = self.page.locator("dialog#choose")
            hand.write(f"{limit:.4f}", choose.get_by_label("confidence to", exact=True))
            hand.click(choose.get_by_role("button", name="Select", exact=True))
            self.throw()
        self.log.append(f"junk below a confidence of {limit:.4f}")

    def lists(self) -> None:
        """Go through the members of each group, the least sure first, while a page has junk."""
        for group in self.groups():
            dialog = self.page.locator("dialog#members")
            members = self.card(group).get_by_role("button", name="All members")
            self.hand.click(
                members, lambda d=dialog: expect(d.locator(".thumb").first).to_be_visible()
            )
            for order in ("lowest confidence first", "highest outlier score first"):
                if order != "lowest confidence first":
                    self.hand.choose(dialog.get_by_label("order"), order)
                self.read(dialog)
            self.hand.press("Escape")

    def read(self, dialog: Locator) -> None:
        """Tick the junk of a list, page by page, until a page has none; then throw it away."""
        thrown = set(self.page.evaluate("everyImage().filter((id) => state.junk[id])"))
        members, at, found = self.page.evaluate("listing.members"), 0, 0
        while at < len(members):
            if at:
                self.hand.click(dialog.locator("#longer"))
            shown = members[at : at + PAGE]
            self.hand.decide(shown)
            marked = [self.junk(i) and i not in thrown for i in shown]
            ticks = dialog.locator(".tick")
            for low, high in runs(marked):
                self.hand.click(ticks.nth(at + low))
                if high > low:
                    self.hand.click(ticks.nth(at + high), modifiers=["Shift"])
            found += sum(marked)
            at += PAGE
            if not any(marked):
                break
        if found:
            self.throw()

    def throw(self) -> None:
        """Call the selected images junk."""
        none = "No image is selected"
        count = self.page.locator("#count")
        button = self.bar("Junk the selected images")
        self.hand.click(button, lambda: expect(count).to_have_text(none, timeout=60_000))

    def take(self) -> str:
        """Select what is kept, keep it as a selection, and copy the command that writes folders."""
        hand, page = self.hand, self.page
        hand.decide()
        hand.click(self.bar("Choose images"))
        choose = page.locator("dialog#choose")
        hand.choose(choose.get_by_role("combobox", name="junk"), "0")
        hand.click(choose.get_by_role("button", name="Select", exact=True))
        hand.click(self.bar("Take the selection away"))
        dialog = page.locator("dialog#take")
        hand.write("clean", dialog.get_by_label("keep as"))
        hand.press("Enter", lambda: expect(dialog.locator("code")).to_be_visible())
        hand.click(dialog.get_by_role("button", name="Copy the command"))
        return dialog.locator("code").inner_text()
