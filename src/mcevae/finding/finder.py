"""Find all things of a frame, tile by tile."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mcevae.finding.background import background_of, noise_of
from mcevae.finding.evidence import Evidence, evidence_of
from mcevae.finding.explaining import Explainer
from mcevae.finding.frames import Large, Scale
from mcevae.finding.joint import jointly
from mcevae.finding.keeping import Kept
from mcevae.finding.settings import FindConfig
from mcevae.finding.templates import middles, templates_of
from mcevae.finding.things import Things, add
from mcevae.finding.threshold import probability, tail_of
from mcevae.finding.tiles import TILE, Tile, tiles_of
from mcevae.geometry.groups import MatrixGroup, mirrored
from mcevae.geometry.warp import side
from mcevae.images.readers.frames import Unreadable
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Track
from mcevae.models.registry import spec_of
from mcevae.runs.coordinates import SHIFTS, human
from mcevae.runs.run import TrainedRun

MARGIN = 1.5
"""What is read around a tile, in sides of a thing."""
LARGEST = 4096
"""Side of a tile, pixels of the frame, at most, unless things are larger still."""
SCALE = 3
"""Least distance over which a slow background varies, in sides of a thing."""
TWICE = 0.4
"""A thing of two tiles lies in both within this distance, in its sides."""
OUTLINE = 0.15
"""A thing is where it is drawn by more than this share of its largest difference."""
BOX = ("box_x", "box_y", "box_width", "box_height")
"""Columns of the box around a thing: its left and top, and its sides, pixels of the frame."""
Tell = Callable[[float, int], None]
"""Called with the share of a frame that is done, and the number of things so far."""
Look = Callable[[Large, Things, Tensor, Tensor], pa.Table]
"""Makes the rows of things, see `Finder.rows`."""


class Finder:
    """Finds the things of a run in frames."""

    def __init__(self, run: TrainedRun, settings: FindConfig, track: Track = iter) -> None:
        """Prepare the filters.

        Args:
            run: an open run.
            settings: how things are found.
            track: as for `templates_of`.

        Raises:
            UserError: as for `templates_of`.
        """
        self.run, self.settings = run, settings
        self.templates = templates_of(run, track)
        group = run.model.group
        widths = run.settings.support.half_widths(group)
        known = dict(zip(group.coordinates, widths, strict=True))
        self.explainer = Explainer(run.model, self.templates, known)
        self.recipe = recipe_of(run, settings)
        own = max(self.templates.height, self.templates.width)
        self.size = float(settings.size or own)
        self.ratio = side(*run.shape[1:]) / self.size
        """Pixels of the model in one of the frame."""

    def find(self, frame: Large, tell: Tell | None = None, kept: Kept | None = None) -> pa.Table:
        """Find all things of a frame.

        Args:
            frame: of any size.
            tell: see `Tell`.
            kept: keeps what is found in each tile, and knows that of tiles before a stop.

        Returns:
            A row for each thing, the surest first, see `rows`.

        Raises:
            Unreadable: the frame cannot be read, or is smaller than a thing.
            UserError: it holds another kind of numbers than the run's images.
        """
        return self.measured(frame, tell, kept)[0]

    def measured(
        self,
        frame: Large,
        tell: Tell | None = None,
        kept: Kept | None = None,
        look: Look | None = None,
    ) -> tuple[pa.Table, Evidence]:
        """What `find` gives, and how much of the frame its things explain.

        Only one tile is in memory at a time, and the rows of those before it.

        Args:
            frame, tell, kept: as for `find`.
            look: makes the rows of things, with the columns of `rows` and others; None: `rows`.

        Raises:
            Unreadable, UserError: as for `find`.
        """
        height, width = frame.view.shape[:2]
        if min(height, width) < self.size / 2:
            raise Unreadable(
                f"is {width} x {height} pixels, smaller than half a thing of {self.size:g}; give "
                "--size"
            )
        scale, look = Scale.of(frame, self.recipe), look or self.rows
        longest = min(TILE / self.ratio, max(LARGEST, 4 * self.size))
        tiles = list(tiles_of(height, width, longest, MARGIN * self.size))
        kept = kept if len(tiles) > 1 else None
        parts: list[pa.Table] = []
        count, evidence = 0, Evidence()
        for number, tile in enumerate(tiles):
            known = kept.known(number) if kept else None
            if known is None:
                things, place, expected, seen = self.in_tile(frame, scale, tile)
                new = self.fresh(place, parts)
                known = look(frame, things[new], place[new], expected[new]), seen
                if kept:
                    kept.keep(number, *known)
            parts.append(known[0])
            count, evidence = count + len(known[0]), evidence + known[1]
            if tell:
                tell((number + 1) / len(tiles), count)
        rows = pa.concat_tables(parts)
        order = np.argsort(rows["false_finds"].to_numpy(), kind="stable")
        return rows.take(pa.array(order)), evidence

    def in_tile(
        self, frame: Large, scale: Scale, tile: Tile
    ) -> tuple[Things, Float[Tensor, "n 2"], Float[Tensor, " n"], Evidence]:
        """The things whose middles a tile counts, their places, and the false finds expected.

        And how much of what the tile counts its things explain.

        Raises:
            Unreadable: it cannot be read.
        """
        apart, noise = self.apart_in(frame, scale, tile)
        shape = apart.shape[1:]
        things, expected = self.explained(apart, noise, math.prod(frame.view.shape[:2]))
        place = self.places_in(things, tile, shape)
        ratio = [
            shape[i] / (last - first) for i, (first, last) in enumerate((tile.rows, tile.columns))
        ]
        (left, right), (top, bottom) = tile.own_columns, tile.own_rows
        reach = TWICE * self.size
        x, y = place.T
        height, width = frame.view.shape[:2]
        own = (x >= left - reach * (left > 0)) & (y >= top - reach * (top > 0))
        own &= (x < right + reach * (right < width)) & (y < bottom + reach * (bottom < height))
        counted = tuple(
            slice(round((first - begin) * factor), round((last - begin) * factor))
            for (first, last), (begin, _), factor in (
                (tile.own_rows, tile.rows, ratio[0]),
                (tile.own_columns, tile.columns, ratio[1]),
            )
        )
        seen = evidence_of(apart, things, noise, (counted[0], counted[1]))
        return things[own], place[own], expected[own], seen

    def apart_in(
        self, frame: Large, scale: Scale, tile: Tile
    ) -> tuple[Float[Tensor, "C h w"], float]:
        """How a tile differs from its background, in pixels of the model, and its noise.

        Raises:
            Unreadable: it cannot be read.
        """
        values = scale(frame, slice(*tile.rows), slice(*tile.columns))
        shape = [max(1, round(n * self.ratio)) for n in values.shape[1:]]
        if shape != list(values.shape[1:]):
            values = F.interpolate(values[None], size=shape, mode="bilinear", antialias=True)[0]
        kind, reach = self.settings.background, round(SCALE * side(*self.explainer.shape))
        return values - background_of(values, kind, reach), noise_of(values)

    def places_in(self, things: Things, tile: Tile, shape: Sequence[int]) -> Float[Tensor, "n 2"]:
        """The middles of the things of a tile, x and y in pixels of the frame.

        Args:
            things: of the tile.
            tile: where it lies.
            shape: height and width of the tile in pixels of the model.
        """
        ends = torch.tensor([tile.columns, tile.rows])
        ratio = torch.tensor([shape[1], shape[0]]) / (ends[:, 1] - ends[:, 0])
        middle = torch.tensor(self.explainer.shape[::-1]) / 2
        longer = side(*self.explainer.shape)
        place = things.corner.flip(1) + middle + longer * middles(things.drawn)
        return place / ratio + ends[:, 0]

    def levels(self, apart: Float[Tensor, "C h w"], noise: float) -> tuple[float, float]:
        """Variance of what a tile has beside its things, and the contrast of these.

        Args:
            apart: difference of the tile from its background.
            noise: variance of its pixels.
        """
        misfit, contrast = self.templates.misfit, 1.0
        if self.recipe.normalise == "image":  # black and white of a frame are not those of a crop
            contrast = self.explainer.contrast_of(apart, max(noise, misfit))
        return max(noise, misfit * contrast**2), contrast

    def explained(
        self, apart: Float[Tensor, "C h w"], noise: float, pixels: float
    ) -> tuple[Things, Float[Tensor, " n"]]:
        """The things of a tile, and how many false finds as good are expected in its frame.

        Args:
            apart: difference of the tile from its background.
            noise: variance of its pixels.
            pixels: of the whole frame, as it lies in its file.
        """
        noise, contrast = self.levels(apart, noise)
        things, rest = self.explainer.explain(apart, noise, contrast)
        tail = tail_of(self.explainer, rest, noise, contrast)
        expected = tail.expected(things.gain, pixels * self.ratio**2)
        good = expected <= self.settings.false_finds
        add(rest, things[~good], 1)
        things = jointly(things[good], rest, self.explainer.freedom, noise, contrast)
        if not spec_of(self.run.settings.model.kind).trained:  # it draws no more than means
            things = self.explainer.named(things, rest, contrast)
        return things, expected[good]

    def fresh(self, place: Float[Tensor, "n 2"], before: list[pa.Table]) -> Bool[Tensor, " n"]:
        """Which things are not also among the rows of the tiles before; places in the frame."""
        if not before or not len(place):
            return torch.ones(len(place), dtype=torch.bool)
        x, y = (np.concatenate([rows[name].to_numpy() for rows in before]) for name in ("x", "y"))
        reach, (low, high) = TWICE * self.size, place.aminmax(dim=0)
        near = (x > low[0].item() - reach) & (x < high[0].item() + reach)
        near &= (y > low[1].item() - reach) & (y < high[1].item() + reach)
        known = torch.from_numpy(np.stack([x[near], y[near]], 1)).to(place)
        return (torch.cdist(place, known) > reach).all(1)

    def rows(
        self,
        frame: Large,
        things: Things,
        place: Float[Tensor, "n 2"],
        expected: Float[Tensor, " n"],
    ) -> pa.Table:
        """The table of a frame's things, the surest first.

        Columns: file, frame, x and y (the centroid of the thing, pixels from the upper left corner
        of the frame), group, cluster, probability, false_finds, score, amplitude; rotation_deg and
        the other coordinates of the pose but for shifts, scale, mirrored; and the box around what
        is drawn (`BOX`), pixels.
        """
        group, collections = self.run.model.group, self.run.collections
        pose = self.run.frames.poses(things.element, things.cluster, things.z)
        of = collections.assign(things.cluster.numpy(), things.z.numpy())
        count = len(things)
        columns: dict[str, pa.Array | np.ndarray] = {
            "file": pa.array([frame.file] * count, pa.string()),
            "frame": np.full(count, frame.number, np.int32),
            "x": place[:, 0].numpy(),
            "y": place[:, 1].numpy(),
            "group": pa.array([collections.entries[i].name for i in of], pa.string()),
            "cluster": things.cluster.numpy().astype(np.int32),
            "probability": probability(expected).numpy(),
            "false_finds": expected.numpy(),
            "score": things.gain.numpy(),
            "amplitude": things.amplitude.numpy(),
        }
        columns |= pose_columns(pose, group, self.run.shape)
        columns |= dict(zip(BOX, self.boxes(things, place), strict=True))
        return pa.table(columns)

    def boxes(self, things: Things, place: Float[Tensor, "n 2"]) -> Iterator[np.ndarray]:
        """Left, top, width and height of the boxes around what is drawn, pixels of the frame."""
        drawn = things.drawn.abs().sum(1)
        shown = drawn > OUTLINE * drawn.amax((1, 2), keepdim=True)
        centre = torch.tensor(self.explainer.shape[::-1]) / 2
        middle = centre + side(*self.explainer.shape) * middles(things.drawn)
        ends = []
        for axis in (0, 1):  # across, down
            seen = shown.any(1 + axis).float()
            first, last = seen.argmax(1), seen.shape[1] - seen.flip(1).argmax(1)
            start = place[:, axis] + (first - middle[:, axis]) / self.ratio
            ends.append((start, (last - first) / self.ratio))
        for i in (0, 1):
            for values in ends:
                yield values[i].numpy().astype(np.float32)


def recipe_of(run: TrainedRun, settings: FindConfig) -> Recipe:
    """How the numbers of frames become intensities as the run's images have them."""
    return replace(run.recipe, invert=run.recipe.invert != settings.invert)


def pose_columns(
    pose: Float[Tensor, "n 3 3"], group: MatrixGroup, shape: tuple[int, int, int]
) -> dict[str, np.ndarray]:
    """Columns of poses without their shifts: rotation_deg and so on, scale, mirrored.

    Args:
        pose: of the things.
        group: of the poses.
        shape: (C, H, W) of the model's images.
    """
    columns = {}
    parameters = group.to_parameters(pose)
    for i, (name, unit) in enumerate(zip(group.coordinates, group.units, strict=True)):
        if name not in SHIFTS:
            known, factor = human(unit, shape)
            columns[f"{name}_{known}"] = (parameters[:, i] * factor).numpy()
        if name == "log_scale":
            columns["scale"] = parameters[:, i].exp().numpy()
    if group.mirrors:
        columns["mirrored"] = mirrored(pose).numpy()
    return columns
