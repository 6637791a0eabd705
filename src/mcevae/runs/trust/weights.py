"""How cues become trust: two regressions whose weights `benchmarks/trust.py` has fitted.

The share of images that are with their like is a logistic function of the cues, times `enough`: if
there are only half as many clusters as kinds, then about half of the images have no cluster for
their kind, however well the clusters hold.

The runs that they were fitted on had labels, so it was known which of their images were with their
like. A user's labels are never read.
"""

import json
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float

from mcevae.runs.trust.cues import Cues

FILE = "trust.json"
NAMES = tuple(one.name for one in fields(Cues))
CAP = "enough"
"""The cue that is a factor."""
SLOPES = tuple(name for name in NAMES if name != CAP)
"""Cues of the logistic function."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A regression of a share on the cues of a cluster.

    Attributes:
        slope: of the cues in `SLOPES`.
        offset: the logit where all cues are 0.
    """

    slope: tuple[float, ...]
    offset: float

    def __call__(self, cues: Cues) -> Float[np.ndarray, " k"]:
        """Estimate the share for each cluster, 0 to 1."""
        table = np.stack([getattr(cues, name) for name in SLOPES], 1)
        logit = table @ np.array(self.slope) + self.offset
        return getattr(cues, CAP) / (1 + np.exp(-logit))


@cache
def weights(name: str) -> Weights:
    """The weights for one share: "with_like" or "pure", see `Trust`."""
    text = (files("mcevae") / "assets" / FILE).read_text("utf-8")
    known = json.loads(text)[name]
    return Weights(slope=tuple(known["slope"][each] for each in SLOPES), offset=known["offset"])
