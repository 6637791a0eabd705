"""Chosen images as one stack: each at full resolution, moved back by its pose."""

from collections.abc import Iterator
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import Aff2
from mcevae.geometry.warp import warp
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Original, Source
from mcevae.predicting.canvas import Canvases, canvases
from mcevae.predicting.stacks import stack_at
from mcevae.predicting.sums import Finder, Tell, batched, sampled
from mcevae.runs.answers import as_pictures
from mcevae.runs.run import TrainedRun
from mcevae.runs.upright import AS_FOUND

SEEN = 0.5
"""Where less than this of a pixel is inside the image, it shows the background."""


def write_upright(
    run: TrainedRun,
    source: Source,
    places: Int[np.ndarray, " n"],
    out: Path,
    tell: Tell | None = None,
) -> None:
    """Write a stack of images of a run's source, in their order there.

    Each is moved back by its pose into the frame of its cluster, as people have turned that, and
    has the median size of the images. Intensities are those of the files, as for averages. Memory
    use does not grow with the number of images.

    Args:
        run: an open run.
        source: its source. Of a built-in set these are the images before mcevae moved them, which
            are those that a table of it describes.
        places: of the images in the source, from 0, in ascending order.
        out: .mrcs, .tif or .npy.
        tell: is told how far the pass over the source is.

    Raises:
        UserError: the images are missing or have changed, or the stack cannot be written.
    """
    recipe, finder = run.recipe, Finder(run.model, run.collections)
    plan = canvases(
        recipe,
        sampled(finder, source, recipe),
        raw=source.raw,
        one_size=True,
        most_bytes=2**62,  # no sums are kept
    )
    shape = next(iter(plan.shapes.values()))
    channels = (plan.channels,) if plan.channels > 1 else ()
    written = 0
    with stack_at(out, (len(places), *shape, *channels)) as stack:
        for batch in batches_at(source, recipe, places):
            after = written + len(batch)
            stack[written:after] = upright(run, finder, plan, batch)
            written = after
            if tell:
                tell(batch[-1].done, written)


def batches_at(
    source: Source, recipe: Recipe, places: Int[np.ndarray, " n"]
) -> Iterator[list[Original]]:
    """The images at some places of a source, in batches.

    Args:
        source: of the images.
        recipe: brings frames to the form that the model takes.
        places: from 0, in ascending order.

    Raises:
        UserError: the source has changed.
    """
    before, count = source.snapshot(), 0
    chosen = compress(source.originals(recipe, "all"), np.isin(np.arange(places[-1] + 1), places))
    for batch in batched(chosen, []):
        count += len(batch)
        yield batch
    before.check_unchanged()
    if count != len(places):
        raise UserError(f"{source.name}: has changed while it was read; run it again.")


def upright(
    run: TrainedRun, finder: Finder, plan: Canvases, images: list[Original]
) -> Float32[np.ndarray, "n *picture"]:
    """Images moved back by their poses, at the size of the stack.

    Args:
        run: an open run.
        finder: finds their poses.
        plan: the size and the intensities of the stack.
        images: as they are in their files.
    """
    units, elements = finder([one.image for one in images])
    shape = next(iter(plan.shapes.values()))
    frames = [one.frame for one in images]
    turns = [run.collections.uprights.get(unit, AS_FOUND).element for unit in units]
    back = torch.stack(turns) @ Aff2().inverse(plan.moved_to(elements, frames, shape))
    moved: list[Float[Tensor, "c h w"]] = []
    for frame, element in zip(frames, back, strict=True):
        laid = plan.opened(frame, shape)
        moved.append(filled(plan, warp(laid[None], element[None], mode="bicubic")[0], laid))
    return as_pictures(torch.stack(moved))


def as_they_lie(plan: Canvases, images: list[Original]) -> Float32[np.ndarray, "n *picture"]:
    """Images as they are in their files, at the size of the stack."""
    shape = next(iter(plan.shapes.values()))
    laid = [plan.opened(one.frame, shape) for one in images]
    return as_pictures(torch.stack([filled(plan, one, one) for one in laid]))


def filled(
    plan: Canvases, image: Float[Tensor, "channels h w"], laid: Float[Tensor, "channels h w"]
) -> Float[Tensor, "c h w"]:
    """An image with the background where nothing of it is seen.

    Args:
        plan: knows the background.
        image: as `Canvases.opened` puts it on a canvas, and moved.
        laid: the same as it lies, which tells how bright the background is.
    """
    behind = plan.behind(laid[:-1].movedim(0, -1).numpy())
    inside = image[:-1] / image[-1].clamp_min(SEEN)
    return torch.where(image[-1] > SEEN, inside, behind[:, None, None])
