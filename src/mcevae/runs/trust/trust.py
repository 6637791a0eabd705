"""Trust: the estimated share of images that are with their like, for each cluster and for a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import brentq
from scipy.special import expit, logit
from torch import Tensor

from mcevae.base.config import MOST_IMAGES
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs.trust.cues import Cues, Measured, measure
from mcevae.runs.trust.weights import NAMES, weights
from mcevae.runs.units import clusters_of

FIRM, FAIR = 0.85, 0.6
"""From these values of trust on, clusters are firm, or fair; others are doubtful."""
LIMIT = 12.0
"""Largest change of the logit of a confidence."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Whether to believe K clusters.

    Attributes:
        clusters: (K,) estimated share of a cluster's images that are with their like: kind and
            cluster belong together, one to one. So both halves of one kind have about 0.5.
        pure: (K,) estimated share of a cluster's images that show what most of its images show.
        sizes: (K,) number of the images that were looked at.
        shifts: (K,) is added to the logit of the confidence of an image, so that the mean
            confidence of a cluster's images is `pure`.
        other: (K,) the cluster that it is most alike; -1 if there is none.
        cues: (K,) of each name, see `Cues`.
    """

    clusters: tuple[float, ...]
    pure: tuple[float, ...]
    sizes: tuple[int, ...]
    shifts: tuple[float, ...]
    other: tuple[int, ...]
    cues: dict[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        columns = (self.pure, self.sizes, self.shifts, self.other, *self.cues.values())
        if any(len(one) != len(self.clusters) for one in columns):
            raise ValueError("the columns of trust have different lengths")
        if set(self.cues) != set(NAMES):
            raise ValueError("trust has other cues than this version knows")
        shares = (*self.clusters, *self.pure, *(v for one in self.cues.values() for v in one))
        if not all(0 <= one <= 1 for one in shares):
            raise ValueError("a trust or a cue is not from 0 to 1")
        if not all(abs(one) <= LIMIT for one in self.shifts):
            raise ValueError("a shift of confidence is too large")
        if not all(0 <= one <= MOST_IMAGES for one in self.sizes):
            raise ValueError("a cluster has an impossible number of images")
        if not all(-1 <= one < len(self.clusters) for one in self.other):
            raise ValueError("there is no such other cluster")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Trust | None":
        """Read it from JSON values: the inverse of `asdict`.

        Returns:
            Trust. None: an earlier version measured it, from other cues.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are something else.
        """
        if set(values["cues"]) < set(NAMES):
            return None
        return cls(
            clusters=tuple(float(one) for one in values["clusters"]),
            pure=tuple(float(one) for one in values["pure"]),
            sizes=tuple(int(one) for one in values["sizes"]),
            shifts=tuple(float(one) for one in values["shifts"]),
            other=tuple(int(one) for one in values["other"]),
            cues={name: tuple(float(v) for v in one) for name, one in values["cues"].items()},
        )

    @property
    def run(self) -> float:
        """Trust of all clusters together: the mean over images, 0 to 1."""
        if not sum(self.sizes):
            return 0.0
        return float(np.average(self.clusters, weights=self.sizes))


def trust_of(trust: Trust, units: Sequence[str]) -> tuple[float, str]:
    """Trust in a group, the mean of its clusters weighted by their sizes, and the word for it.

    Args:
        trust: in the clusters of a run.
        units: of the group, of which one or more are of clusters.
    """
    own = clusters_of(units)
    sizes = np.array([max(trust.sizes[k], 1e-9) for k in own])
    value = float(np.average([trust.clusters[k] for k in own], weights=sizes))
    return value, word(value)


def by_these_weights(trust: Trust) -> Trust:
    """What this version says of clusters whose cues an earlier one may have measured."""
    cues = Cues(**{name: np.array(values) for name, values in trust.cues.items()})
    estimated = weights("with_like")(cues)
    return replace(trust, clusters=tuple(round(float(one), 4) for one in estimated))


def word(trust: float) -> str:
    """A trust as a word: firm, fair or doubtful."""
    return "firm" if trust >= FIRM else "fair" if trust >= FAIR else "doubtful"


def trust_in(
    model: Model,
    config: Config,
    pixels: UInt8[Tensor, "n c h w"],
    steadiness: Callable[[Float[Tensor, "n K"]], Float[Tensor, " n"]],
) -> Trust | None:
    """Estimate trust in the clusters of a run from its training images.

    Args:
        model: model in evaluation mode.
        config: settings of the run.
        pixels: training images, in random order.
        steadiness: the confidence of images before trust is taken into account.

    Returns:
        Trust. None: the model has no clusters, searches for each image, which would take too long,
        or has a group of the user's own, for which trust was never fitted.
    """
    if not (model.quick and model.group.polar):
        return None
    measured = measure(model, config, pixels)
    found = measured.found
    clusters = found.responsibilities.shape[1]
    return None if clusters < 2 else trust_from(measured, steadiness(found.responsibilities))


def trust_from(measured: Measured, steady: Float[Tensor, " n"]) -> Trust:
    """Estimate trust from cues.

    Args:
        measured: the cues, and the images from which they come.
        steady: confidence of these images, before trust is taken into account.
    """
    cues, labels = measured.cues, measured.found.cluster.numpy()
    confidence = steady.numpy()
    pure = weights("pure")(cues)
    shifts = [shift_to(float(p), confidence[labels == k]) for k, p in enumerate(pure)]

    def rounded(values: np.ndarray) -> tuple[float, ...]:
        return tuple(round(float(one), 4) for one in values)

    return Trust(
        clusters=rounded(weights("with_like")(cues)),
        pure=rounded(pure),
        sizes=tuple(np.bincount(labels, minlength=len(pure)).tolist()),
        shifts=tuple(round(one, 4) for one in shifts),
        other=tuple(measured.other.tolist()),
        cues={name: rounded(getattr(cues, name)) for name in NAMES},
    )


def shift_to(mean: float, confidence: Float[np.ndarray, " m"]) -> float:
    """The number that, added to the logits of confidences, gives them this mean."""
    if not len(confidence):
        return 0.0
    known = logit(np.clip(confidence, 1e-6, 1 - 1e-6))

    def above(shift: float) -> float:
        return float(expit(known + shift).mean()) - mean

    if above(-LIMIT) >= 0 or above(LIMIT) <= 0:
        return -LIMIT if above(-LIMIT) >= 0 else LIMIT
    return float(brentq(above, -LIMIT, LIMIT))  # pyright: ignore[reportArgumentType]
