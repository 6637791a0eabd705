"""Collect what a page shows of a run's images: numbers, a map, groups, and what to look at first.

If there are labels, they are only shown and counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import mirrored
from mcevae.images.arrays import Images, shrink, to_bytes
from mcevae.images.splits import Splits
from mcevae.models.contract import Model
from mcevae.pages.sheets import data_uri, packed, png, sheets_of, strips, thumbnails
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import misfit
from mcevae.runs.infer import human, outputs
from mcevae.runs.run import TrainedRun
from mcevae.teaching.layout import plane
from mcevae.training import health
from mcevae.training.log import read_log
from mcevae.training.schedule import advice

MOST = 60_000
"""Largest number of images in a gallery. Of a larger run, images at even distances are taken."""
SHOWN = 8
"""Number of typical, and of doubtful, members that are shown of a group."""
ODD = 24
"""Number of outliers that are shown."""
COLLAPSED = 0.9
"""If one cluster has this share of the images or more, the clusters have collapsed."""
SURE = 0.9
"""An image with this confidence or more counts as sure."""
OUTLIER = 0.99
"""People should look at images with this outlier score or more."""
SIDE = 14
"""Side in pixels of the canonical images that decide the layout of the map."""
STRIP_QUALITY = 80
"""Quality of WebP for strips."""
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A coordinate of the pose: name, the unit that people read, and its support."""

    name: str
    unit: str
    half_width: float


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
        pose: (N, T) in the units of `coordinates`.
        mirrored: (N,) whether the pose has a mirror image. None: the group has no reflections.
        z: (N, V).
        where: (N, 2) on the map, from 0 to 1.
        total: number of images of the run, of which N are here.
        signs: signs of problems in poses and units, see `health`.
        advice: advice if there were too few steps, see `schedule`.
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
    pose: Float[np.ndarray, "n T"]
    mirrored: Bool[np.ndarray, " n"] | None
    coordinates: tuple[Coordinate, ...]
    z: Float[np.ndarray, "n V"]
    where: Float[np.ndarray, "n 2"]
    total: int
    signs: health.Signs
    advice: str | None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    def table(self, collections: Collections) -> pa.Table:
        """Make a table with one row per image, with all that the page shows."""
        groups = [group.name for group in collections.entries]
        columns: dict[str, Any] = {"id": np.arange(len(self))}
        if self.names is not None:
            columns["file"] = self.names
        columns |= {
            "split": [SPLITS[i] for i in self.split],
            "cluster": self.cluster.astype(np.int32),
            "group": [groups[i] for i in collections.assign(self.cluster, self.z)],
            "confidence": self.confidence.astype(np.float32),
            "outlier": self.outlier.astype(np.float32),
        }
        for i, one in enumerate(self.coordinates):
            columns[f"{one.name}_{one.unit}"] = self.pose[:, i].astype(np.float32)
        if self.mirrored is not None:
            columns["mirrored"] = self.mirrored
        if self.labels is not None:
            columns["label"] = [self.label_names[i] for i in self.labels]
        columns |= {"map_x": self.where[:, 0], "map_y": self.where[:, 1]}
        return pa.table(columns)


def hang(run: TrainedRun, data: Splits, most: int = MOST) -> Gallery:
    """Run the model on a run's images and make a gallery.

    Args:
        run: run with a calibration.
        data: images of the run, all splits.
        most: largest number of images in the gallery.

    Raises:
        UserError: the run has no calibration.
    """
    model, config, calibration = run.model, run.settings, run.calibration
    parts = (data.train, data.validation, data.test)
    split = np.repeat(np.arange(3), [len(part) for part in parts])
    total = len(split)
    keep = np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
    images = [part.images for part in parts]
    pixels = torch.cat([one.pixels for one in images])[torch.from_numpy(keep)]
    label_names, labels = known_labels(images)
    kinds = ("p", "pose", "mirrored", "z_c", "z", "bad", "look")
    known: dict[str, list[Tensor]] = {name: [] for name in kinds}
    for x, out in outputs(model, pixels):
        known["p"].append(out.responsibilities.cpu())
        known["pose"].append(model.group.to_parameters(out.element).cpu())
        known["mirrored"].append(mirrored(out.element).cpu())
        known["z_c"].append(out.z_c.cpu())
        known["z"].append(out.z.cpu())
        known["bad"].append(misfit(x, out.reconstruction).cpu())
        known["look"].append(shrink(out.canonical, SIDE).flatten(1).cpu())
    found = {name: torch.cat(values) for name, values in known.items()}
    cluster = found["p"].argmax(1)
    units = [human(unit, images[0].shape) for unit in model.group.units]
    widths = config.support.half_widths(model.group)
    return Gallery(
        pixels=pixels,
        names=known_names(images, keep),
        labels=None if labels is None else labels[keep],
        label_names=label_names,
        split=split[keep],
        clusters=found["p"].shape[1],
        cluster=cluster.numpy(),
        z_c=found["z_c"],
        confidence=calibration.confidence(found["p"]).numpy(),
        outlier=calibration.outlier(found["bad"]),
        mirrored=found["mirrored"].numpy() if model.group.mirrors else None,
        pose=found["pose"].numpy() * np.array([factor for _, factor in units], np.float32),
        coordinates=tuple(
            Coordinate(name=name, unit=unit, half_width=width * factor)
            for name, (unit, factor), width in zip(
                model.group.coordinates, units, widths, strict=True
            )
        ),
        z=found["z"].numpy(),
        where=plane(torch.cat([even(found["look"]), even(found["p"])], 1)),
        total=total,
        signs=health.stuck_at_last(read_log(run.folder))
        | health.at_border(found["pose"], cluster, model.group, widths),
        advice=advice(config, len(data.train)),
    )


def even(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Scale features to total variance 1, so that all kinds of features count equally."""
    centred = features - features.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-9)


def known_names(images: Sequence[Images], keep: Int[np.ndarray, " n"]) -> list[str] | None:
    """Names of the kept images. None: they do not come from files."""
    names = [one.names for one in images if one.names is not None]
    return np.concatenate(names)[keep].tolist() if len(names) == len(images) else None


def known_labels(
    images: Sequence[Images],
) -> tuple[tuple[str, ...], Int[np.ndarray, " n"] | None]:
    """Names of the labels, and each image's label as an index. None: some image has no label."""
    labels = [one.labels.numpy() for one in images if one.labels is not None]
    if len(labels) < len(images):
        return (), None
    values, index = np.unique(np.concatenate(labels), return_inverse=True)
    names = images[0].label_names
    return tuple(names[v] if names else str(v) for v in values.tolist()), index


def images_of(gallery: Gallery) -> dict[str, Any]:
    """The data about images that a page needs. They do not depend on the groups."""
    grid = (gallery.where * 65535).round().astype(np.uint16)
    return {
        "count": len(gallery),
        "total": gallery.total,
        "names": gallery.names,
        "labels": None if gallery.labels is None else packed(gallery.labels.astype(np.uint16)),
        "label_names": gallery.label_names,
        "splits": SPLITS,
        "split": packed(gallery.split.astype(np.uint8)),
        "confidence": packed((gallery.confidence * 255).astype(np.uint8)),
        "outlier": packed((gallery.outlier * 1000).astype(np.uint16)),
        "pose": [packed(column.astype(np.float32)) for column in gallery.pose.T],
        "coordinates": [vars(one) for one in gallery.coordinates],
        "mirrored": None if gallery.mirrored is None else packed(gallery.mirrored.astype(np.uint8)),
        "x": packed(grid[:, 0]),
        "y": packed(grid[:, 1]),
        "thumbs": sheets_of(thumbnails(gallery.pixels)).to_dict(),
        "sure": SURE,
        "odd": OUTLIER,
    }


def collections_of(gallery: Gallery, collections: Collections, model: Model) -> dict[str, Any]:
    """The data about groups that a page needs: each image's group, and members to show."""
    of = collections.assign(gallery.cluster, gallery.z)
    groups = []
    for i, group in enumerate(collections.entries):
        mine = np.flatnonzero(of == i)
        one: dict[str, Any] = {
            "id": group.id,
            "name": group.name,
            "units": group.units,
            "size": len(mine),
        }
        if len(mine):
            surest = mine[np.argsort(-gallery.confidence[mine], kind="stable")]
            surer = surest[: max(SHOWN, len(mine) // 2)]
            middle = gallery.z[mine].mean(0)
            distance = ((gallery.z[surer] - middle) ** 2).sum(1)
            sure = gallery.confidence[mine]
            doubt = np.lexsort((-gallery.outlier[mine], np.round(sure, 3)))
            one |= {
                "confidence": float(sure.mean()),
                "sure": float((sure >= SURE).mean()),
                "typical": surer[np.argsort(distance, kind="stable")][:SHOWN].tolist(),
                "doubtful": mine[doubt][:SHOWN].tolist(),
                "canonical": data_uri(png(drawn(model, gallery, mine)), "png"),
            }
            if gallery.labels is not None:
                counts = np.bincount(gallery.labels[mine], minlength=len(gallery.label_names))
                one["label"] = gallery.label_names[counts.argmax()]
                one["label_share"] = float(counts.max() / len(mine))
        groups.append(one)
    outliers = np.argsort(-gallery.outlier, kind="stable")[:ODD].tolist()
    return {
        "of": packed(of.astype(np.uint16)),
        "groups": groups,
        "outliers": outliers,
        "findings": findings(gallery, groups),
    }


def drawn(model: Model, gallery: Gallery, mine: Int[np.ndarray, " m"]) -> UInt8[Tensor, "c h w"]:
    """Draw the canonical image of a group, from the mean latents of its largest cluster."""
    cluster = np.bincount(gallery.cluster[mine]).argmax()
    chosen = torch.from_numpy(mine[gallery.cluster[mine] == cluster])
    device = next(model.parameters()).device
    z_c = gallery.z_c[chosen].mean(0, keepdim=True).to(device)
    z = torch.from_numpy(gallery.z)[chosen].mean(0, keepdim=True).to(device)
    with torch.inference_mode():
        return to_bytes(model.canonical(z_c, z)[0]).cpu()


def findings(gallery: Gallery, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sentences about what to look at, the worst first, each with the group that it is about."""
    found: list[dict[str, Any]] = []

    def say(text: str, group: int | None = None) -> None:
        found.append({"text": text, "group": group})

    filled = [(i, one) for i, one in enumerate(groups) if one["size"]]
    empty = len(groups) - len(filled)
    largest = np.bincount(gallery.cluster).max() / len(gallery)
    if largest >= COLLAPSED and gallery.clusters > 1:
        more = gallery.advice or (
            "Look at its images. If they show several things, look at what they share, such as "
            "noise or background, and check that group and support are right."
        )
        say(f"One cluster has {largest:.0%} of the images. {more}")
    elif empty:
        say(f"{empty} of {len(groups)} groups are empty: ask for fewer clusters.")
    odd = int((gallery.outlier >= OUTLIER).sum())
    expected = (1 - OUTLIER) * len(gallery)
    if odd > max(3, 2 * expected):
        say(f"The model draws {odd} images worse than 99 % of validation images: see the outliers.")
    doubtful = sorted(filled, key=lambda pair: pair[1]["sure"])
    for i, one in doubtful[:3]:
        if one["sure"] < SURE:
            say(
                f"Group {one['name']}: the model is sure of only {one['sure']:.0%} of its images.",
                i,
            )
    usual = float(np.median([one["size"] for _, one in filled]))
    for i, one in filled:
        if one["size"] > 1.7 * usual and len(filled) > 2:
            say(f"Group {one['name']} is large ({one['size']} images): does it show two kinds?", i)
        elif one["size"] < usual / 4:
            say(f"Group {one['name']} is small ({one['size']} images).", i)
    for sentence in health.findings(gallery.signs).values():
        say(sentence)
    return found or [
        {
            "text": "No problems found: groups are sure and similar in size.",
            "group": None,
        }
    ]


def strip_sheets(gallery: Gallery, groups: dict[str, Any], model: Model) -> dict[str, Any]:
    """Strips (image, canonical image, reconstruction, residual) of the images that groups show."""
    wanted: Iterable[int] = {
        i for one in groups["groups"] for i in (*one.get("typical", ()), *one.get("doubtful", ()))
    } | set(groups["outliers"])
    ids = sorted(wanted)
    found = outputs(model, gallery.pixels[ids])
    pictures = torch.cat([strips(x, out.canonical, out.reconstruction) for x, out in found])
    return {"ids": ids, **sheets_of(pictures, STRIP_QUALITY).to_dict()}
