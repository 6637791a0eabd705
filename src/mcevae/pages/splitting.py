"""Splitting a group on the explorer's page: by what varies in it, by the map, or by the pose."""

from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.cluster import KMeans

from mcevae.pages.collected import Gallery
from mcevae.pages.explorer import Explorer
from mcevae.runs.collections import SEED, Collections

By = Literal["z", "map", "pose"]
NAMELESS = "the images of this run have no names, so a group is split by z alone"


def split(
    explorer: Explorer, group: str, by: By = "z", version: str | None = None
) -> dict[str, Any]:
    """Split a group, keep it in the run, and return the groups.

    By z, it is a rule for all images, see `Collections.split`. By the map or by the pose, it is
    said of the images in the gallery: the smaller half is moved to a new group, as people move
    images. Other images stay with the larger half.

    Args:
        explorer: of the run.
        group: its id.
        by: what the halves differ in.
        version: as in `Explorer.change`.

    Raises:
        Behind: the groups have another version.
        ValueError: there is no such group, or its images have no names or do not differ.
    """
    found = explorer.gallery

    def how(old: Collections) -> Collections:
        index = old.identified(group)
        if by == "z":
            return old.split(index, found.cluster, found.z)
        return parted(old, index, found, by)

    return explorer.change(how, version)


def parted(old: Collections, index: int, found: Gallery, by: Literal["map", "pose"]) -> Collections:
    """The collections after the smaller half of one is moved to a new one.

    Args:
        old: the collections.
        index: index of the collection.
        found: the images.
        by: what the halves differ in.

    Raises:
        ValueError: as for `split`.
    """
    name, names = old.entries[index].name, found.names
    if names is None:
        raise ValueError(NAMELESS)
    mine = np.flatnonzero(old.assign(found.cluster, found.z, names) == index)
    values = found.where[mine] if by == "map" else posed(found, old, mine)
    if len(np.unique(values, axis=0)) < 2:
        what = "places on the map" if by == "map" else "poses"
        raise ValueError(f"group {name} cannot be split: no two of its images have other {what}")
    made = old.renamed(index, f"{name} a").added(f"{name} b")
    moved = [names[i] for i in mine[smaller_half(values)]]
    return made.said(made.decisions.moved(moved, made.entries[-1].id))


def smaller_half(values: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Which rows are in the smaller half of two that k-means with two means finds."""
    second = KMeans(2, random_state=SEED).fit(values).labels_ == 1
    return second if second.sum() <= len(second) / 2 else ~second


def posed(
    found: Gallery, groups: Collections, mine: Int[np.ndarray, " m"]
) -> Float[np.ndarray, "m d"]:
    """Poses of images as rows that can be compared: each coordinate counts the same.

    An angle is a point on a circle, which goes round once for each order of symmetry, since poses
    are known up to these alone.
    """
    pose, mirrored = found.posed(groups)
    order, _ = found.frames.sureness(torch.from_numpy(found.cluster[mine]))
    parts: list[np.ndarray] = []
    for values, one in zip(pose[mine].T, found.coordinates, strict=True):
        angle = np.radians(values) * (order if one.name == "rotation" else 1)
        turns = one.unit == "deg"
        parts.append(np.stack([np.cos(angle), np.sin(angle)], 1) if turns else values[:, None])
    if mirrored is not None:
        parts.append(mirrored[mine, None].astype(float))
    spreads = (np.sqrt(part.var(0).sum()) + 1e-9 for part in parts)
    return np.hstack([part / spread for part, spread in zip(parts, spreads, strict=True)])
