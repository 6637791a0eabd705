"""Fit the weights of trust to runs whose truth is known, and score trust on kinds left out."""

from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from mcevae.runs.trust.trust import shift_to
from mcevae.runs.trust.weights import SLOPES, factor, terms

ASSET = Path(__file__).parents[1] / "src" / "mcevae" / "assets" / "trust.json"
RIDGE = 2.0
"""Strength of the ridge, in weights of clusters; a run has weight 10 in all."""
SPREAD = 0.25
"""What counts as a large difference of a cue. It is the same for all, since a cue that hardly
differs in the runs would get a steep slope otherwise."""
EXPECTED = {
    "neighbours": 2.0,
    "stable": 1.0,
    "halves": 2.0,
    "nearest": -1.0,
    "again": 1.0,
    "sure": 1.0,
    "average": 1.0,
    "explained": 1.0,
    "noise": -0.5,
    "border": -12.0,
    "beyond": -3.0,
    "mirror": -1.0,
}
"""Slopes that are expected before any run is seen; the ridge draws fitted ones towards them. Some
cues speak in few kinds of runs only, and must not be forgotten where such a kind is left out."""
TARGETS = ("with_like", "pure")
MIDDLES = np.linspace(-8, 8, 33)[:-1] + 0.25
"""Logits of steadiness in the middles of the bins in which images are counted."""
EDGES = np.linspace(0, 1, 11)
WRONG, SURE = 0.6, 0.75
"""A run with less accuracy and more trust than these misleads."""
Runs = dict[str, dict[str, Any]]
Weights = dict[str, Any]


def table(runs: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Of all clusters with test images: terms of the cues, (clusters, cues), and the factor."""
    cues, factors = [], []
    for run in runs.values():
        kept = np.array(run["test"]) > 0
        cues.append(terms(run["cues"])[kept])
        factors.append(factor(run["cues"])[kept])
    return np.concatenate(cues), np.concatenate(factors)


def fitted(runs: Runs) -> dict[str, Weights]:
    """Weights of both regressions; every run counts alike.

    Args:
        runs: as results/trust.json has them.
    """
    cues, factors = table(runs)
    middle = cues.mean(0)
    x = (cues - middle) / SPREAD
    found = {}
    for target in TARGETS:
        share, weight = [], []
        for run in runs.values():
            test = np.array(run["test"])
            kept = test > 0
            share.append(np.array(run[target])[kept] / test[kept])
            weight.append(test[kept] / test.sum() * 10)
        y, w = np.concatenate(share), np.concatenate(weight)
        slope, offset = regressed(x, y, w, factors)
        slope = slope / SPREAD
        found[target] = {
            "slope": {name: round(float(v), 4) for name, v in zip(SLOPES, slope, strict=True)},
            "offset": round(float(offset - slope @ middle), 4),
        }
    return found


def regressed(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, factors: np.ndarray
) -> tuple[np.ndarray, float]:
    """Slopes and offset of a regression with a ridge, in which no cue misleads.

    The share is the factor times a logistic function of the cues, of largest likelihood.

    A cue that speaks against clusters cannot raise trust, nor one for them lower it. With few kinds
    of runs, a slope of the wrong sign would be chance.

    Args:
        x: (clusters, cues), about 0.
        y: (clusters,) share.
        weight: (clusters,).
        factors: (clusters,) above 0, at most 1.
    """
    expected = np.array([EXPECTED[name] for name in SLOPES]) * SPREAD
    sign = np.sign(expected)
    usual = np.abs(expected)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        logistic = expit(x @ (sign * values[:-1]) + values[-1])
        p = np.clip(factors * logistic, 1e-6, 1 - 1e-6)
        away = values[:-1] - usual
        cost = -weight * (y * np.log(p) + (1 - y) * np.log(1 - p))
        value = cost.sum() + (away**2).sum() * RIDGE / 2
        missed = weight * (p - y) / (1 - p) * (1 - logistic)  # by the logit
        slope = sign * (missed @ x) + RIDGE * away
        return float(value), np.append(slope, missed.sum())

    start, bounds = np.zeros(len(SLOPES) + 1), [(0, None)] * len(SLOPES) + [(None, None)]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return sign * found.x[:-1], float(found.x[-1])


def estimate(run: dict[str, Any], weights: Weights) -> np.ndarray:
    """The share that weights estimate for each cluster of a run."""
    slope = np.array([weights["slope"][name] for name in SLOPES])
    return factor(run["cues"]) * expit(terms(run["cues"]) @ slope + weights["offset"])


def left_out(runs: Runs) -> dict[str, tuple[float, np.ndarray]]:
    """Trust of each run, and estimated purity of its clusters, by runs of the other kinds."""
    found = {}
    for kind in {run["kind"] for run in runs.values()}:
        weights = fitted({n: run for n, run in runs.items() if run["kind"] != kind})
        for name, run in runs.items():
            if run["kind"] == kind:
                own = estimate(run, weights["with_like"])
                trust = float(np.average(own, weights=run["sizes"]))
                found[name] = trust, estimate(run, weights["pure"])
    return found


def summary(runs: Runs) -> dict[str, Any]:
    """How good trust and confidence are on kinds of images that the fit has not seen."""
    known = left_out(runs)
    trust = np.array([known[name][0] for name in runs])
    accuracy = np.array([run["accuracy"] for run in runs.values()])
    mislead = (accuracy < WRONG) & (trust > SURE)
    names = list(runs)
    return {
        "runs": len(runs),
        "spearman": round(float(spearmanr(trust, accuracy)[0]), 3),  # pyright: ignore[reportArgumentType]
        "mean_absolute_error": round(float(np.abs(trust - accuracy).mean()), 3),
        "misleading": [names[i] for i in np.flatnonzero(mislead)],
        "calibration_error": round(calibration_error(runs, known), 3),
        "trust": {name: round(known[name][0], 3) for name in sorted(known)},
    }


def calibration_error(runs: Runs, known: dict[str, tuple[float, np.ndarray]]) -> float:
    """Expected calibration error of confidences in ten bins, over the test images of all runs.

    An image is right if it shows what most of its cluster shows (Guo et al., "On calibration of
    modern neural networks", 2017). Every run counts alike. The outlier score is left out.
    """
    confidence, hits, weight = [], [], []
    for name, run in runs.items():
        wrong, right = np.array([[row.split() for row in part] for part in run["counts"]], int)
        total = wrong + right
        for pure, own, good in zip(known[name][1], total, right, strict=True):
            filled = own > 0
            shift = shift_to(float(pure), np.repeat(expit(MIDDLES), own)) if filled.any() else 0.0
            confidence.append(expit(MIDDLES + shift)[filled])
            hits.append(good[filled] / own[filled])
            weight.append(own[filled] / total.sum())
    c, hit, w = (np.concatenate(each) for each in (confidence, hits, weight))
    place = np.digitize(c, EDGES[1:-1])
    gaps = [abs((w * (c - hit))[place == i].sum()) for i in range(len(EDGES) - 1)]
    return float(sum(gaps) / w.sum())


def draw(runs: Runs, path: Path) -> None:
    """Draw trust against accuracy, one point a run, named."""
    known = left_out(runs)
    figure, axes = plt.subplots(figsize=(11, 11))
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    kinds = sorted({run["kind"] for run in runs.values()})
    for kind, marker in zip(kinds, cycle("os^vD<>pP*XHd"), strict=False):  # colours come in tens
        own = [name for name in runs if runs[name]["kind"] == kind]
        x = [runs[name]["accuracy"] for name in own]
        y = [known[name][0] for name in own]
        axes.scatter(x, y, marker=marker, s=36, label=kind)
        for name, a, b in zip(own, x, y, strict=True):
            axes.annotate(name, (a, b), fontsize=6, xytext=(3, 3), textcoords="offset points")
    axes.set(xlabel="accuracy on test images", ylabel="trust, without labels")
    axes.set(xlim=(0, 1.08), ylim=(0, 1.02))
    axes.legend(fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
