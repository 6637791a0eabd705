"""Whether new images are like those that a run learned from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mcevae.geometry.groups import WHOLE_CIRCLE, MatrixGroup
from mcevae.predicting.relion import elements_of
from mcevae.runs.run import TrainedRun

ODD = 0.99
"""Of images like those of the training, one in a hundred has this outlier score or more."""
MANY = 0.05
"""If more images than this share are odd, people are told."""
NEARLY_ALL = 0.9
"""If more images than this share are odd, the run says nothing about them."""
ENOUGH = 20
"""Fewer images tell nothing."""
ENDS = 0.95
"""Poses beyond this share of the support's half-width lie at its end."""
CROWDED = 0.3
"""If more poses than this share lie at the ends, the support may be too narrow for the images."""


@dataclass(kw_only=True)
class Novelty:
    """Counts what is odd in the rows of a table, as they are written.

    Attributes:
        group: of the poses.
        half_widths: of the support, by the name of the coordinate, in the unit of the group; those
            without ends are left out.
        images: number of images.
        odd: number of images with an outlier score of `ODD` or more.
        ends: number of images whose pose lies at an end of the support, by name.
    """

    group: MatrixGroup
    half_widths: dict[str, float]
    images: int = 0
    odd: int = 0

    def __post_init__(self) -> None:
        self.ends = dict.fromkeys(self.half_widths, 0)

    def counted(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Give the tables on, and count."""
        for rows in tables:
            self.images += rows.num_rows
            self.odd += int(np.sum(rows["outlier"].to_numpy() >= ODD))
            parameters = self.group.to_parameters(elements_of(rows, self.group)).abs()
            for name, half_width in self.half_widths.items():
                far = parameters[:, self.group.coordinates.index(name)] >= ENDS * half_width
                self.ends[name] += int(far.sum())
            yield rows

    @classmethod
    def of(cls, run: TrainedRun) -> "Novelty":
        """Nothing is counted yet. Poses in frames that people have turned are not looked at."""
        group = run.model.group
        support = run.settings.support.half_widths(group)
        known = {
            name: half_width
            for name, unit, half_width in zip(group.coordinates, group.units, support, strict=True)
            if half_width > 0 and not (unit == "rad" and half_width > WHOLE_CIRCLE)
        }
        return cls(group=group, half_widths={} if run.collections.uprights else known)

    @property
    def nearly_all(self) -> bool:
        """Whether nearly all images are unlike those of the training."""
        return self.images >= ENOUGH and self.odd > NEARLY_ALL * self.images

    def in_words(self) -> list[str]:
        """What people should know about the images, as sentences."""
        if self.images < ENOUGH:
            return []
        said = []
        share = self.odd / self.images
        if share > MANY:
            said.append(
                f"{share:.0%} of the images are drawn worse than 99 % of the run's validation "
                "images (1 % would be usual): they show other things, backgrounds or intensities. "
                "Look at those with a high outlier score."
            )
        for name, count in self.ends.items():
            if count > CROWDED * self.images:
                said.append(
                    f"{count / self.images:.0%} of the poses lie at the ends of the support of "
                    f"{name.replace('_', ' ')}: the images may be moved further than those of the "
                    "training."
                )
        return said
