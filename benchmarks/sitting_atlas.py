"""The same sitting in Embedding Atlas, from our export: counted by what its page has, not run.

Its map needs WebGPU with half floats, which Chromium has only with a graphics card. So lassos are
taken to catch just what they are drawn around, and the script outside to do what it says.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sitting_explorer import CARDS, SECOND, TOO_MANY, Eye, around, heaps
from sitting_hand import Hand
from sitting_set import JUNK

VERSION = "0.26.0"
SCALE = 536  # pixels of the map's side in a window of 1440 x 1000
OUTSIDE = """
import pandas as pd, shutil, pathlib
names = {NAMES}
t = pd.read_parquet("images.parquet")
t["kind"] = t.group.map(names)
for path in pathlib.Path().glob("part-*.parquet"):
    t.loc[t.file.isin(pd.read_parquet(path).file), "kind"] = path.stem[5:]
junk = pd.concat(map(pd.read_parquet, pathlib.Path().glob("junk-*.parquet"))).file
for row in t[~t.file.isin(junk)].itertuples():
    folder = pathlib.Path("clean", row.kind)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pathlib.Path("images", row.file), folder)
"""
"""What Embedding Atlas has no words for: names, junk, a group in two, folders."""
EXPORT = 3  # clicks: the arrow, Export Selection, Clear filters


def counted(exported: Path, eye: Eye, typed: list[str]) -> dict[str, Any]:
    """Count the sitting, and what comes out of it.

    Args:
        exported: images.parquet.
        eye: what the file of each image shows.
        typed: commands that are typed before.
    """
    rows = pq.read_table(exported, columns=["file", "group", "confidence", "map_x", "map_y"])
    table, hand = rows.to_pydict(), Hand(None)
    seen = np.array([eye[name] for name in table["file"]])
    is_junk, groups = np.isin(seen, JUNK), np.array(table["group"])
    for text in typed:
        hand.write(text + "\n")
    places = SCALE * np.stack([table["map_x"], table["map_y"]], 1)
    thrown = np.zeros(len(seen), bool)
    hand.counts["clicks"] += 2  # lasso, cards
    for heap in heaps(places):
        looked = heap[np.linspace(0, len(heap) - 1, 3).astype(int)]
        hand.counts["hovers"] += len(looked)
        hand.decide(looked)
        if is_junk[looked].all():
            surround(hand, places[heap])
            thrown[heap] = True
    named, sorted_as = {}, np.empty(len(seen), object)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        kinds = Counter(seen[mine[~is_junk[mine]]].tolist()).most_common(2)
        named[str(group)] = sorted_as[mine] = kinds[0][0]
        hand.counts["clicks"] += 2  # its bar, and the bar again
        hand.decide(range(12))
        if len(kinds) > 1 and kinds[1][1] > SECOND * len(mine):
            second = mine[seen[mine] == kinds[1][0]]
            surround(hand, places[second])
            sorted_as[second] = kinds[1][0]
    low, limit = unsure(hand, np.array(table["confidence"]), is_junk)
    hand.counts["clicks"] += 5 + EXPORT  # sort by confidence, a predicate with its two fields, Add
    hand.write(f"lowconfidence < {limit:.4f}")
    thrown |= low
    script = OUTSIDE.strip().replace("{NAMES}", repr(named))
    hand.write(script)
    kept = ~thrown & ~is_junk
    told = {name: count for name, count in hand.told().items() if name != "page_seconds"}
    return {
        "version": VERSION,
        "how": "counted, not run",
        **told,
        "characters_outside": len(script),
        "kinds_named": len(set(sorted_as[kept])),
        "images": int((~thrown).sum()),
        "junk_left": int((is_junk & ~thrown).sum()),
        "good_lost": int((thrown & ~is_junk).sum()),
        "in_wrong_group": int((sorted_as[kept] != seen[kept]).sum()),
    }


def surround(hand: Hand, dots: np.ndarray) -> None:
    """Draw around dots, export them under a name, and clear the selection."""
    hand.counts["drags"] += 1
    hand.counts["corners"] += len(around(dots)) - 1
    hand.counts["clicks"] += EXPORT
    hand.write("part-1")


def unsure(hand: Hand, confidence: np.ndarray, is_junk: np.ndarray) -> tuple[np.ndarray, float]:
    """Read the least sure images, page by page: which are junk by a limit, and the limit."""
    order = np.argsort(confidence, kind="stable")
    for at in range(0, len(order), CARDS):
        page = order[at : at + CARDS]
        hand.decide(page)
        hand.counts["clicks"] += 1
        good = np.flatnonzero(~is_junk[page])
        if len(good) > TOO_MANY:
            limit = confidence[page[good[0]]]
            return confidence < limit, float(limit)
    return np.ones(len(order), bool), 1.0
