"""Collect what a page shows of a run's images: numbers, a map, groups, and what to look at first.

If there are labels, they are only shown and counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import mirrored
from mcevae.images.arrays import MISSING, Images, shrink, to_bytes
from mcevae.images.composites import composite
from mcevae.images.measures import measured
from mcevae.images.splits import Splits
from mcevae.models.contract import Model
from mcevae.pages.collected import Gallery
from mcevae.pages.findings import SURE, findings
from mcevae.pages.likeness import alike_by, nearest
from mcevae.pages.sheets import data_uri, packed, png, sheets_of, strips
from mcevae.predicting.samples import typical
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import misfit
from mcevae.runs.coordinates import Originals
from mcevae.runs.frames import Frames
from mcevae.runs.infer import outputs
from mcevae.runs.parents import columns, parents_of
from mcevae.runs.run import TrainedRun
from mcevae.runs.trust.advice import in_words
from mcevae.runs.trust.trust import Trust, trust_of, word
from mcevae.runs.units import clusters_of
from mcevae.teaching.layout import plane
from mcevae.training import health
from mcevae.training.log import read_log
from mcevae.training.schedule import advice

MOST = 60_000
"""Largest number of images of a report, an export or a comparison, which are files and hold all of
them. Of a larger run, images at even distances are taken."""
SHOWN = 8
"""Number of typical, and of doubtful, members that are shown of a group."""
ODD = 24
"""Number of outliers that are shown."""
SIDE = 14
"""Side in pixels of the canonical images that decide the layout of the map."""
UNLABELLED = "(no label)"
"""What pages and tables show for an image without a label."""
STRIP_QUALITY = 80
"""Quality of WebP for strips."""


def hang(run: TrainedRun, data: Splits, most: int | None = MOST, *, mapped: bool = True) -> Gallery:
    """Run the model on a run's images and make a gallery.

    Args:
        run: run with a calibration.
        data: images of the run, all splits.
        most: largest number of images in the gallery. None: all of them.
        mapped: whether to lay the images out on the map, which takes a while; else all of them are
            at one place.

    Raises:
        UserError: the run has no calibration.
    """
    model, config, calibration = run.model, run.settings, run.calibration
    parts = [data.train, data.validation, data.test]
    if config.data.split == "all":  # those for validation stand in for test images
        parts.pop()
    split = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    count = min(len(split), most or len(split))
    keep = np.unique(np.linspace(0, len(split) - 1, count).round().astype(int))
    images = [part.images for part in parts]
    pixels = torch.cat([one.pixels for one in images])
    if len(keep) < len(pixels):  # else a copy would double the memory
        pixels = pixels[torch.from_numpy(keep)]
    label_names, labels = known_labels(images, keep)
    told = evidence_of(run, images, keep)
    found = looked_at(model, pixels, told)
    cluster = found["p"].argmax(1)
    frames = Frames(group=model.group, background=model.background, symmetry=calibration.symmetry)
    reduced = frames.poses(found["element"], cluster, found["z"])
    originals = Originals.of(images, run.shape, config.data.fit).taken(keep)
    look = alike_by(found["look"], found["p"], found["z"])
    return Gallery(
        pixels=pixels,
        names=known_names(images, keep),
        labels=labels,
        label_names=label_names,
        split=split[keep],
        clusters=found["p"].shape[1],
        cluster=cluster.numpy(),
        z_c=found["z_c"],
        confidence=calibration.confidence(found["p"], found["bad"]).numpy(),
        outlier=calibration.outlier(found["p"], found["bad"]),
        misfit=found["bad"].double().numpy(),
        **measured(pixels, config.data.background_level),
        evidence=told,
        element=found["element"],
        frames=frames,
        mirrored=mirrored(found["element"]).numpy() if model.group.mirrors else None,
        originals=originals,
        pose=originals.read(model.group.to_parameters(reduced), model.group),
        coordinates=originals.widest(run.coordinates),
        z=found["z"].numpy(),
        where=plane(look) if mapped else np.zeros((len(look), 2)),
        look=look.half(),
        total=len(split),
        signs=signs_in(run, found["element"], cluster),
        advice=advice(config, len(data.train)),
        trust=calibration.trust,
        colours=run.colours,
        levels=levels_of(run, images, keep),
    )


def signs_in(
    run: TrainedRun, element: Float[Tensor, "n s s"], cluster: Int[Tensor, " n"]
) -> health.Signs:
    """Signs of trouble, in the log of a training and in the poses of images."""
    group, support = run.model.group, run.settings.support
    parameters = group.to_parameters(element)
    border = health.at_border(parameters, cluster, group, support.half_widths(group))
    return health.stuck_at_last(read_log(run.folder)) | border


def levels_of(
    run: TrainedRun, images: Sequence[Images], keep: Int[np.ndarray, " n"]
) -> Mapping[str, pa.Array]:
    """The groups of the kept images in the runs before; see `parents.columns`."""
    parents = parents_of(run.folder)
    places = [one.places for one in images if one.places is not None]
    return columns(parents, np.concatenate(places)[keep]) if parents else {}


def looked_at(
    model: Model, pixels: UInt8[Tensor, "n c h w"], told: Float[Tensor, "n K"] | None
) -> dict[str, Tensor]:
    """What the model finds in images: probabilities p, element, z_c, z, misfit bad, and look.

    The look of an image is its canonical image, made small, as a row of numbers.

    Args:
        model: model in evaluation mode.
        pixels: the images.
        told: what features say about their clusters; None: nothing.
    """
    known: dict[str, list[Tensor]] = {k: [] for k in ("p", "element", "z_c", "z", "bad", "look")}
    for x, out in outputs(model, pixels, evidence=told):
        known["p"].append(out.responsibilities.cpu())
        known["element"].append(out.element.cpu())
        known["z_c"].append(out.z_c.cpu())
        known["z"].append(out.z.cpu())
        known["bad"].append(misfit(x, out.reconstruction).cpu())
        known["look"].append(shrink(out.canonical, SIDE).flatten(1).cpu())
    return {name: torch.cat(values) for name, values in known.items()}


def evidence_of(
    run: TrainedRun, images: Sequence[Images], keep: Int[np.ndarray, " n"]
) -> Float[Tensor, "n K"] | None:
    """What the features of the kept images say about their clusters. None: there are none."""
    features = [one.features for one in images if one.features is not None]
    return run.told(torch.cat(features)[torch.from_numpy(keep)]) if features else None


def known_names(images: Sequence[Images], keep: Int[np.ndarray, " n"]) -> list[str] | None:
    """Names of the kept images. None: they do not come from files."""
    names = [one.names for one in images if one.names is not None]
    return np.concatenate(names)[keep].tolist() if len(names) == len(images) else None


def known_labels(
    images: Sequence[Images], keep: Int[np.ndarray, " n"]
) -> tuple[tuple[str, ...], Int[np.ndarray, " n"] | None]:
    """Names of the labels, and each kept image's label as an index; `UNLABELLED` is the last name.

    None: some images come without labels.
    """
    labels = [one.labels.numpy() for one in images if one.labels is not None]
    if len(labels) < len(images):
        return (), None
    own = np.concatenate(labels)[keep]
    missing = own == MISSING
    values, index = np.unique(own[~missing], return_inverse=True)
    names = images[0].label_names
    known = [names[v] if names else str(v) for v in values.tolist()]
    if missing.any():
        known.append(UNLABELLED)
    of = np.full(len(own), len(values))
    of[~missing] = index
    return tuple(known), of


def likeliest(labels: Int[np.ndarray, " n"], names: tuple[str, ...]) -> dict[str, Any]:
    """The most frequent label of a group, and its share of the images with one; {} without any."""
    counts = np.bincount(labels, minlength=len(names))
    if names[-1] == UNLABELLED:
        counts[-1] = 0
    if not counts.any():
        return {}
    share = float(counts.max() / counts.sum())
    return {"label": names[counts.argmax()], "label_share": share}


def collections_of(gallery: Gallery, collections: Collections, model: Model) -> dict[str, Any]:
    """The data about groups that a page needs: each image's group, and members to show."""
    of = collections.assign(gallery.cluster, gallery.z, gallery.names)
    junk = collections.junk_in(of, gallery.names)
    frames = replace(gallery.frames, collections=collections)
    groups = []
    for i, group in enumerate(collections.entries):
        mine = np.flatnonzero(of == i)
        turn = collections.upright(i)
        one: dict[str, Any] = {
            "id": group.id,
            "name": group.name,
            "units": group.units,
            "size": len(mine),
            "junk": group.junk,
            "junked": int(junk[mine].sum()),
            "made": not clusters_of(group.units),
        }
        one |= {"degrees": turn.degrees, "flipped": turn.flipped, "turned": turn.in_words()}
        if gallery.trust is not None and not one["made"]:
            one["trust"], one["trusted"] = trust_of(gallery.trust, group.units)
        if frames.symmetry is not None and not one["made"]:
            one["order"], one["consistency"] = frames.symmetry.in_words(group.units)
        if len(mine):
            one |= members_of(gallery, mine, junk)
            one["canonical"] = data_uri(png(drawn(model, gallery, mine, frames)), "png")
        groups.append(one)
    most_alike = nearest(gallery.look, torch.from_numpy(of), len(groups))
    for one, other in zip(groups, most_alike, strict=True):
        one["alike"] = None if other is None else groups[other]["id"]
    pose, signs = gallery.posed(collections)
    turned = {
        "pose": [packed(column.astype(np.float32)) for column in pose.T],
        "mirrored": None if signs is None else packed(signs.astype(np.uint8)),
    }
    return {
        "of": packed(of.astype(np.uint16)),
        "turned": turned if collections.uprights else None,
        "groups": groups,
        "junk": packed(junk.astype(np.uint8)),
        **said_of(gallery, collections),
        "outliers": np.lexsort((-gallery.outlier, junk))[:ODD].tolist(),
        "findings": findings(gallery, groups),
        "trust": told_trust(gallery.trust),
    }


def said_of(gallery: Gallery, collections: Collections) -> dict[str, dict[str, list[int]]]:
    """The images with each tag, and of each selection that was kept, by their numbers."""
    said, names = collections.decisions, gallery.names or []
    tags: dict[str, list[int]] = {}
    selections: dict[str, list[int]] = {name: [] for name in said.selections}
    tagged = {name: mark.tags for name, mark in said.marks.items() if mark.tags}
    if tagged or said.selections:
        place = {name: i for i, name in enumerate(names)}
        for name, own in tagged.items():
            for tag in own if name in place else ():
                tags.setdefault(tag, []).append(place[name])
        for name, own in said.selections.items():
            selections[name] = sorted(place[one] for one in own if one in place)
    return {"tags": dict(sorted(tags.items())), "selections": selections}


def members_of(
    gallery: Gallery, mine: Int[np.ndarray, " m"], junk: Bool[np.ndarray, " n"]
) -> dict[str, Any]:
    """How sure the members of a group are, which of them to show, and their most common label.

    Images that are junk are shown last: somebody has decided on them already.
    """
    sure = gallery.confidence[mine]
    doubt = np.lexsort((-gallery.outlier[mine], np.round(sure, 3), junk[mine]))
    found = {
        "confidence": float(sure.mean()),
        "sure": float((sure >= SURE).mean()),
        "typical": mine[typical(sure, gallery.z[mine], junk[mine], SHOWN)].tolist(),
        "doubtful": mine[doubt][:SHOWN].tolist(),
    }
    if gallery.labels is None:
        return found
    return found | likeliest(gallery.labels[mine], gallery.label_names)


def told_trust(trust: Trust | None) -> dict[str, Any] | None:
    """Trust in the run, as a page shows it."""
    if trust is None:
        return None
    return {"value": trust.run, "word": word(trust.run), "text": in_words(trust).partition(": ")[2]}


def drawn(
    model: Model, gallery: Gallery, mine: Int[np.ndarray, " m"], frames: Frames
) -> UInt8[Tensor, "c h w"]:
    """Draw the canonical image of a group, from the mean latents of its largest cluster."""
    cluster = np.bincount(gallery.cluster[mine]).argmax()
    chosen = torch.from_numpy(mine[gallery.cluster[mine] == cluster])
    device = next(model.parameters()).device
    z_c = gallery.z_c[chosen].mean(0, keepdim=True).to(device)
    z = torch.from_numpy(gallery.z)[chosen].mean(0, keepdim=True).to(device)
    with torch.inference_mode():
        canonical = model.canonical(z_c, z)
        own = torch.tensor([cluster], device=device)
        picture = composite(frames.pictures(canonical, own, z), gallery.colours)
        return to_bytes(picture[0]).cpu()


def strip_sheets(
    gallery: Gallery, groups: dict[str, Any], model: Model, collections: Collections
) -> dict[str, Any]:
    """Strips (image, canonical image, reconstruction, residual) of the images that groups show."""
    frames = replace(gallery.frames, collections=collections)
    wanted: Iterable[int] = {
        i for one in groups["groups"] for i in (*one.get("typical", ()), *one.get("doubtful", ()))
    } | set(groups["outliers"])
    ids = sorted(wanted)
    told = None if gallery.evidence is None else gallery.evidence[ids]
    found = outputs(model, gallery.pixels[ids], evidence=told)
    drawn_by = ((x, frames.canonical(out), out.reconstruction) for x, out in found)
    pictures = torch.cat([strips(*each, gallery.colours) for each in drawn_by])
    return {"ids": ids, **sheets_of(pictures, STRIP_QUALITY).to_dict()}
