"""Add the average of each group, from the original images, to the data of a page."""

from typing import Any

from mcevae.pages.sheets import data_uri, png
from mcevae.predicting.average_files import looked_at
from mcevae.predicting.averages import Average
from mcevae.predicting.kept_sums import averages_in
from mcevae.predicting.sums import Sums
from mcevae.runs.collections import Collections
from mcevae.runs.ring_correlation import THRESHOLDS
from mcevae.runs.run import TrainedRun
from mcevae.runs.units import clusters_of


def add_averages(
    made: dict[str, Any], sums: Sums, run: TrainedRun, collections: Collections
) -> dict[str, Any]:
    """Give each group its average.

    Args:
        made: groups of a page, as `gallery.collections_of` makes them; they are changed.
        sums: sums of the units of the groups.
        run: the run.
        collections: the groups.

    Returns:
        `made`.
    """
    averages = averages_in(sums, run, collections)
    for group, one in zip(made["groups"], averages, strict=True):
        if one is None and clusters_of(group["units"]):
            group["average"] = None  # split after the sums were made
        elif one is not None and one.images:
            group["average"] = facts(one, run.colours)
    return made


def facts(one: Average, colours: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a page needs of an average: picture, words, and the curve of its halves."""
    found = one.correlation
    return {
        "picture": data_uri(png(looked_at(one.shown(), colours)), "png"),
        "words": one.in_words(),
        "frequency": [] if found is None else [round(f, 4) for f in found.frequency.tolist()],
        "correlation": [] if found is None else [round(c, 3) for c in found.correlation.tolist()],
        "resolutions": one.resolutions,
        "thresholds": THRESHOLDS,
    }
