"""What to look at first in a run, as sentences for its page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcevae.pages.collected import Gallery
from mcevae.runs.trust.advice import advice
from mcevae.runs.units import clusters_of
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
    held = {*gallery.cluster.tolist()}  # also those whose images were moved elsewhere by hand
    empty = sum(
        not one["size"] and not held & {*clusters_of(one["units"])} and not one["made"]
        for one in groups
    )
    largest = np.bincount(gallery.cluster).max() / len(gallery)
    if largest >= COLLAPSED and gallery.clusters > 1:
        more = gallery.advice or (
            "Look at its images. If they show several things, look at what they share, such as "
            "noise or background, and check that group and support are right."
        )
        say(f"One cluster has {largest:.0%} of the images. {more}")
    elif empty:
        say(f"{empty} of {len(groups)} groups are empty: ask for fewer clusters.")
    if gallery.trust is not None:
        home = homes(groups)
        for one in advice(gallery.trust, [f"Group {groups[i]['name']}" for i in home]):
            say(one.text, None if one.cluster is None else home[one.cluster])
    odd = int((gallery.outlier >= OUTLIER).sum())
    expected = (1 - OUTLIER) * len(gallery)
    if odd > max(3, 2 * expected):
        say(f"The model draws {odd} images worse than 99 % of validation images: see the outliers.")
    if gallery.trust is None:
        for i, one in sorted(filled, key=lambda pair: pair[1]["sure"])[:3]:
            if one["sure"] < SURE:
                share = f"{one['sure']:.0%}"
                say(f"Group {one['name']}: the model is sure of only {share} of its images.", i)
    for sentence in health.findings(gallery.signs).values():
        say(sentence)
    return found or [{"text": "No problems found.", "group": None}]


def homes(groups: Sequence[dict[str, Any]]) -> list[int]:
    """The group of each cluster. A cluster that was split counts for the group with its first part.

    Args:
        groups: the groups as a page shows them.
    """
    home: dict[int, int] = {}
    for i, one in enumerate(groups):
        for cluster in clusters_of(one["units"]):
            home.setdefault(cluster, i)
    return [home[cluster] for cluster in range(len(home))]
