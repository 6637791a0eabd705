"""The same sitting in Embedding Atlas, from our export; see `sitting.py`."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from playwright.sync_api import Locator, Page
from sitting_explorer import Eye, around, heaps
from sitting_hand import Hand
from sitting_set import JUNK

OUTSIDE = """
import pandas as pd, shutil, pathlib
names = {NAMES}
t = pd.read_parquet("images.parquet")
t["kind"] = t.group.astype(str).map(names)
for path in pathlib.Path().glob("part-*.parquet"):
    t.loc[t.file.isin(pd.read_parquet(path).file), "kind"] = path.stem[5:]
junk = pd.concat(map(pd.read_parquet, pathlib.Path().glob("junk-*.parquet"))).file
for row in t[~t.file.isin(junk)].itertuples():
    folder = pathlib.Path("clean", row.kind); folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path("SOURCE", row.file), folder)
"""
"""What Embedding Atlas has no words for: names, junk, a group in two, folders."""
PAGE = 50  # cards on a page
TABLE = (1020, 690)
"""Right end and top of the table, in pixels."""
CLOSE = 0.004
"""Neighbours along an axis of the map that are nearer than this show where a line lies."""
LOW = 0.05  # share of good images from which on a page of the least sure images is left alone


def served(page: Page) -> Callable[[Any], Any]:
    """Answer a request for the page's program so that its map runs on a machine without a GPU.

    The map asks for half floats, which Chromium's own renderer lacks: whole floats instead.
    """

    def answer(route: Any) -> None:
        text = route.fetch().text().replace("[`shader-f16`,...e]", "[...e]")
        head, _, tail = text.partition("enable f16;")
        tail = tail.replace("array<f16>", "array<f32>").replace("= f16(", "= f32(")
        tail = tail.replace("=>e*t*n*2)", "=>e*t*n*4)")
        route.fulfill(body=head + tail, content_type="text/javascript")

    page.route("**/assets/index-*.js", answer)
    return answer


class Sitter:
    """Somebody before the page of Embedding Atlas, who sees what the images show."""

    def __init__(self, hand: Hand, eye: Eye, exported: Path, folder: Path) -> None:
        self.hand, self.page, self.folder = hand, hand.page, folder
        table = pq.read_table(exported, columns=["file", "group", "confidence", "map_x", "map_y"])
        self.rows = table.to_pydict()
        self.map = np.stack([self.rows["map_x"], self.rows["map_y"]], 1)
        self.eye = [eye[name] for name in self.rows["file"]]
        self.exported, self.log = exported, []
        shutil.copy(exported, folder / "images.parquet")
        self.places = self.seen()

    def junk(self, row: int) -> bool:
        """Whether an image is seen to be junk."""
        return self.eye[row] in JUNK

    def count(self) -> int:
        """How many images the page says are selected."""
        text = self.page.evaluate("document.body.innerText")
        found = re.search(r"([\d,]+)\s*/\s*[\d,]+ points", text)
        return int(found[1].replace(",", "")) if found else -1

    def changed(self, act: Callable[[], Any]) -> int:
        """Do something, wait until the count of selected images has changed, and return it."""
        before, tries = self.count(), 0
        act()
        while self.count() == before and tries < 40:
            self.page.wait_for_timeout(50)
            tries += 1
        last, same = self.count(), 0
        while same < 8:  # the page counts while one draws, too
            self.page.wait_for_timeout(60)
            now = self.count()
            same, last = (same + 1, now) if now == last else (0, now)
        return last

    def seen(self) -> np.ndarray:
        """Where the dots lie, in pixels: found by boxes whose counts are known. No work counts.

        The map's own picture cannot be seen here, where its renderer fails, so the script cannot
        take the dots from it, as a person does.
        """
        page = self.page
        page.get_by_title("Toggle rectangle selection mode").first.click()
        left, top, right, bottom = 50, 110, 1020, 640
        ends = []
        for across, cuts in ((True, range(300, 820, 65)), (False, range(240, 600, 45))):
            found = []
            for cut in cuts:
                page.mouse.move(left, top)
                page.mouse.down()
                page.mouse.move(*((cut, bottom) if across else (right, cut)), steps=4)
                found.append(self.changed(page.mouse.up))
                self.changed(page.get_by_title("Clear filters").click)
            ends.append((cuts, found))
        places = []
        for axis, (cuts, found) in enumerate(ends):
            values = np.sort(self.map[:, axis])
            values = values if axis == 0 else values[::-1]  # y may point up
            inner = [
                (cut, values[n - 1], values[n])
                for cut, n in zip(cuts, found, strict=True)
                if 0 < n < len(values)
            ]
            inner = [(cut, (one + two) / 2) for cut, one, two in inner if abs(one - two) < CLOSE]
            scale, start = np.polyfit([value for _, value in inner], [cut for cut, _ in inner], 1)
            places.append(start + self.map[:, axis] * scale)
        return np.stack(places, 1)

    def export(self, name: str) -> None:
        """Write what is selected, and clear the selection."""
        page = self.page
        self.hand.click(page.get_by_title("Export Selection").first)
        button = page.get_by_role("button", name="Export Selection").last
        self.hand.download(button, self.folder / f"{name}.parquet")
        page.keyboard.press("Escape")
        clear = page.get_by_title("Clear filters").first
        self.changed(lambda: self.hand.click(clear))

    def lasso(self, dots: np.ndarray) -> int:
        """Draw around dots; how many are selected."""
        return self.changed(lambda: self.hand.drag(around(self.places[dots])))

    def heaps(self) -> None:
        """Draw around small heaps of junk, one after the other, and export each."""
        self.hand.click(self.page.get_by_title("Toggle lasso selection mode").first)
        drawn = 0
        for heap in heaps(self.places):
            looked = heap[np.linspace(0, len(heap) - 1, 3).astype(int)]
            for dot in looked:
                self.hand.hover(tuple(self.places[dot]))
            self.hand.decide(looked)
            if all(self.junk(i) for i in looked):
                got = self.lasso(heap)
                self.log.append(f"lasso around {len(heap)}: {got} selected")
                self.export(f"junk-{drawn}")
                drawn += 1

    def names(self) -> dict[str, str]:
        """Look what each group shows: click its bar, look at cards, and click it away."""
        named: dict[str, str] = {}
        self.hand.click(self.page.get_by_title("Card view"))
        for group in sorted(set(self.rows["group"])):
            mine = [i for i, one in enumerate(self.rows["group"]) if one == group]
            bar = self.page.locator("button").get_by_text(group, exact=True).last
            self.changed(lambda b=bar: self.hand.click(b))
            self.hand.decide(range(12))
            kinds = Counter(self.eye[i] for i in mine if not self.junk(i)).most_common(2)
            named[group] = kinds[0][0]
            if len(kinds) > 1 and kinds[1][1] > 0.05 * len(mine):
                self.part(mine, kinds[1][0])
            else:
                self.changed(lambda b=bar: self.hand.click(b))
        return named

    def part(self, mine: list[int], kind: str) -> None:
        """Draw around the second kind of a group, and export it."""
        own = np.array([i for i in mine if self.eye[i] == kind])
        for dot in own[:6]:
            self.hand.hover(tuple(self.places[dot]))
        self.hand.decide(own[:6])
        got = self.lasso(own)
        self.log.append(f"lasso around {len(own)} of kind {kind}: {got} selected")
        self.export(f"part-{kind}")

    def heading(self, name: str) -> Locator:
        """The heading of a column of the table, which is below the map."""
        for one in self.page.get_by_text(name, exact=True).all():
            box = one.bounding_box()
            if box and box["y"] > TABLE[1] and box["x"] < TABLE[0]:
                return one
        raise AssertionError(f"there is no column {name}")

    def unsure(self) -> None:
        """Read the least sure images, page by page; say by a predicate which are junk."""
        order = np.argsort(self.rows["confidence"], kind="stable")
        self.hand.click(self.page.get_by_title("Table view"))
        self.hand.click(self.heading("confidence"))
        last = 0
        for at in range(0, len(order), PAGE):
            shown = order[at : at + PAGE]
            self.hand.decide(shown)
            good = [i for i in shown if not self.junk(i)]
            if len(good) > LOW * PAGE:
                last = at + next(k for k, i in enumerate(shown) if not self.junk(i))
                break
            self.hand.click(self.page.get_by_title("Next Page").first)
        limit = self.rows["confidence"][order[last]]
        text = f"confidence < {limit:.4f}"
        page = self.page
        self.hand.click(page.get_by_text("Add Predicate"))
        editor = page.locator(".cm-content").first
        self.hand.write("low", page.get_by_placeholder("predicate name"))
        self.hand.write(text, editor)
        self.hand.click(page.get_by_role("button", name="Add", exact=True))
        if self.count() == len(self.eye):
            self.changed(lambda: self.hand.click(page.get_by_text("low", exact=True).first))
        self.log.append(f"{text}: {self.count()} selected")
        self.export("junk-low")

    def outside(self, named: dict[str, str], source: Path) -> str:
        """The lines of Python that make the named set; they count as typed."""
        text = OUTSIDE.replace("{NAMES}", repr(named))
        self.hand.write(text.strip().replace("SOURCE", source.name))
        return text.replace("SOURCE", str(source))
