"""A run's images as people look at them: numbers, a map, groups and what to look at first.

Labels, where there are any, are shown and counted only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.images.arrays import Images, shrink, to_bytes
from mcevae.images.datasets import Splits
from mcevae.models.config import Config
from mcevae.models.registry import Model
from mcevae.pages.sheets import data_uri, packed, png, sheets_of, strips, thumbnails
from mcevae.runs.collections import Curation
from mcevae.runs.confidence import Calibration, misfit
from mcevae.runs.infer import human, outputs
from mcevae.teaching.layout import plane
from mcevae.training import health
from mcevae.training.schedule import advice

MOST = 60_000
"""Images of a gallery; of more, as many are taken evenly."""
SHOWN = 8
"""Typical and doubtful members of a group."""
ODD = 24
"""Outliers."""
COLLAPSED = 0.9
"""Share of the images in one cluster from which on the clusters count as collapsed."""
SURE = 0.9
"""Confidence from which on an image counts as sure."""
OUTLIER = 0.99
"""Outlier score from which on an image should be looked at."""
SIDE = 14
"""Pixels a side of the canonical images that the map is laid out by."""
STRIP_QUALITY = 80
"""Of WebP."""
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """A coordinate of the pose in the unit that people read, and its support."""

    name: str
    unit: str
    half_width: float


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """N images of a run.

    Attributes:
        pixels: (N, C, H, W).
        names: of each image, where they come from files.
        labels: (N,) index into `label_names`, where they are known.
        split: (N,) index into `SPLITS`.
        cluster: (N,).
        clusters: K.
        z_c: (N, D).
        confidence, outlier: (N,), see `confidence`.
        pose: (N, T) in the units of `coordinates`.
        z: (N, V).
        where: (N, 2) on the map, from 0 to 1.
        total: images of the run, of which N are here.
        signs: of poses and units, see `health`.
        advice: on the number of steps, where they were few, see `schedule`.
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
    coordinates: tuple[Coordinate, ...]
    z: Float[np.ndarray, "n V"]
    where: Float[np.ndarray, "n 2"]
    total: int
    signs: health.Signs
    advice: str | None

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pixels)

    def table(self, curation: Curation) -> pa.Table:
        """One row per image: what the page shows, by name."""
        groups = [group.name for group in curation.groups]
        columns: dict[str, Any] = {"id": np.arange(len(self))}
        if self.names is not None:
            columns["file"] = self.names
        columns |= {
            "split": [SPLITS[i] for i in self.split],
            "cluster": self.cluster.astype(np.int32),
            "group": [groups[i] for i in curation.assign(self.cluster, self.z)],
            "confidence": self.confidence.astype(np.float32),
            "outlier": self.outlier.astype(np.float32),
        }
        for i, one in enumerate(self.coordinates):
            columns[f"{one.name}_{one.unit}"] = self.pose[:, i].astype(np.float32)
        if self.labels is not None:
            columns["label"] = [self.label_names[i] for i in self.labels]
        columns |= {"map_x": self.where[:, 0], "map_y": self.where[:, 1]}
        return pa.table(columns)


def hang(
    model: Model, config: Config, data: Splits, calibration: Calibration, most: int = MOST
) -> Gallery:
    """Work a run's images into a gallery.

    Args:
        model: of the run, in evaluation mode.
        config: its settings.
        data: its images, all splits.
        calibration: of confidence and outlier score.
        most: images of the gallery.
    """
    parts = (data.train, data.validation, data.test)
    split = np.repeat(np.arange(3), [len(part) for part in parts])
    total = len(split)
    keep = np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int))
    images = [part.images for part in parts]
    pixels = torch.cat([one.pixels for one in images])[torch.from_numpy(keep)]
    label_names, labels = known_labels(images)
    known: dict[str, list[Tensor]] = {name: [] for name in ("p", "pose", "z_c", "z", "bad", "look")}
    with health.stuck_units(model) as signs:
        for x, out in outputs(model, pixels):
            known["p"].append(out.responsibilities.cpu())
            known["pose"].append(model.group.to_parameters(out.element).cpu())
            known["z_c"].append(out.z_c.cpu())
            known["z"].append(out.z.cpu())
            known["bad"].append(misfit(x, out.reconstruction).cpu())
            known["look"].append(shrink(out.canonical, SIDE).flatten(1).cpu())
    found = {name: torch.cat(values) for name, values in known.items()}
    units = [human(unit, images[0].shape) for unit in model.group.units]
    widths = config.support.half_widths(model.group)
    return Gallery(
        pixels=pixels,
        names=known_names(images, keep),
        labels=None if labels is None else labels[keep],
        label_names=label_names,
        split=split[keep],
        clusters=found["p"].shape[1],
        cluster=found["p"].argmax(1).numpy(),
        z_c=found["z_c"],
        confidence=calibration.confidence(found["p"]).numpy(),
        outlier=calibration.outlier(found["bad"]),
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
        signs=signs | health.at_border(found["pose"], model.group, widths),
        advice=advice(config, len(data.train)),
    )


def even(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Features of total variance 1, so that none outweighs the others."""
    centred = features - features.mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-9)


def known_names(images: Sequence[Images], keep: Int[np.ndarray, " n"]) -> list[str] | None:
    """Names of the kept images, where they come from files."""
    names = [one.names for one in images if one.names is not None]
    return np.concatenate(names)[keep].tolist() if len(names) == len(images) else None


def known_labels(
    images: Sequence[Images],
) -> tuple[tuple[str, ...], Int[np.ndarray, " n"] | None]:
    """Names of the labels, and each image's as an index into them, where all have one."""
    labels = [one.labels.numpy() for one in images if one.labels is not None]
    if len(labels) < len(images):
        return (), None
    values, index = np.unique(np.concatenate(labels), return_inverse=True)
    names = images[0].label_names
    return tuple(names[v] if names else str(v) for v in values.tolist()), index


def images_of(gallery: Gallery) -> dict[str, Any]:
    """What a page needs of the images, whatever their groups."""
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
        "x": packed(grid[:, 0]),
        "y": packed(grid[:, 1]),
        "thumbs": sheets_of(thumbnails(gallery.pixels)).to_dict(),
        "sure": SURE,
        "odd": OUTLIER,
    }


def groups_of(gallery: Gallery, curation: Curation, model: Model) -> dict[str, Any]:
    """What a page needs of the groups: the group of each image, and each group's members."""
    of = curation.assign(gallery.cluster, gallery.z)
    groups = []
    for i, group in enumerate(curation.groups):
        mine = np.flatnonzero(of == i)
        one: dict[str, Any] = {"name": group.name, "units": group.units, "size": len(mine)}
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
    """The canonical image of a group: at the mean latents of its largest cluster."""
    cluster = np.bincount(gallery.cluster[mine]).argmax()
    chosen = torch.from_numpy(mine[gallery.cluster[mine] == cluster])
    device = next(model.parameters()).device
    z_c = gallery.z_c[chosen].mean(0, keepdim=True).to(device)
    z = torch.from_numpy(gallery.z)[chosen].mean(0, keepdim=True).to(device)
    with torch.inference_mode():
        return to_bytes(model.canonical(z_c, z)[0]).cpu()


def findings(gallery: Gallery, groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What to look at first, the worst first: sentences, each with the group it is about."""
    found: list[dict[str, Any]] = []

    def say(text: str, group: int | None = None) -> None:
        found.append({"text": text, "group": group})

    filled = [(i, one) for i, one in enumerate(groups) if one["size"]]
    empty = len(groups) - len(filled)
    largest = np.bincount(gallery.cluster).max() / len(gallery)
    if largest >= COLLAPSED and gallery.clusters > 1:
        more = gallery.advice or "Train anew with more --epochs."
        say(f"One cluster has {largest:.0%} of the images: train longer. {more}")
    elif empty:
        say(f"{empty} of {len(groups)} groups are empty: ask for fewer clusters.")
    odd = int((gallery.outlier >= OUTLIER).sum())
    expected = (1 - OUTLIER) * len(gallery)
    if odd > max(3, 2 * expected):
        say(f"{odd} images are drawn worse than 99 % of those held out: see the outliers.")
    doubtful = sorted(filled, key=lambda pair: pair[1]["sure"])
    for i, one in doubtful[:3]:
        if one["sure"] < SURE:
            say(f"Group {one['name']}: only {one['sure']:.0%} of its images are sure of it.", i)
    usual = float(np.median([one["size"] for _, one in filled]))
    for i, one in filled:
        if one["size"] > 1.7 * usual and len(filled) > 2:
            say(f"Group {one['name']} is large ({one['size']} images): does it show two kinds?", i)
        elif one["size"] < usual / 4:
            say(f"Group {one['name']} is small ({one['size']} images).", i)
    for sentence in health.findings(gallery.signs).values():
        say(sentence)
    return found or [{"text": "Nothing stands out: groups are sure and even.", "group": None}]


def strip_sheets(gallery: Gallery, groups: dict[str, Any], model: Model) -> dict[str, Any]:
    """Image, canonical image, reconstruction and residual of the images that groups name."""
    wanted: Iterable[int] = {
        i for one in groups["groups"] for i in (*one.get("typical", ()), *one.get("doubtful", ()))
    } | set(groups["outliers"])
    ids = sorted(wanted)
    found = outputs(model, gallery.pixels[ids])
    pictures = torch.cat([strips(x, out.canonical, out.reconstruction) for x, out in found])
    return {"ids": ids, **sheets_of(pictures, STRIP_QUALITY).to_dict()}
