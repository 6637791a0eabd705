"""Groups of a run that was extended, and where its new images are."""

from dataclasses import replace

import numpy as np
import torch

from mcevae.images.blocks import images_in, is_new
from mcevae.images.splits import Splits
from mcevae.predicting.novelty import ODD
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import embed_with_misfits
from mcevae.runs.members import Collection
from mcevae.runs.run import TrainedRun
from mcevae.runs.trust.trust import by_these_weights, trust_of, word
from mcevae.runs.units import clusters_of


def with_new(groups: Collections, kinds: int) -> Collections:
    """The groups of a run with more clusters, each a group of its own.

    Args:
        groups: of the run before.
        kinds: number of new clusters.
    """
    taken, entries = {entry.name for entry in groups.entries}, list(groups.entries)
    for cluster in range(groups.clusters, groups.clusters + kinds):
        name = str(cluster)
        while name in taken:
            name = f"cluster {name}"
        taken.add(name)
        entries.append(Collection(name=name, units=(str(cluster),)))
    return replace(
        groups,
        clusters=groups.clusters + kinds,
        entries=tuple(entries),
    )


CHANGED = 0.05
"""If trust in a group changes by less, and its word stays, nobody is told."""


def trust_told(before: TrainedRun, now: TrainedRun) -> list[str]:
    """Say how far the groups of a run could be trusted before it got new images, and can be now.

    Groups are named whose trust has changed, and those that are new.

    Args:
        before: the run.
        now: the new run, which has its calibration.

    Returns:
        Sentences, the first of which is about the whole run; none if trust is not known.
    """
    then, trust = before.trust, now.trust
    if then is None or trust is None:
        return []
    then = by_these_weights(then)
    run = f"{then.run:.2f} ({word(then.run)}) before, {trust.run:.2f} ({word(trust.run)}) now"
    said = [f"Trust: {run}."]
    known = {entry.id: entry.units for entry in before.collections.entries}
    for entry in now.collections.entries:
        if not clusters_of(entry.units):  # it was made by hand
            continue
        value, said_now = trust_of(trust, entry.units)
        if entry.id not in known:
            said.append(f"Trust in group {entry.name}, which is new: {value:.2f} ({said_now}).")
            continue
        old, said_then = trust_of(then, known[entry.id])
        if said_then != said_now or abs(value - old) >= CHANGED:
            told = f"{old:.2f} ({said_then}) before, {value:.2f} ({said_now}) now"
            said.append(f"Trust in group {entry.name}: {told}.")
    return said


def in_words(run: TrainedRun, data: Splits, first: int, kinds: int) -> str:
    """Say where the new images of a run are.

    Args:
        run: the new run, which has its calibration.
        data: its images.
        first: place of the first new one.
        kinds: number of new kinds.
    """
    groups, parts = run.collections, images_in(data)
    count, odd = np.zeros(len(groups.entries), int), 0
    for images in parts:
        new = is_new(images, first)
        pixels = images.pixels[torch.from_numpy(new)]
        if not len(pixels):
            continue
        features = None if images.features is None else images.features[torch.from_numpy(new)]
        found, misfits = embed_with_misfits(run.model, pixels, evidence=run.told(features))
        names = None if images.names is None else images.names[new].tolist()
        home = groups.assign(found.cluster.numpy(), found.z.numpy(), names)
        count += np.bincount(home, minlength=len(count))
        odd += int((run.calibration.outlier(found.responsibilities, misfits) >= ODD).sum())
    before = len(groups.entries) - kinds
    total = int(count.sum())
    said = f"{total:,} new image{'s' * (total != 1)}: "
    said += f"{count[:before].sum():,} in the {before} groups there were"
    if kinds:
        names = ", ".join(entry.name for entry in groups.entries[before:])
        new = f"{kinds} new group{'s' * (kinds != 1)} ({names})"
        said += f", {count[before:].sum():,} in {new}"
    return f"{said}. Outliers among them: {odd:,}."
