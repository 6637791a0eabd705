"""What to look at first in a run, as sentences for its page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcevae.pages.collected import Gallery
from mcevae.training import health

COLLAPSED = 0.9
"""If one cluster has this share of the images or more, the clusters have collapsed."""
SURE = 0.9
"""An image with this confidence or more counts as sure."""
OUTLIER = 0.99
"""People should look at images with this outlier score or more."""


def findings(gallery: Gallery, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sentences about what to look at, the worst first, each with the group that it is about.

    Args:
        gallery: images of a run.
        groups: the groups as a page shows them.
    """
    found: list[dict[str, Any]] = []

    def say(text: str, group: int | None = None) -> None:
        found.append({"text": text, "group": group})

    filled = [(i, one) for i, one in enumerate(groups) if one["size"]]
    empty = len(groups) - len(filled)
    largest = np.bincount(gallery.cluster).max() / len(gallery)
    if largest >= COLLAPSED and gallery.clusters > 1:
        more = gallery.advice or (
            "Look at its images. If they show several things, look at what they share, such as "
            "noise or background, and check that group and support are right."
        )
        say(f"One cluster has {largest:.0%} of the images. {more}")
    elif empty:
        say(f"{empty} of {len(groups)} groups are empty: ask for fewer clusters.")
    odd = int((gallery.outlier >= OUTLIER).sum())
    expected = (1 - OUTLIER) * len(gallery)
    if odd > max(3, 2 * expected):
        say(f"The model draws {odd} images worse than 99 % of validation images: see the outliers.")
    doubtful = sorted(filled, key=lambda pair: pair[1]["sure"])
    for i, one in doubtful[:3]:
        if one["sure"] < SURE:
            say(
                f"Group {one['name']}: the model is sure of only {one['sure']:.0%} of its images.",
                i,
            )
    usual = float(np.median([one["size"] for _, one in filled]))
    for i, one in filled:
        if one["size"] > 1.7 * usual and len(filled) > 2:
            say(f"Group {one['name']} is large ({one['size']} images): does it show two kinds?", i)
        elif one["size"] < usual / 4:
            say(f"Group {one['name']} is small ({one['size']} images).", i)
    for sentence in health.findings(gallery.signs).values():
        say(sentence)
    return found or [
        {
            "text": "No problems found: groups are sure and similar in size.",
            "group": None,
        }
    ]
