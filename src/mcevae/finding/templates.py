"""What each group of a run looks like in its canonical frame: a few pictures of each.

They are means of the canonical images of the run's own images, grouped by k-means inside each
cluster, so that the pictures of a cluster go along its variation.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from sklearn.cluster import KMeans
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.warp import side, warp
from mcevae.images.arrays import to_float
from mcevae.images.background import border
from mcevae.images.sources.contract import Track
from mcevae.runs.checkpoint import load, save
from mcevae.runs.infer import Embedding, embed
from mcevae.runs.run import TrainedRun

FILE = "templates.safetensors"
NUMBERS = ("misfit", "height", "width")
"""What is kept of them beside tensors."""
SAMPLE = 3000
"""Images of the run that are looked at, at most."""
EACH = 6
"""Pictures of each cluster, at most."""
LEAST = 12
"""Images that a picture is the mean of, about, or more."""
ALIKE = 0.03
"""A cluster has one picture more for each such share of its energy that varies."""
LOW = 0.02
"""Share of the things of a cluster that explain less than its `energy`."""
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Templates:
    """Pictures of the clusters, as differences from the background.

    Attributes:
        pictures: (t, C, H, W) in the canonical frames that the model found.
        cluster: (t,) of each.
        z: (t, V) mean variation of the images it is made of.
        middle: (t, 2) centroid of what it shows, x and y in image sides from the centre.
        energy: (K,) what things of a cluster explain, at least: a low quantile over its images of
            |x|^2 - |x - drawn|^2, x the difference from the background; 0 of an empty cluster.
        misfit: mean squared difference of a pixel of an image from what the model draws for it.
        height, width: of the run's images as they lie in their files, pixels.
    """

    pictures: Float[Tensor, "t C H W"]
    cluster: Int[Tensor, " t"]
    z: Float[Tensor, "t V"]
    middle: Float[Tensor, "t 2"]
    energy: Float[Tensor, " K"]
    misfit: float
    height: int
    width: int


def templates_of(run: TrainedRun, track: Track = iter) -> Templates:
    """The templates of a run: those that are kept in its folder, or made from its images and kept.

    Args:
        run: an open run.
        track: wraps the list of files while images are read.

    Raises:
        UserError: there are none yet, and the images of the run are missing or have changed.
    """
    if (known := kept(run)) is None:
        known = learned(run, track)
        keep(run, known)
    return known


def kept(run: TrainedRun) -> Templates | None:
    """The templates in the folder of a run; None: there are none of this checkpoint."""
    try:
        tensors, about = load(run.file(FILE))
        if about["identity"] != run.identity:
            return None
        return Templates(**tensors, **{name: about[name] for name in NUMBERS})
    except (UserError, KeyError, TypeError):
        return None


def keep(run: TrainedRun, made: Templates) -> None:
    """Write templates to the folder of a run."""
    tensors = {one.name: getattr(made, one.name) for one in fields(made) if one.name not in NUMBERS}
    numbers: dict[str, Any] = {name: getattr(made, name) for name in NUMBERS}
    save(run.file(FILE), tensors, {"identity": run.identity, **numbers})


def learned(run: TrainedRun, track: Track = iter) -> Templates:
    """Make templates from the training images of a run.

    Raises:
        UserError: they are missing or have changed.
    """
    images = run.data(track).train.images
    chosen = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long().unique()
    pixels = images.pixels[chosen]
    found = embed(run.model, pixels)
    canonical = found.canonical - run.model.background
    pictures, cluster, z = [], [], []
    for k in found.cluster.unique().tolist():
        own = (found.cluster == k).nonzero()[:, 0]
        for part in parts_of(canonical[own]):
            pictures.append(canonical[own[part]].mean(0))
            cluster.append(k)
            z.append(found.z[own[part]].mean(0))
    made = grounded(torch.stack(pictures))
    energy, misfit = explained(run, pixels, found)
    sizes = images.sizes if images.sizes is not None else np.array([images.shape[1:]])
    height, width = np.median(sizes, 0).round().astype(int).tolist()
    return Templates(
        pictures=made,
        cluster=torch.tensor(cluster),
        z=torch.stack(z),
        middle=middles(made),
        energy=energy,
        misfit=misfit,
        height=height,
        width=width,
    )


def parts_of(canonical: Float[Tensor, "n C H W"]) -> list[Tensor]:
    """Split the canonical images of a cluster into a few that look alike, the most first: rows."""
    mean = canonical.mean(0)
    share = (canonical - mean).square().mean(0).sum() / mean.square().sum().clamp_min(1e-9)
    count = max(1, min(EACH, len(canonical) // LEAST, 1 + int(share / ALIKE)))
    if count == 1:
        return [torch.arange(len(canonical))]
    known = KMeans(count, random_state=SEED).fit_predict(canonical.flatten(1).numpy())
    rows = [torch.from_numpy(np.flatnonzero(known == part)) for part in range(count)]
    return sorted((part for part in rows if len(part)), key=len, reverse=True)


def grounded(pictures: Float[Tensor, "t C H W"]) -> Float[Tensor, "t C H W"]:
    """Pictures whose border is 0 in the median, as the background of a frame will be."""
    edge = border(*pictures.shape[-2:])
    return pictures - pictures[:, :, edge].median(-1).values[..., None, None]


def middles(pictures: Float[Tensor, "t C H W"]) -> Float[Tensor, "t 2"]:
    """Centroid of what pictures show, x and y in image sides from the centre."""
    height, width = pictures.shape[-2:]
    weight = pictures.abs().sum(1)
    weight = (weight - 0.1 * weight.amax((1, 2), keepdim=True)).clamp_min(0) + 1e-9
    down, across = (torch.arange(n) - (n - 1) / 2 for n in (height, width))
    total = weight.sum((1, 2))
    x = (weight.sum(1) * across).sum(1) / total
    y = (weight.sum(2) * down).sum(1) / total
    return torch.stack([x, y], 1) / side(height, width)


def explained(
    run: TrainedRun, pixels: UInt8[Tensor, "n C H W"], found: Embedding
) -> tuple[Float[Tensor, " K"], float]:
    """What things of each cluster explain at least, and the misfit; see `Templates`."""
    background = run.model.background
    x = to_float(pixels) - background
    apart = x - warp(found.canonical - background, found.element)
    share = (x.square() - apart.square()).flatten(1).sum(1)
    own = [share[found.cluster == k] for k in range(found.responsibilities.shape[1])]
    least = [one.quantile(LOW) if len(one) else torch.zeros(()) for one in own]
    return torch.stack(least).clamp_min(0), apart.square().mean().item()
