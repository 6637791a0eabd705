"""How cues become trust: two regressions whose weights `benchmarks/trust.py` has fitted.

The share of images that are with their like is a logistic function of the cues, times a factor. If
there are only half as many clusters as kinds, then about half of the images have no cluster for
their kind, however well the clusters hold. If there are twice as many, most kinds are spread over
several.

The runs that they were fitted on had labels, so it was known which of their images were with their
like. A user's labels are never read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Float

from mcevae.runs.trust.cues import NEIGHBOURS, Cues

FILE = "trust.json"
NAMES = tuple(one.name for one in fields(Cues))
FACTORS = {"enough": 1.0, "needed": 0.3}
"""Cues that are factors, and their powers. `needed` counts less: where kinds are alike, the graph's
communities may be fewer than the kinds."""
SLOPES = tuple(name for name in NAMES if name not in FACTORS)
"""Cues of the logistic function."""
POWERS = {"neighbours": NEIGHBOURS}
"""Cues of the logistic function that are taken to a power. To the power of their number,
`neighbours` is about the chance that all neighbours of an image have its cluster."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A regression of a share on the cues of a cluster.

    Attributes:
        slope: of the cues in `SLOPES`, those in `POWERS` taken to their power.
        offset: the logit where all cues are 0.
    """

    slope: tuple[float, ...]
    offset: float

    def __call__(self, cues: Cues) -> Float[np.ndarray, " k"]:
        """Estimate the share for each cluster, 0 to 1."""
        values = {name: getattr(cues, name) for name in NAMES}
        logit = terms(values) @ np.array(self.slope) + self.offset
        return factor(values) / (1 + np.exp(-logit))


def terms(cues: Mapping[str, Sequence[float] | np.ndarray]) -> Float[np.ndarray, "k slopes"]:
    """The terms of the logistic function of K clusters, from their cues in `SLOPES`, (K,) each."""
    parts = [np.asarray(cues[name], float) ** POWERS.get(name, 1) for name in SLOPES]
    return np.stack(parts, 1)


def factor(cues: Mapping[str, Sequence[float] | np.ndarray]) -> Float[np.ndarray, " k"]:
    """The factor of K clusters, 0 to 1, from their cues in `FACTORS`, (K,) each."""
    parts = [np.asarray(cues[name], float) ** power for name, power in FACTORS.items()]
    return np.prod(parts, 0)


@cache
def weights(name: str) -> Weights:
    """The weights for one share: "with_like" or "pure", see `Trust`."""
    text = (files("mcevae") / "assets" / FILE).read_text("utf-8")
    known = json.loads(text)[name]
    return Weights(slope=tuple(known["slope"][each] for each in SLOPES), offset=known["offset"])
