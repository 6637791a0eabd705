"""Add up images at full resolution, each moved back by its pose: one pass over a source.

An image counts wholly for its most probable cluster, and for no other. Its pose is known in the
frame of that cluster only, so a share of it in another average would lie there in any direction.
All images of a group count alike, so that an average is of a number of images that people can
check, and so that both halves have the same noise.

Images that people called junk, or moved to another group, count for none: the pose of an image is
not known in the frame of a group it was moved to.

Sums are kept for each unit of the groups (a cluster, or a part of one): groups that are merged
later need no second pass. The images of a unit go to two halves in turn.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from mcevae.geometry.groups import Aff2
from mcevae.geometry.warp import warp
from mcevae.images.kept import only_kept
from mcevae.images.readers.frames import Fault, Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Original, Source, no_image
from mcevae.images.sources.frames import prepared
from mcevae.images.survey import is_coloured
from mcevae.models.contract import Model
from mcevae.predicting.canvas import Canvases, Seen, canvases
from mcevae.runs.collections import Collection, Collections
from mcevae.runs.infer import embed

BATCH, BATCH_BYTES = 256, 2**27
"""Most images that the model looks at together, and most bytes of their frames."""
MOVED_PIXELS = 2**21
"""Most pixels that are moved together."""
MOST_BYTES = 2**31
"""Most bytes of all sums together. Averages that would need more are made smaller."""
Tell = Callable[[float, int], None]
"""Is told the share of the source that is done, 0 to 1, and the number of images so far."""


@dataclass(kw_only=True)
class Sum:
    """The sum of the images of one unit, in two halves.

    Attributes:
        total: (2, C + 1, H, W) sums of intensities, and at last of the images that cover a pixel.
        counts: images in each half.
        sizes: smallest and largest (width, height) of their frames. None: there are none.
    """

    total: Float32[Tensor, "2 channels h w"]
    counts: list[int] = field(default_factory=lambda: [0, 0])
    sizes: tuple[tuple[int, int], tuple[int, int]] | None = None

    def add(self, moved: Float[Tensor, "n channels h w"], frames: Sequence[Frame]) -> None:
        """Add images that are moved back, to the halves in turn."""
        begin = sum(self.counts)
        for half in (0, 1):
            own = moved[(half - begin) % 2 :: 2]
            self.total[half] += own.sum(0).cpu()
            self.counts[half] += len(own)
        sizes = [(frame.pixels.shape[1], frame.pixels.shape[0]) for frame in frames]
        sizes = sorted([*sizes, *(self.sizes or ())])
        self.sizes = sizes[0], sizes[-1]


@dataclass(kw_only=True)
class Sums:
    """Sums of all units of a run's groups.

    Attributes:
        units: by the name of the unit.
        levels: intensities that the model sees as black and white, as in `Recipe`. None: each
            image has its own.
        background: brightness of the background between them, 0 to 1.
        shrunk: how much smaller than their images averages are, to save memory; 1: as large.
        faults: images that could not be used, and why.
        reckoned: how many files were read, in one sentence; "" if all were.
        apart: whether channels are no colours, so that each has a black and a white of its own.
        averages: those that were made of the sums, by units and turn of the frame. If people name,
            merge or turn groups, the averages of the other groups are not made again.
    """

    units: dict[str, Sum]
    levels: tuple[float, ...] | None
    background: float
    shrunk: float = 1.0
    faults: list[Fault] = field(default_factory=list)
    reckoned: str = ""
    apart: bool = False
    averages: dict[Any, Any] = field(default_factory=dict)


class Finder:
    """Finds the unit and the pose of images."""

    def __init__(self, model: Model, collections: Collections) -> None:
        self.model = model
        alone = tuple(Collection(name=unit, units=(unit,)) for unit in collections.units)
        self.units = replace(collections, entries=alone)

    def __call__(
        self, images: Sequence[UInt8[Tensor, "C H W"]]
    ) -> tuple[list[str], Float[Tensor, "n 3 3"]]:
        """The units of images, and their poses on the CPU."""
        found = embed(self.model, torch.stack(list(images)))
        units = self.units.assign(found.cluster.numpy(), found.z.numpy())
        return [self.units.entries[i].name for i in units], found.element


def sum_up(
    model: Model,
    source: Source,
    recipe: Recipe,
    collections: Collections,
    *,
    part: str = "all",
    one_size: bool = False,
    most_bytes: int = MOST_BYTES,
    most_images: int | None = None,
    tell: Tell | None = None,
    kept: str | None = None,
) -> Sums:
    """Add up the images of a source, unit by unit.

    If frames differ in size, each unit gets the median size of its own, judged by a sample of the
    source, and frames are scaled to it. Memory use does not grow with the number of images.

    Args:
        model: model in evaluation mode.
        source: source of the images.
        recipe: brings frames to the form that the model takes.
        collections: the groups, whose units are summed up. What people said about single images
            holds for those of the source with their names.
        part: all, train or test, if the source has training and test images.
        one_size: give all units the same size, so that they fit into one stack.
        most_bytes: most bytes of all sums together.
        most_images: stop after so many images. None: add up all of them.
        tell: is told after each batch how far the pass is.
        kept: which images of the source to add up, as settings have it; None: all.

    Raises:
        UserError: the source cannot be read or was changed meanwhile, or no image can be used.
    """
    before = source.snapshot()
    finder = Finder(model, collections)
    plan = canvases(
        recipe,
        sampled(finder, source, recipe),
        raw=source.raw,
        one_size=one_size,
        most_bytes=most_bytes,
    )
    sums, count = begun(plan), 0
    each = only_kept(kept, source.originals(recipe, part))
    for batch in batched(islice(each, most_images), sums.faults):
        add_each(sums, plan, finder, batch, collections.decisions.taken_from)
        count += len(batch)
        if tell:
            tell(batch[-1].done, count)
    if not count:
        raise no_image(source.name, sums.faults)
    before.check_unchanged()
    sums.faults += source.passed
    sums.reckoned = source.in_words(sums.faults)
    return sums


def sampled(finder: Finder, source: Source, recipe: Recipe) -> dict[str, list[Seen]]:
    """What is seen of each unit in a sample of a source.

    If all frames have one size, that is all a canvas needs, and every unit gets all of them.

    Raises:
        UserError: no frame of the sample can be used.
    """
    seen: list[Seen] = []
    images: list[Tensor] = []
    faults: list[Fault] = []
    for frame in source.sample():
        image = prepared(frame, recipe, source.name, "skip") if source.raw else None
        if isinstance(frame, Fault):
            faults.append(frame)
            continue
        if isinstance(image, Fault):
            faults.append(image)
            continue
        height, width = frame.pixels.shape[:2]
        seen.append(Seen((height, width), is_coloured(frame)))
        images += [] if image is None else [image]
    if not seen:
        raise no_image(source.name, faults)
    if len({one.shape for one in seen}) == 1:
        return dict.fromkeys(finder.units.units, seen)
    found: dict[str, list[Seen]] = {unit: [] for unit in finder.units.units}
    for begin in range(0, len(images), BATCH):
        units, _ = finder(images[begin : begin + BATCH])
        for unit, one in zip(units, seen[begin:], strict=False):
            found[unit].append(one)
    return found


def batched(originals: Iterable[Original | Fault], faults: list[Fault]) -> Iterator[list[Original]]:
    """Collect images until they are many or large. Faults go to the list."""
    batch: list[Original] = []
    held = 0
    for one in originals:
        if isinstance(one, Fault):
            faults.append(one)
            continue
        batch.append(one)
        held += one.frame.pixels.nbytes
        if len(batch) == BATCH or held > BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def begun(plan: Canvases) -> Sums:
    """Sums of no images yet, with the sizes and intensities of a plan."""
    blank = {k: torch.zeros(2, plan.channels + 1, *shape) for k, shape in plan.shapes.items()}
    return Sums(
        units={unit: Sum(total=total) for unit, total in blank.items()},
        levels=plan.levels,
        background=plan.recipe.background,
        shrunk=plan.shrunk,
        apart=bool(plan.recipe.names),
    )


def add_each(
    sums: Sums,
    plan: Canvases,
    finder: Finder,
    batch: Sequence[Original],
    left_out: Callable[[str, str], bool],
) -> None:
    """Add images to the sums of their units.

    Args:
        sums: to which they are added.
        plan: of these sums.
        finder: finds units and poses.
        batch: the images.
        left_out: whether an image, by its name, does not count for a unit, by its name.
    """
    units, elements = finder([one.image for one in batch])
    for unit in set(units):
        own = [i for i, one in enumerate(units) if one == unit]
        mine = [i for i in own if not left_out(batch[i].frame.name, unit)]
        if mine:
            add(sums, plan, unit, [batch[i].frame for i in mine], elements[mine])


def add(
    sums: Sums, plan: Canvases, unit: str, frames: list[Frame], elements: Float[Tensor, "n 3 3"]
) -> None:
    """Move frames of one unit back by their poses, and add them to its sum."""
    shape = plan.shapes[unit]
    device = "cuda" if torch.cuda.is_available() else "cpu"  # MPS has no bicubic sampling
    back = Aff2().inverse(plan.moved_to(elements, frames, shape)).to(device)
    step = max(1, MOVED_PIXELS // (shape[0] * shape[1]))
    for begin in range(0, len(frames), step):
        few = frames[begin : begin + step]
        laid = torch.stack([plan.opened(frame, shape) for frame in few]).to(device)
        sums.units[unit].add(warp(laid, back[begin : begin + step], mode="bicubic"), few)
