"""How cues become trust: two logistic regressions whose weights `benchmarks/trust.py` has fitted.

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


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A logistic regression of a share on the cues of a cluster.

    Attributes:
        slope: (cues,).
        offset: the logit where all cues are 0.
    """

    slope: tuple[float, ...]
    offset: float

    def __call__(self, cues: Cues) -> Float[np.ndarray, " k"]:
        """Estimate the share for each cluster, 0 to 1."""
        logit = cues.matrix() @ np.array(self.slope) + self.offset
        return 1 / (1 + np.exp(-logit))


@cache
def weights(name: str) -> Weights:
    """The weights for one share: "with_like" or "pure", see `Trust`."""
    text = (files("mcevae") / "assets" / FILE).read_text("utf-8")
    known = json.loads(text)[name]
    return Weights(slope=tuple(known["slope"][each] for each in NAMES), offset=known["offset"])
