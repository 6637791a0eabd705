"""The average of each group at full resolution, and how far its two halves agree."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from mcevae.geometry.warp import warp
from mcevae.images.intensities import pairs_of, tails
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Source
from mcevae.models.contract import Model
from mcevae.predicting.aligning import aligned
from mcevae.predicting.sums import Sum, Sums, sum_up
from mcevae.runs.answers import as_pictures
from mcevae.runs.collections import Collection, Collections
from mcevae.runs.ring_correlation import THRESHOLDS, RingCorrelation, ring_correlation
from mcevae.runs.upright import AS_FOUND, Upright

FEW = 0.1
"""Where fewer than this share of the images cover a pixel, it shows the background."""
PLAIN = (0.0, 1.0)
"""Black and white of images that are not stretched."""


@dataclass(frozen=True, kw_only=True)
class Average:
    """The average of a group's images, each moved back by its pose.

    Intensities are those of the files: integers as shares of the largest value of their type,
    floats as they are. Pixels that hardly any image covers have that of the background. (C is 3 for
    colours, and otherwise the number of channels.)

    Attributes:
        name: name of the group.
        units: clusters, or parts of clusters, that the group is made of.
        picture: (H, W) or (H, W, C), of all images.
        even, odd: the same for the images number 0, 2, 4, ... and 1, 3, 5, ... of each unit.
        counts: number of images in even and in odd.
        sizes: smallest and largest (width, height) of the images. None: there are no images.
        correlation: Fourier ring correlation of even and odd. None: one of them has no images.
        levels: intensities to show as black and white: two for all channels, or two for each.
    """

    name: str
    units: tuple[str, ...]
    picture: Float32[np.ndarray, "*picture"]
    even: Float32[np.ndarray, "*picture"]
    odd: Float32[np.ndarray, "*picture"]
    counts: tuple[int, int]
    sizes: tuple[tuple[int, int], tuple[int, int]] | None
    correlation: RingCorrelation | None
    levels: tuple[float, ...]

    @property
    def images(self) -> int:
        """Number of images in the average."""
        return sum(self.counts)

    @cached_property
    def resolutions(self) -> tuple[float | None, ...]:
        """Finest detail in pixels on which the halves agree, for each of `THRESHOLDS`."""
        if self.correlation is None:
            return (None, None)
        return tuple(self.correlation.resolution(one) for one in THRESHOLDS)

    def in_words(self) -> str:
        """Say what the average is made of, and how fine its details are."""
        height, width = self.picture.shape[:2]
        count = "1 image" if self.images == 1 else f"{self.images} images"
        made = f"Average of {count}, {width} x {height} pixels"
        if self.sizes and self.sizes[0] != self.sizes[1]:
            least, most = (f"{w} x {h}" for w, h in self.sizes)
            made += f" (images of {least} to {most} were scaled)"
        return f"{made}. {self.detail_in_words()}"

    def detail_in_words(self) -> str:
        """Say how fine the details are on which the halves agree."""
        if self.correlation is None:
            return "Too few images for two halves, so its detail is not known."
        some, sure = self.resolutions
        if some is None:
            return "Its two halves do not agree, so it may show nothing."
        said = f"Shows details down to {some:.1f} pixels (halves agree, correlation 0.143)"
        return f"{said}, surely to {sure:.1f} (0.5)." if sure else f"{said}, none of them surely."

    def shown(self) -> Float32[np.ndarray, "*picture"]:
        """The picture from 0 (black) to 1 (white)."""
        return shown(self.picture, self.levels)


def shown(picture: np.ndarray, levels: tuple[float, ...]) -> np.ndarray:
    """A picture from 0 to 1, with levels as black and white."""
    low, high = np.array(pairs_of(levels)).T
    scaled = (picture.reshape(*picture.shape[:2], -1) - low) / np.maximum(high - low, 1e-12)
    return scaled.clip(0, 1).astype(np.float32).reshape(picture.shape)


def own_levels(picture: Float32[np.ndarray, "*picture"], *, apart: bool) -> tuple[float, ...]:
    """Intensities to show as black and white: two for all channels, or two for each if `apart`."""
    every = np.moveaxis(picture, -1, 0) if apart and picture.ndim == 3 else [picture]
    return tuple(end for each in every for end in tails(each))


def averages_of(
    sums: Sums, collections: Collections, *, reach: float, mirror: bool
) -> list[Average | None]:
    """Divide sums by their numbers of images, group by group.

    The units of a merged group may have different frames: each is moved onto the largest. The
    average is then turned as people have turned the frame of that unit.

    Args:
        sums: sums of the units.
        collections: the groups.
        reach: largest rotation between two frames, radians.
        mirror: whether a frame may be the mirror image of another.

    Returns:
        The average of each group, in their order. None: a unit of it has no sum, because a group
        was split, or made by hand, after the sums were made.
    """
    made: list[Average | None] = []
    known = set(sums.units)
    for entry in collections.entries:
        units = [one for one in entry.units if one in sums.units or one not in collections.made]
        if not units or not known.issuperset(units):
            made.append(None)
            continue
        largest = max(units, key=lambda unit: sum(sums.units[unit].counts))
        turn = collections.uprights.get(largest, AS_FOUND)
        if (entry.units, turn) not in sums.averages:
            own = joined([sums.units[unit] for unit in units], sums, reach, mirror)
            sums.averages[entry.units, turn] = average(entry, turned(own, turn), sums)
        made.append(replace(sums.averages[entry.units, turn], name=entry.name))
    return made


def cluster_averages(
    model: Model, source: Source, recipe: Recipe, collections: Collections
) -> list[Average]:
    """Average the images of each cluster of a model, with two halves.

    Args:
        model: model in evaluation mode.
        source: source of the images, at full resolution.
        recipe: brings them to the form that the model takes.
        collections: groups of the clusters, which know how people have turned frames. The first
            part of a split cluster counts for all of it.

    Returns:
        The average of each cluster, (K,).

    Raises:
        UserError: no image can be used.
    """
    groups = Collections.plain(collections.clusters)
    sums = sum_up(model, source, recipe, groups)
    turns = [
        collections.uprights.get(f"{k}.0" if k in collections.centres else str(k), AS_FOUND)
        for k in range(groups.clusters)
    ]
    return [
        average(one, turned(sums.units[one.name], turn), sums)
        for one, turn in zip(groups.entries, turns, strict=True)
    ]


def joined(own: list[Sum], sums: Sums, reach: float, mirror: bool) -> Sum:
    """One sum of several, all in the frame and at the size of the largest."""
    largest = max(own, key=lambda one: sum(one.counts))
    total, counts = largest.total.clone(), list(largest.counts)
    sizes = list(largest.sizes or ())
    shape = total.shape[-2:]
    for other in own:
        if other is largest or not sum(other.counts):
            continue
        loose = other.total
        if loose.shape[-2:] != shape:
            loose = F.interpolate(loose, shape, mode="bilinear", antialias=True)
        pictures = (divided(one.sum(0), sums) for one in (total, loose))
        total += warp(loose, aligned(*pictures, reach=reach, mirror=mirror)[None], mode="bicubic")
        counts = [a + b for a, b in zip(counts, other.counts, strict=True)]
        sizes += other.sizes or ()
    ends = (min(sizes), max(sizes)) if sizes else None
    return Sum(total=total, counts=counts, sizes=ends)


def turned(own: Sum, turn: Upright) -> Sum:
    """A sum in the frame that people have set."""
    if turn == AS_FOUND:
        return own
    return replace(own, total=warp(own.total, turn.element.expand(2, 3, 3), mode="bicubic"))


def divided(total: Float[Tensor, "channels h w"], sums: Sums) -> Float[Tensor, "c h w"]:
    """Sums of intensities over the images that cover each pixel; the background if few do."""
    enough = max(FEW * total[-1].max().item(), FEW)
    covered = total[-1] >= enough
    mean = total[:-1] / total[-1].clamp_min(enough)
    seen = mean[:, covered] if covered.any() else torch.zeros(len(mean), 1)
    if sums.levels is not None:
        low, high = torch.tensor(pairs_of(sums.levels)).T
    elif sums.apart:
        low, high = seen.amin(1), seen.amax(1)
    else:
        low, high = seen.min()[None], seen.max()[None]
    return torch.where(covered, mean, (low + sums.background * (high - low))[:, None, None])


def average(entry: Collection, own: Sum, sums: Sums) -> Average:
    """The average of a group from its sum."""
    even, odd = (divided(half, sums) for half in own.total)
    picture = divided(own.total.sum(0), sums)
    correlation = None
    if min(own.counts):
        covered = torch.stack([h[-1] / n for h, n in zip(own.total, own.counts, strict=True)])
        correlation = ring_correlation(even, odd, (2 * covered.amin(0)).clamp(0, 1))
    arrays: Any = as_pictures(torch.stack([picture, even, odd]))
    levels = PLAIN if sums.levels == PLAIN else own_levels(arrays[0], apart=sums.apart)
    return Average(
        name=entry.name,
        units=entry.units,
        picture=arrays[0],
        even=arrays[1],
        odd=arrays[2],
        counts=(own.counts[0], own.counts[1]),
        sizes=own.sizes,
        correlation=correlation,
        levels=levels,
    )
