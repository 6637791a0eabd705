"""Chosen images as one stack: each at full resolution, moved back by its pose."""

from itertools import compress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.geometry.groups import Aff2
from mcevae.geometry.warp import warp
from mcevae.images.readers.frames import Fault
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
    recipe, before = run.recipe, source.snapshot()
    finder = Finder(run.model, run.collections)
    plan = canvases(
        recipe,
        sampled(finder, source, recipe),
        raw=source.raw,
        one_size=True,
        most_bytes=2**62,  # no sums are kept
    )
    shape = next(iter(plan.shapes.values()))
    channels = (plan.channels,) if plan.channels > 1 else ()
    faults: list[Fault] = []
    chosen = compress(source.originals(recipe, "all"), np.isin(np.arange(places[-1] + 1), places))
    written = 0
    with stack_at(out, (len(places), *shape, *channels)) as stack:
        for batch in batched(chosen, faults):
            after = written + len(batch)
            stack[written:after] = upright(run, finder, plan, batch)
            written = after
            if tell:
                tell(batch[-1].done, written)
        before.check_unchanged()
        if written != len(places):
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
        one = warp(laid[None], element[None], mode="bicubic")[0]
        seen = one[-1] > SEEN
        behind = plan.behind(laid[:-1].movedim(0, -1).numpy())
        moved.append(torch.where(seen, one[:-1] / one[-1].clamp_min(SEEN), behind[:, None, None]))
    return as_pictures(torch.stack(moved))
