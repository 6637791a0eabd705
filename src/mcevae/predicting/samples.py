"""What a picture shows of chosen images: for each group its average, and some members."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8
from torch import Tensor

from mcevae.images.arrays import shrink, to_bytes, to_float
from mcevae.images.sources.contract import Original, Source
from mcevae.images.stretch import asinh
from mcevae.predicting.average_files import looked_at
from mcevae.predicting.averages import own_levels, shown
from mcevae.predicting.canvas import canvases
from mcevae.predicting.kept_sums import PAGE_BYTES, averages_in
from mcevae.predicting.selecting import Selected
from mcevae.predicting.sums import Finder, Tell, add_each, begun, sampled
from mcevae.predicting.upright_stack import as_they_lie, batches_at, upright
from mcevae.runs.run import TrainedRun


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a picture shows of a group.

    Attributes:
        name: of the group.
        size: number of its chosen images.
        average: of these, each moved back by its pose. None: it is not known, as the group was made
            by hand, and has no frame.
        lying: some of them, the most typical first, as they lie.
        upright: the same, each moved back by its pose.
    """

    name: str
    size: int
    average: UInt8[Tensor, "3 H W"] | None
    lying: UInt8[Tensor, "n 3 h w"]
    upright: UInt8[Tensor, "n 3 h w"]


def typical(
    sure: Float[np.ndarray, " n"],
    z: Float[np.ndarray, "n V"],
    last: Bool[np.ndarray, " n"],
    count: int,
) -> Int[np.ndarray, " m"]:
    """Choose typical images of a group: of the surer half those nearest to the mean of z.

    Args:
        sure: how sure each image is.
        z: its variation.
        last: which images come after all others.
        count: how many are chosen, if there are so many.

    Returns:
        Their places, the most typical first.
    """
    surest = np.lexsort((-sure, last))
    surer = surest[: max(count, len(sure) // 2)]
    distance = ((z[surer] - z.mean(0)) ** 2).sum(1)
    return surer[np.lexsort((distance, last[surer]))][:count]


def samples_of(
    run: TrainedRun,
    source: Source,
    chosen: Selected,
    names: Sequence[str],
    *,
    members: int,
    longest: int,
    tell: Tell | None = None,
) -> list[Sample]:
    """Make what a picture shows of groups of chosen images, in one pass over their source.

    All of it is made of the images at full resolution, and has one size, as in a stack of them.

    Args:
        run: an open run.
        source: its source.
        chosen: images of it.
        names: of the groups to show; each has chosen images.
        members: how many of a group are shown, at most.
        longest: most pixels a side of a member. An average has twice as many.
        tell: is told how far the pass over the source is.

    Raises:
        UserError: the images have changed or cannot be read.
    """
    of = np.asarray(chosen.rows["group"].to_pylist(), object)
    mine = np.flatnonzero(np.isin(of, list(names)))
    rows = chosen.rows.take(mine)
    sure, last = rows["confidence"].to_numpy(), ~rows["kept"].to_numpy()
    z = np.stack([rows[c].to_numpy() for c in rows.column_names if c.startswith("z_")], 1)
    groups = {name: np.flatnonzero(of[mine] == name) for name in names}
    wanted = {
        name: own[typical(sure[own], z[own], last[own], members)] for name, own in groups.items()
    }
    looker = Looker(run, source, longest)
    looker.look(chosen.places[mine], np.concatenate(list(wanted.values())), tell)
    averages = looker.averages()
    return [
        Sample(
            name=name,
            size=len(groups[name]),
            average=averages.get(name),
            lying=torch.stack([looker.lying[i] for i in wanted[name].tolist()]),
            upright=torch.stack([looker.upright[i] for i in wanted[name].tolist()]),
        )
        for name in names
    ]


class Looker:
    """Adds images of a run up, and keeps some of them as people look at them.

    Attributes:
        lying, upright: images that are kept, (3, h, w) bytes, by their places in the pass.
    """

    def __init__(self, run: TrainedRun, source: Source, longest: int) -> None:
        self.run, self.source, self.longest = run, source, longest
        self.collections = run.collections
        self.finder = Finder(run.model, self.collections)
        self.plan = canvases(
            run.recipe,
            sampled(self.finder, source, run.recipe),
            raw=source.raw,
            one_size=True,
            most_bytes=PAGE_BYTES,
        )
        self.sums = begun(self.plan)
        self.lying: dict[int, UInt8[Tensor, "3 h w"]] = {}
        self.upright: dict[int, UInt8[Tensor, "3 h w"]] = {}

    def look(
        self, places: Int[np.ndarray, " n"], kept: Int[np.ndarray, " m"], tell: Tell | None
    ) -> None:
        """Go through the images at some places of the source; `kept` are places among these."""
        done, wanted = 0, set(kept.tolist())
        for batch in batches_at(self.source, self.run.recipe, places):
            add_each(self.sums, self.plan, self.finder, batch, self.left_out)
            here = [i for i in range(done, done + len(batch)) if i in wanted]
            if here:
                self.keep(here, [batch[i - done] for i in here])
            done += len(batch)
            if tell:
                tell(batch[-1].done, done)

    def left_out(self, image: str, unit: str) -> bool:
        """Whether an image is not in the average of a unit: people moved it to another."""
        return self.collections.decisions.of(image).unit not in (None, unit)

    def keep(self, places: list[int], images: list[Original]) -> None:
        """Keep images as people look at them; each has the same black and white in both forms."""
        lying, turned = (
            as_they_lie(self.plan, images),
            upright(self.run, self.finder, self.plan, images),
        )
        for place, one, other in zip(places, lying, turned, strict=True):
            levels = self.plan.levels or own_levels(one, apart=self.sums.apart)
            self.lying[place] = self.seen(shown(one, levels), self.longest)
            self.upright[place] = self.seen(shown(other, levels), self.longest)

    def averages(self) -> dict[str, UInt8[Tensor, "3 H W"]]:
        """The averages of the groups that have one, by their names."""
        made = averages_in(self.sums, self.run, self.collections)
        known = [one for one in made if one is not None and one.images]
        return {one.name: self.seen(one.shown(), 2 * self.longest) for one in known}

    def seen(
        self, picture: Float32[np.ndarray, "*picture"], longest: int
    ) -> UInt8[Tensor, "3 h w"]:
        """A picture from 0 to 1 in colours, of at most so many pixels a side."""
        if self.run.recipe.stretch == "asinh":
            picture = asinh(picture.reshape(*picture.shape[:2], -1))
        image = looked_at(picture, self.run.colours)[None]
        return to_bytes(shrink(to_float(image), longest))[0].expand(3, -1, -1)
