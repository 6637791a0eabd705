"""How well things were found in scenes: places, groups and poses against the truth."""

import math

import numpy as np
import torch
from scenes_made import Scene
from scipy.optimize import linear_sum_assignment

from mcevae.geometry.groups import reflect
from mcevae.reproduce.protocols import placed

NEAR = 3.0
"""Pixels within which a find is right."""


def linear(
    angle: np.ndarray, scale: np.ndarray | None = None, mirrored: np.ndarray | None = None
) -> np.ndarray:
    """The 2 x 2 parts of poses: degrees, magnification and mirror images, (n,) each."""
    turn = torch.zeros(len(angle), 3, 3, dtype=torch.float64)
    turn[:] = placed(angle, np.zeros((len(angle), 2)))
    turn = turn * torch.tensor(np.ones(len(angle)) if scale is None else scale)[:, None, None]
    flipped = np.zeros(len(angle), bool) if mirrored is None else mirrored
    return reflect(turn, torch.tensor(flipped))[:, :2, :2].numpy()


class Tally:
    """Counts of right and wrong finds, over scenes."""

    def __init__(self) -> None:
        self.found = self.there = self.right = 0
        self.pairs: list[tuple[int, int, float, np.ndarray]] = []

    def add(
        self,
        one: Scene,
        place: np.ndarray,
        cluster: np.ndarray,
        angle: np.ndarray,
        scale: np.ndarray | None = None,
        mirrored: np.ndarray | None = None,
    ) -> None:
        """Add the finds of a scene."""
        apart = np.linalg.norm(place[:, None] - one.place[None], axis=2)
        finds, things = linear_sum_assignment(np.minimum(apart, 2 * NEAR))
        good = apart[finds, things] <= NEAR
        self.found, self.there = self.found + len(place), self.there + len(one.place)
        self.right += int(good.sum())
        poses = linear(angle, scale, mirrored)
        true = linear(one.angle, one.scale, one.mirrored)
        for i, j in zip(finds[good], things[good], strict=True):
            frame = np.linalg.inv(poses[i]) @ true[j]  # the same for all of a cluster
            self.pairs.append((int(cluster[i]), int(one.kind[j]), float(apart[i, j]), frame))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(self.found + self.there, 1)

    def scores(self) -> dict[str, float]:
        """F1, share of right groups, and median error of poses where the group is right."""
        clusters, kinds, apart, frames = map(np.array, zip(*self.pairs, strict=True))
        table = np.zeros((clusters.max() + 1, kinds.max() + 1))
        np.add.at(table, (clusters, kinds), 1)
        of = dict(zip(*linear_sum_assignment(-table), strict=True))
        right = np.array([of.get(c) == k for c, k in zip(clusters, kinds, strict=True)])
        errors = []
        for cluster in np.unique(clusters):
            own = frames[(clusters == cluster) & right]
            if len(own) > 2:
                errors.append(against(own))
        turned, grown, same = np.concatenate(errors or [np.full((1, 3), math.nan)]).T
        return {
            "f1": round(self.f1, 4),
            "precision": round(self.right / max(self.found, 1), 4),
            "recall": round(self.right / self.there, 4),
            "group_right": round(float(right.mean()), 4),
            "place_median_px": round(float(np.median(apart)), 3),
            "rotation_median_deg": round(float(np.nanmedian(turned)), 2),
            "scale_median_percent": round(float(100 * np.nanmedian(grown)), 2),
            "mirrored_right": round(float(np.nanmean(same)), 4),
        }


def against(frames: np.ndarray) -> np.ndarray:
    """Errors of poses against that of a cluster which is nearest to all others, as the frame.

    Args:
        frames: (n, 2, 2) of the canonical frame that each thing says.

    Returns:
        (n, 3): degrees, logarithm of the magnification, and 1 where mirror images are right. The
        first two are NaN where these are wrong.
    """
    between = np.linalg.inv(frames)[:, None] @ frames[None]
    sign = np.linalg.det(between)
    turned = np.degrees(
        np.arctan2(between[..., 1, 0] - between[..., 0, 1], between[..., 0, 0] + between[..., 1, 1])
    )
    turned, grown = np.abs(turned), np.abs(np.log(np.abs(sign))) / 2
    wrong = sign < 0
    row = (np.where(wrong, 180, turned) + 100 * grown).mean(1).argmin()
    turned, grown = (np.where(wrong[row], math.nan, one[row]) for one in (turned, grown))
    return np.stack([turned, grown, ~wrong[row]], 1)
