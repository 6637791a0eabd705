"""Figures of the images of a run for notebooks: groups, map, poses, and members turned upright."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from mcevae.images.arrays import to_float
from mcevae.images.composites import composite
from mcevae.models.contract import Model
from mcevae.pages.collected import Gallery
from mcevae.pages.figures import fill_grid
from mcevae.pages.gallery import drawn, members_of
from mcevae.runs.collections import Collections

COLUMNS = 8
"""Members that figures show of a group."""
MOST_GROUPS = 30
"""Groups in a figure, at most; the largest are shown."""


class Plot(Figure):
    """A figure that notebooks show by themselves."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


class Plots:
    """Draws a gallery. Groups are those of `collections`, largest first.

    Args:
        gallery: the images, and what a model found in them.
        collections: the groups.
        model: the model.
    """

    def __init__(self, gallery: Gallery, collections: Collections, model: Model) -> None:
        self.gallery, self.collections, self.model = gallery, collections, model
        self.of = collections.assign(gallery.cluster, gallery.z, gallery.names)
        self.junk = collections.junk_in(self.of, gallery.names)
        sizes = np.bincount(self.of, minlength=len(collections.entries))
        order = np.argsort(-sizes, kind="stable")
        self.order = [int(i) for i in order if sizes[i]]
        self.sizes = sizes
        self.frames = replace(gallery.frames, collections=collections)

    def groups(self) -> Figure:
        """The canonical image of each group, and some of its members as they lie."""
        return self._rows(upright=False)

    def upright(self) -> Figure:
        """The canonical image of each group, and some of its members, each moved back by its pose.

        They are the same members as in `groups`.
        """
        return self._rows(upright=True)

    def map(self) -> Figure:
        """Each image as a dot. Images with similar canonical images lie near each other (UMAP)."""
        figure = Plot(figsize=(7.5, 6), layout="constrained")
        axes: Any = figure.subplots()
        colours = colormaps["tab20"].colors  # pyright: ignore[reportAttributeAccessIssue]
        for place, group in enumerate(self.order):
            x, y = self.gallery.where[self.of == group].T
            name = self._name(group).replace("\n", ", ") if place < MOST_GROUPS else None
            colour = colours[(2 * place) % 20 + (place // 10) % 2]
            axes.scatter(x, -y, s=6, linewidths=0, color=colour, label=name)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal")
        how: Any = {"loc": "outside right upper", "frameon": False}
        for text in figure.legend(fontsize=8, markerscale=2, **how).get_texts():
            text.set_parse_math(False)  # names may have $
        return figure

    def poses(self) -> Figure:
        """How the images of each group lie: a rose of rotations, and histograms of the rest.

        Grey lines are the ends of the support. Angles grow clockwise from the top.
        """
        shown, coordinates = self.order[:MOST_GROUPS], self.gallery.coordinates
        values, _ = self.gallery.posed(self.collections)
        figure = Plot(
            figsize=(2.2 * len(coordinates) + 1.2, 1.7 * len(shown)), layout="constrained"
        )
        for row, group in enumerate(shown):
            for column, one in enumerate(coordinates):
                place = row * len(coordinates) + column + 1
                round_ = one.unit == "deg"
                axes: Any = figure.add_subplot(
                    len(shown), len(coordinates), place, projection="polar" if round_ else None
                )
                draw = rose if round_ else histogram
                draw(axes, values[self.of == group, column], one.half_width)
                axes.tick_params(labelsize=6)
                if row == 0:
                    axes.set_title(f"{one.name.replace('_', ' ')} ({one.unit})", fontsize=9)
                if column == 0:
                    told = {"rotation": 0, "ha": "right", "va": "center", "labelpad": 32}
                    axes.set_ylabel(self._name(group), fontsize=8, parse_math=False, **told)
        return figure

    def _name(self, group: int) -> str:
        """A group's name and its size, in two lines."""
        name = called(self.collections.entries[group].name)
        return f"{name if len(name) < 25 else name[:24] + '…'}\n{counted(int(self.sizes[group]))}"

    def _rows(self, *, upright: bool) -> Figure:
        """A row for each group: its canonical image, then members as they lie or upright."""
        shown = self.order[:MOST_GROUPS]
        figure = Plot(figsize=(1.6 + 0.8 * (COLUMNS + 1), 0.85 * len(shown)), layout="constrained")
        rows = []
        for group in shown:
            mine = np.flatnonzero(self.of == group)
            canonical = to_float(drawn(self.model, self.gallery, mine, self.frames))[None]
            members = members_of(self.gallery, mine, self.junk)
            typical = np.asarray(members["typical"])[:COLUMNS]
            both = [canonical, self._members(typical, upright)]
            rows.append((self._name(group), torch.cat([one.expand(-1, 3, -1, -1) for one in both])))
        axes = fill_grid(figure, rows)
        step = axes.get_xlim()[1] / (COLUMNS + 1)
        for column, told in ((0.5, "canonical"), (1.5, "upright" if upright else "as they lie")):
            axes.text(column * step, 0, told, fontsize=8, ha="center", va="bottom")
        return figure

    def _members(self, ids: Int[np.ndarray, " m"], upright: bool) -> Float[Tensor, "m c h w"]:
        """Images as people look at them, from 0 to 1; as they lie, or moved back by their poses."""
        gallery, chosen = self.gallery, torch.from_numpy(ids)
        if upright:
            images = gallery.upright(chosen, self.frames)
        else:
            images = to_float(gallery.pixels[chosen])
        return composite(images, gallery.colours)


def called(name: str) -> str:
    """What a figure calls a group. One without a name is called by its number."""
    return f"group {name}" if name.replace(".", "").isdecimal() else name


def counted(size: int) -> str:
    """Say how many images there are."""
    return "1 image" if size == 1 else f"{size:,} images"


def rose(axes: Any, degrees: Float[np.ndarray, " n"], half_width: float) -> None:
    """Draw a histogram around the circle: angles grow clockwise from the top.

    Args:
        axes: polar axes.
        degrees: the angles.
        half_width: of the support, in degrees.
    """
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    counts, edges = np.histogram(np.radians(degrees), np.linspace(-np.pi, np.pi, 37))
    axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color="C0")
    if half_width < 180:
        for angle in np.radians([-half_width, half_width]):
            axes.plot([angle, angle], [0, max(counts.max(), 1)], color="0.5", linewidth=0.8)
    axes.set_xticks(np.radians([0, 90, 180, 270]), ["0", "90", "180", "-90"])
    axes.set_yticks([])


def histogram(axes: Any, values: Float[np.ndarray, " n"], half_width: float) -> None:
    """Draw a histogram with lines at the ends of the support.

    Args:
        axes: plain axes.
        values: of a coordinate.
        half_width: of the support, in the unit of the values.
    """
    most = max(float(np.abs(values).max()), half_width) * 1.05
    axes.hist(values, np.linspace(-most, most, 31), color="C0")
    for end in (-half_width, half_width):
        axes.axvline(end, color="0.5", linewidth=0.8)
    axes.set_yticks([])
