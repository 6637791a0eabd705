"""`Gallery`: images of a run, and what the model found in them, for pages and exports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import mirrored
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.composites import composite_bytes
from mcevae.pages.closing import unlike
from mcevae.predicting.grouped import grouped
from mcevae.runs.collections import Collections
from mcevae.runs.coordinates import Coordinate, Originals
from mcevae.runs.frames import Frames
from mcevae.runs.trust.trust import Trust
from mcevae.training import health

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """N images of a run, and what the model found in them.

    Attributes:
        pixels: (N, C, H, W).
        names: name of each image, if the images come from files.
        labels: (N,) index into `label_names`, if labels are known.
        split: (N,) index into `SPLITS`.
        cluster: (N,).
        clusters: K.
        z_c: (N, D).
        confidence, outlier: (N,), see `confidence`.
        area, brightness: (N,), see `measures`.
        misfit: (N,) how far each image is from its reconstruction, nats.
        evidence: (N, K) what features say about the clusters. None: there are none.
        element: (N, 3, 3) poses in the frames that the model found.
        frames: knows the group of the poses, and the symmetries of clusters.
        pose: (N, T) the same modulo these symmetries, in the units of `coordinates`, as `originals`
            reads them.
        mirrored: (N,) whether the pose has a mirror image. None: the group has no reflections.
        originals: the images as they lie in their files, in whose pixels shifts are.
        coordinates: of the poses; the support of shifts is that in the largest of the images.
        z: (N, V).
        where: (N, 2) on the map, from 0 to 1.
        look: (N, D) canonical image and clusters; images that are alike have similar rows. The map
            is a plane of them.
        total: number of images of the run, of which N are here.
        signs: signs of problems in poses and units, see `health`.
        advice: advice if there were too few steps, see `schedule`.
        trust: in the clusters; None: it is not known.
        colours: of the channels, for people to look at; (): images are grey or have colours.
        levels: (N,) groups in the runs before, by the names of their columns.
    """

    pixels: UInt8[Tensor, "n c h w"]
    names: list[str] | None
    labels: Int[np.ndarray, " n"] | None
    label_names: tuple[str, ...]
    split: Int[np.ndarray, " n"]
    cluster: Int[np.ndarray, " n"]
    clusters: int
    z_c: Float[Tensor, "n D"]
    confidence: Float[np.ndarray, " n"]
    outlier: Float[np.ndarray, " n"]
    area: Float[np.ndarray, " n"]
    brightness: Float[np.ndarray, " n"]
    misfit: Float[np.ndarray, " n"]
    evidence: Float[Tensor, "n K"] | None
    element: Float[Tensor, "n 3 3"]
    frames: Frames
    pose: Float[np.ndarray, "n T"]
    originals: Originals
    mirrored: Bool[np.ndarray, " n"] | None
    coordinates: tuple[Coordinate, ...]
    z: Float[np.ndarray, "n V"]
    where: Float[np.ndarray, "n 2"]
    look: Float[Tensor, "n look"]
    total: int
    signs: health.Signs
    advice: str | None
    trust: Trust | None = None
    colours: tuple[str, ...] = ()
    levels: Mapping[str, pa.Array] = field(default_factory=dict)

    @property
    def pictures(self) -> UInt8[Tensor, "n shown h w"]:
        """The images as people look at them, grey or in colours."""
        return composite_bytes(self.pixels, self.colours)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    def upright(self, ids: Int[Tensor, " m"], frames: Frames) -> Float[Tensor, "m c h w"]:
        """Move images back by their poses, so that all lie as their canonical image; 0 to 1.

        Args:
            ids: numbers of the images.
            frames: of the groups, as people have turned them.
        """
        cluster, z = (torch.from_numpy(of)[ids] for of in (self.cluster, self.z))
        back = frames.group.inverse(frames.poses(self.element[ids], cluster, z))
        moved = warp(to_float(self.pixels[ids]), back, background=frames.background)
        return moved.clamp(0, 1)

    def check(self, image: int) -> None:
        """Refuse the number of an image that is not here.

        Raises:
            IndexError: there is no such image.
        """
        if not 0 <= image < len(self):
            raise IndexError(f"there is no image {image}; there are 0 to {len(self) - 1}")

    def posed(
        self, collections: Collections
    ) -> tuple[Float[np.ndarray, "n T"], Bool[np.ndarray, " n"] | None]:
        """Return `pose` and `mirrored` in frames as people have turned them."""
        if not collections.uprights:
            return self.pose, self.mirrored
        frames = replace(self.frames, collections=collections)
        cluster, z = torch.from_numpy(self.cluster), torch.from_numpy(self.z)
        element = frames.poses(self.element, cluster, z)
        signs = None if self.mirrored is None else mirrored(element).numpy()
        return self.originals.read(frames.group.to_parameters(element), frames.group), signs

    def table(self, collections: Collections) -> pa.Table:
        """Make a table with one row per image, with all that the page shows."""
        of = collections.assign(self.cluster, self.z, self.names)
        columns: dict[str, Any] = {"id": np.arange(len(self))}
        if self.names is not None:
            columns["file"] = self.names
        columns |= {
            "split": [SPLITS[i] for i in self.split],
            **self.levels,
            "cluster": self.cluster.astype(np.int32),
            **grouped(collections, of, self.names),
            "confidence": self.confidence.astype(np.float32),
            "outlier": self.outlier.astype(np.float32),
            "area": self.area,
            "brightness": self.brightness,
            "unlike": unlike(self.misfit, np.asarray(of)),
        }
        order, consistency = self.frames.sureness(torch.from_numpy(self.cluster))
        columns |= {"symmetry": order, "consistency": consistency}
        pose, signs = self.posed(collections)
        for i, one in enumerate(self.coordinates):
            columns[f"{one.name}_{one.unit}"] = pose[:, i].astype(np.float32)
        if signs is not None:
            columns["mirrored"] = signs
        if self.labels is not None:
            columns["label"] = [self.label_names[i] for i in self.labels]
        columns |= {"map_x": self.where[:, 0], "map_y": self.where[:, 1]}
        return pa.table(columns)
