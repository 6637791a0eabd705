"""Sums of a run's images: of its own or of others, and those that its pages show, kept on disk."""

import json
import math
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mcevae.base.cutting import CuttingConfig
from mcevae.base.errors import DAMAGE, UserError
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Source
from mcevae.images.sources.memory import MemorySource
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.predicting.averages import Average, averages_of
from mcevae.predicting.sums import Sum, Sums, Tell, sum_up
from mcevae.runs.checkpoint import check_source, load, save
from mcevae.runs.run import TrainedRun

FILE = "averages.safetensors"
PAGE_BYTES = 2**27
"""Most bytes of the sums that are kept for pages."""
PAGE_IMAGES = 60_000
"""Most images of a pack in the averages that pages show. The rows of a pack are in random order."""


def originals_of(run: TrainedRun, data: Splits | None = None) -> tuple[Source, Recipe]:
    """The images that a run was made from, at full resolution, and how they are read.

    They are all images of its source: for training, for validation and for test. If mcevae moved
    them at random, they are what it made of them.

    Args:
        run: an open run.
        data: its images, if they are in memory.

    Raises:
        UserError: the images are missing or have changed.
    """
    settings = run.settings
    if settings.data_group is None:
        check_source(run.folder, settings)
        return open_source(settings.data.source, settings.data), run.recipe
    data = data or run.data()
    parts = (data.train, data.validation, data.test)
    frames = [
        Frame(f"{part.images.name}#{i}", image, run.recipe.names)
        for part in parts
        for i, image in enumerate(part.images.pixels.movedim(1, -1).numpy())
    ]
    recipe = replace(  # which they went by
        run.recipe, normalise="none", levels=None, flatten=False, isolate="no"
    )
    return MemorySource(frames, settings.data, settings.data.source), recipe


def kept_in(run: TrainedRun) -> str | None:
    """Which images of its source `originals_of` a run leaves in, as `sum_up` takes it."""
    return run.settings.data.kept if run.settings.data_group is None else None


def averages_for(
    run: TrainedRun,
    source: str | None = None,
    *,
    part: str = "all",
    one_size: bool = False,
    tell: Tell | None = None,
    cutting: CuttingConfig | None = None,
) -> tuple[list[Average], Sums]:
    """Average the images of each group of a run, at full resolution.

    Args:
        run: an open run.
        source: a path or a built-in set. None: the images that the run was made from.
        part: all, train or test, if the source has training and test images.
        one_size: give all averages one size, so that they fit into one stack.
        tell: is told how far the pass over the source is.
        cutting: which parts of the files of `source` are the images; None: whole ones.

    Returns:
        The averages, and the sums that they are made of.

    Raises:
        UserError: the images are missing or cannot be used.
    """
    kept = kept_in(run) if source is None else None
    if source is None:
        images, recipe = originals_of(run)
    else:
        own = (cutting or CuttingConfig()).cutting()
        images, recipe = open_source(source, replace(run.settings.data, **own)), run.recipe
    groups = run.collections if source is None else run.collections.of_other_images()
    given = {"part": part, "one_size": one_size, "tell": tell, "kept": kept}
    sums = sum_up(run.model, images, recipe, groups, **given)
    return [one for one in averages_in(sums, run, groups) if one is not None], sums


def averages_in(sums: Sums, run: TrainedRun, collections: Any = None) -> list[Average | None]:
    """See `averages_of`, with frames that may differ as the run's poses may.

    Args:
        sums: sums of the units of the run's groups.
        run: an open run.
        collections: the groups. None: those that the run has now.
    """
    group = run.model.group
    widths = dict(zip(group.coordinates, run.settings.support.half_widths(group), strict=True))
    reach = min(math.pi, 2 * widths.get("rotation", 0.0))
    groups = collections or run.collections
    return averages_of(sums, groups, reach=reach, mirror=group.mirrors)


def page_sums(run: TrainedRun, data: Splits, tell: Tell | None = None) -> Sums:
    """The sums that the pages of a run show: as they were kept, if nothing has changed, else new.

    Args:
        run: an open run.
        data: its images.
        tell: is told how far the pass over the source is.

    Raises:
        UserError: the images are missing or have changed.
    """
    source, recipe = originals_of(run, data)
    collections = run.collections
    taken = sha256(json.dumps(collections.decisions.taken()).encode()).hexdigest()
    files = source.snapshot().fingerprint("all")
    known = json.dumps([run.identity, files, collections.centres, PAGE_BYTES, taken], default=list)
    if (kept := read_sums(run, known)) is not None:
        return kept
    most = PAGE_IMAGES if data.window else None
    sums = sum_up(
        run.model,
        source,
        recipe,
        collections,
        most_bytes=PAGE_BYTES,
        most_images=most,
        tell=tell,
        kept=kept_in(run),
    )
    with suppress(UserError):  # a run that cannot be written to is summed up anew each time
        write_sums(run, sums, known)
    return sums


def write_sums(run: TrainedRun, sums: Sums, known: str) -> None:
    """Keep sums in the run's folder. `known` says what they were made of."""
    about = {
        "known": known,
        "units": {k: {"counts": one.counts, "sizes": one.sizes} for k, one in sums.units.items()},
        "levels": sums.levels,
        "background": sums.background,
        "shrunk": sums.shrunk,
        "apart": sums.apart,
    }
    save(run.file(FILE), {unit: one.total for unit, one in sums.units.items()}, about)


def read_sums(run: TrainedRun, known: str) -> Sums | None:
    """Read the sums that were kept. None: there are none, or they were made of something else."""
    try:
        tensors, about = load(run.file(FILE))
        if about["known"] != known:
            return None
        units = {
            unit: Sum(
                total=tensors[unit],
                counts=[int(count) for count in own["counts"]],
                sizes=own["sizes"] and (tuple(own["sizes"][0]), tuple(own["sizes"][1])),
            )
            for unit, own in about["units"].items()
        }
        levels = about["levels"] and tuple(about["levels"])
        plain = {name: about[name] for name in ("background", "shrunk")}
        return Sums(units=units, levels=levels, apart=about.get("apart", False), **plain)
    except (UserError, *DAMAGE):
        return None
