"""What makes a run doubtful, as sentences that name the remedy, the most important first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mcevae.runs.scores import effective_number
from mcevae.runs.trust.trust import FAIR, FIRM, Trust, word

HALVES = 0.25
"""A cluster whose two best halves are connected less well than this is surely two. One kind that
varies in size or light: 0.25 and more."""
SAME = 0.55
"""Two clusters that are connected better than this can hardly be told apart."""
BORDER = 0.12
"""If the cue `border` is larger than this, backgrounds were sorted."""
ENOUGH = 0.7
"""Clusters whose effective number is a smaller share of that of the graph are too few."""
NOISE = 0.5
"""Images with a larger share of noise are mostly noise."""
BEYOND = 0.15
"""If a larger share of the most similar pairs lies further apart than the support, it is too
narrow."""
MIRROR = 0.2
"""If a larger share of the most similar pairs are mirror images, these occur."""
AGAIN = 0.8
"""A cluster that keeps fewer of its images when they are moved does not hold."""
EACH = 3
"""Clusters that sentences of one kind name, at most."""


@dataclass(frozen=True)
class Advice:
    """A sentence, and the cluster that it is about; None: the whole run."""

    text: str
    cluster: int | None = None


def advice(trust: Trust, names: Sequence[str]) -> list[Advice]:
    """Say what is wrong with a run, and which flag mends it.

    A sentence is only written if trust is low as well, since each cue alone can mislead: kinds may
    differ in their backgrounds, and two kinds may be alike. So a firm run gets none.

    Args:
        trust: of the run.
        names: what people call its K clusters.
    """
    if trust.run >= FIRM and min(filled(trust), default=1.0) >= FAIR:
        return []
    about_run = about_all(trust) if trust.run < FIRM else []
    weak = [k for k in np.argsort(trust.clusters).tolist() if trust.sizes[k]]
    weak = [k for k in weak if trust.clusters[k] < FIRM]
    found = about_run + split_clusters(trust, names, weak)
    found += joined_clusters(trust, names, weak)
    named = {one.cluster for one in found}
    unexplained = [k for k in weak if k not in named and trust.clusters[k] < FAIR]
    if about_run:
        return found
    for k in unexplained[:EACH]:
        found.append(
            Advice(
                f"{names[k]} is doubtful: only about {trust.clusters[k]:.0%} of its images are "
                "with their like. Look at its images before you use it.",
                k,
            )
        )
    return found


def filled(trust: Trust) -> list[float]:
    """Trust of the clusters that have images."""
    return [one for one, size in zip(trust.clusters, trust.sizes, strict=True) if size]


def about_all(trust: Trust) -> list[Advice]:
    """Sentences about the whole run."""
    found = []

    def mean(name: str) -> float:
        return float(np.average(trust.cues[name], weights=np.maximum(trust.sizes, 1e-9)))

    if mean("border") > BORDER:
        found.append(
            Advice(
                "The border of images alone predicts their group: backgrounds were sorted, not "
                "things. Train with --flatten yes, or cut images out with a plain background."
            )
        )
    if mean("beyond") > BEYOND:
        found.append(
            Advice(
                f"{mean('beyond'):.0%} of the most similar pairs of images are turned further from "
                "each other than the support allows: train with a larger --rotation."
            )
        )
    if mean("mirror") > MIRROR:
        found.append(
            Advice(
                f"{mean('mirror'):.0%} of the most similar pairs of images fit much better if one "
                "is mirrored: train with --mirror, if mirror images are the same to you."
            )
        )
    found += too_few_clusters(trust, mean("enough"))
    if mean("noise") > NOISE:
        found.append(
            Advice(
                f"{mean('noise'):.0%} of what the pixels show is noise: averages of groups say "
                "more than single images. More images help; so does a smaller --size."
            )
        )
    if mean("again") < AGAIN:
        found.append(
            Advice(
                f"Only {mean('again'):.0%} of the images keep their group when they are moved: "
                "check --group, --rotation and --shift, or train longer (more --epochs, and no "
                "--quick, which trains nothing)."
            )
        )
    return found


def too_few_clusters(trust: Trust, enough: float) -> list[Advice]:
    """A sentence about clusters that are fewer than the communities of the graph."""
    if enough >= ENOUGH or not sum(trust.sizes):
        return []
    kinds = round(effective_number(trust.sizes) / enough)
    return [
        Advice(
            f"The images fall into about {kinds} groups, but you have {len(filled(trust))}: each "
            f"may hold several kinds. Train with --clusters {kinds}."
        )
    ]


def split_clusters(trust: Trust, names: Sequence[str], weak: Sequence[int]) -> list[Advice]:
    """Sentences about clusters that are surely two."""
    two = [k for k in weak if trust.cues["halves"][k] < HALVES]
    return [
        Advice(
            f"{names[k]} falls into two parts that hardly touch: it shows two kinds. Ask for more "
            "clusters with --clusters.",
            k,
        )
        for k in two[:EACH]
    ]


def joined_clusters(trust: Trust, names: Sequence[str], weak: Sequence[int]) -> list[Advice]:
    """Sentences about pairs of clusters that can hardly be told apart."""
    found, seen = [], set()
    for k in weak:
        pair = frozenset((k, trust.other[k]))
        if trust.cues["nearest"][k] > SAME and trust.other[k] >= 0 and pair not in seen:
            seen.add(pair)
            found.append(
                Advice(
                    f"{names[k]} and {names[trust.other[k]]} can hardly be told apart: merge them, "
                    "or ask for fewer clusters with --clusters.",
                    k,
                )
            )
    return found[:EACH]


def told(trust: Trust | None) -> tuple[str, ...]:
    """The sentences of `advice` about clusters that have only numbers; none without trust."""
    if trust is None:
        return ()
    found = advice(trust, [f"cluster {k}" for k in range(len(trust.clusters))])
    return tuple(f"{one.text[0].upper()}{one.text[1:]}" for one in found)


def in_words(trust: Trust) -> str:
    """The trust of a run as a line: number, word and meaning."""
    return (
        f"trust {trust.run:.2f}, {word(trust.run)}: about {round(10 * trust.run)} of 10 images are "
        "with their like"
    )
