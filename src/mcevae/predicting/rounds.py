"""Rounds: what looks like nothing else is junk, and the next run is made from the rest.

An image is junk if it is drawn far worse than the usual image: the logarithm of its misfit is more
than `ODD` standard deviations above the median of the validation images, both measured so that
outliers do not move them (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993). This is
a bound on the outlier score. A group is junk if more than half of its images are. Trust is not
asked: groups of junk that looks alike have as much of it as others (docs/rounds.md).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mcevae.base.choosing import Choice
from mcevae.predicting.deciding import Decision, decide
from mcevae.predicting.family import Family, taken
from mcevae.predicting.selecting import Selected, Selector
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import LEVELS, SMALLEST, Calibration
from mcevae.runs.run import TrainedRun

ODD = 3.5
"""Standard deviations above the median."""
MAD = 1.4826
"""Median absolute deviations in a standard deviation of a normal distribution."""
WHOLE = 0.5
"""A group is junk if a larger share of its images is."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A run after its junk was found.

    Attributes:
        family: of the next run, made from all but the junk.
        images: number of images that are junk.
        groups: names of groups that are.
    """

    family: Family
    images: int
    groups: tuple[str, ...]

    def in_words(self) -> str:
        """Say what is junk."""
        groups = f", with all of {', '.join(self.groups)}" if self.groups else ""
        return f"{self.images:,} images look like nothing else, and are junk now{groups}"


def odd_from(calibration: Calibration) -> float:
    """The outlier score from which on an image is junk, 0 to 1.

    Args:
        calibration: of the run.
    """
    levels = np.log(np.maximum(calibration.misfits, SMALLEST))
    middle = np.median(levels)
    spread = MAD * max(float(np.median(np.abs(levels - middle))), 1e-9)
    bound = np.exp(middle + ODD * spread)
    return float(np.interp(bound, calibration.misfits, np.linspace(0, 1, LEVELS)))


def cleaned(run: TrainedRun, tell: Callable[[float, int], None] | None = None) -> Cleaned:
    """Call junk what looks like nothing else, in groups.json of the run, and keep the rest.

    Images without names cannot be marked one by one; the next run leaves them out all the same.

    Args:
        run: a run.
        tell: as for `Selector.select`.

    Raises:
        UserError: as for `Selector.select`; or nothing is left.
    """
    chosen = Selector(run).select(Choice(), tell)
    odd = chosen.rows["outlier"].to_numpy() >= np.float32(odd_from(run.calibration))
    group = np.array(chosen.rows["group"].to_pylist(), object)
    whole = [name for name in dict.fromkeys(group) if odd[group == name].mean() > WHOLE]
    junk = odd | np.isin(group, whole)
    if whole:
        with Collections.locked(run.folder):
            made = run.collections
            for name in whole:
                made = made.judged(made.named(name), True)
            run.regroup(made)
    if odd.any() and "file" in chosen.rows.column_names:
        names = np.array(chosen.names, object)[odd & ~np.isin(group, whole)]
        decide(run, names.tolist(), Decision(mark="junk"))
    rest = Selected(rows=chosen.rows.filter(~junk), total=chosen.total, places=chosen.places[~junk])
    family = taken(run, rest, "no junk, no image that looks like nothing else")
    return Cleaned(family=family, images=int(junk.sum()), groups=tuple(whole))
