"""Pictures of the tutorials: the average of a group, members as they lie, and the same upright.

The picture of the README has canonical images instead of averages. It can be drawn alone, from a
folder in which the commands of docs/tutorials/cells.md were run, up to that which marks junk:

    python benchmarks/tutorial_pictures.py --cells FOLDER
"""

import argparse
import csv
from collections import Counter
from contextlib import chdir
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from mcevae.cli import main as mcevae
from mcevae.pages.gallery import drawn, hang
from mcevae.runs.run import TrainedRun

PICTURES = Path(__file__).absolute().parents[1] / "docs" / "images"
Stack = tuple[np.ndarray, list[dict[str, Any]]]
"""Images, and the rows of the table beside them."""
TILE, GAP, WORDS = 0.78, 0.03, 0.22
"""Sizes in inches: of a member, between two, and of a line of words."""
SHOWN = 7
"""Members of each group."""
MOST = 3
"""Groups of a picture, the largest ones."""
LARGEST = 200_000
"""Bytes of a picture, at most; it gets as many colours as they allow."""
FIRST = ("tadpole", "slipper", "yeast")
"""Groups of the picture that heads the README."""


def as_given(source: Path, name: str) -> np.ndarray:
    """An image as its file has it: a section of a stack (`7@stack`), of an array (`array#7`), or a
    picture."""
    if "@" in name:
        section, stack = name.split("@")
        with mrcfile.mmap(source.with_name(stack)) as file:
            assert file.data is not None
            return np.asarray(file.data[int(section) - 1])
    if "#" in name:
        array, place = name.split("#")
        with np.load(source.with_name(array)) as file:
            return file["images"][int(place)]
    return np.asarray(Image.open(source / name))


def table(path: Path) -> list[dict[str, Any]]:
    """Rows of a table that mcevae wrote, all as text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stack(run: Path, work: Path, command: str, *arguments: str) -> Stack:
    """The stack that a command of mcevae writes of a run, and the rows of the table beside it."""
    out = work / f"{command}.npy"
    mcevae([command, str(run), *arguments, "--out", str(out), "--overwrite"])
    return np.load(out), table(out.with_suffix(".csv"))


def limits(pixels: np.ndarray) -> tuple[float, float]:
    """What is shown as black and as white: colours as they are, numbers from end to end."""
    if pixels.ndim == 3:
        return 0, 255 if pixels.max() > 2 else 1
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def shown(figure: Figure, pixels: np.ndarray, left: float, top: float, side: float) -> None:
    """Show one image without axes; places are inches from the left and the top."""
    width, height = figure.get_size_inches()
    axes: Any = figure.add_axes(
        (left / width, 1 - (top + side) / height, side / width, side / height)
    )
    low, high = limits(pixels)
    if pixels.ndim == 3:
        axes.imshow(((pixels - low) / (high - low)).clip(0, 1), interpolation="lanczos")
    else:
        axes.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    axes.axis("off")


def canonical_images(run: Path) -> dict[str, np.ndarray]:
    """What the model of a run draws for each group with images, without a pose, by its name."""
    opened = TrainedRun.open(run)
    found, groups = hang(opened, opened.data(), mapped=False), opened.collections
    of = groups.assign(found.cluster, found.z, found.names)
    return {
        groups.entries[i].name: drawn(opened.model, found, np.flatnonzero(of == i), opened.frames)
        .movedim(0, -1)
        .numpy()
        for i in np.unique(of).tolist()
    }


def averages_in(made: Stack) -> dict[str, np.ndarray]:
    """The average of each group, by its name."""
    return {row["group"]: picture for picture, row in zip(*made, strict=True)}


def groups_drawn(
    source: Path, names: list[str], members: Stack, called: str, pictures: dict[str, np.ndarray]
) -> Figure:
    """Some groups: on the left a picture of each; on the right members, and below them upright.

    Args:
        source: the images.
        names: of the groups.
        members: upright, and the rows of the table beside them.
        called: what the pictures on the left are.
        pictures: these, by the names of the groups.
    """
    upright, rows = members
    block = 2 * TILE + 3 * GAP + WORDS
    figure = Figure(figsize=((2 + SHOWN) * (TILE + GAP) + GAP, block * len(names)))
    for i, name in enumerate(names):
        top = i * block + WORDS
        shown(figure, pictures[name], 0, top, 2 * TILE + GAP)
        mine = [k for k, row in enumerate(rows) if row["group"] == name][:SHOWN]
        for j, member in enumerate(mine):
            left = (2 + j) * (TILE + GAP) + GAP
            shown(figure, as_given(source, rows[member]["file"]), left, top, TILE)
            shown(figure, upright[member], left, top + TILE + GAP, TILE)
        say: dict[str, Any] = dict(fontsize=9, va="bottom")
        height = 1 - (top - 0.04) / (block * len(names))
        figure.text(0.004, height, f"{name}: {called}", **say)
        if i == 0:
            told = "members as they lie; below, the same upright"
            figure.text(2.06 / (2 + SHOWN), height, told, **say)
    return figure


def draw(name: str, source: Path, run: Path, out: Path) -> None:
    """Draw the picture of a tutorial, and that of the README if this is its tutorial.

    Args:
        name: of the tutorial. "": only the picture of the README is drawn.
        source: its images.
        run: its first run.
        out: folder of the pictures.
    """
    members = stack(run, source.parent, "select", "--outlier", "0", "0.99")
    sizes = Counter(row["group"] for row in members[1])
    names = [group for group, _ in sizes.most_common()]
    if name:
        averages = averages_in(stack(run, source.parent, "averages"))
        figure = groups_drawn(source, names[:MOST], members, "average", averages)
        keep(figure, out / f"tutorial-{name}.png")
    if set(FIRST) <= set(names):
        drawings = canonical_images(run)
        figure = groups_drawn(source, list(FIRST), members, "canonical", drawings)
        keep(figure, out / "upright.png")


def keep(figure: Figure, path: Path) -> None:
    """Write a picture of groups."""
    figure.savefig(path, dpi=100)
    shrink(path)


def shrink(path: Path) -> None:
    """Give a picture as many colours as `LARGEST` allows."""
    with Image.open(path) as picture:
        full = picture.convert("RGB")
    for colours in (128, 64, 32, 16):
        full.quantize(colours, kmeans=2).save(path, optimize=True)
        if path.stat().st_size < LARGEST:
            break
    assert path.stat().st_size < LARGEST, path


def draw_film(name: str, film: Path, tracks: Path, out: Path) -> None:
    """Draw the picture of a tutorial with a film: paths, and how each track moves.

    Args:
        name: of the tutorial.
        film: frames in one file.
        tracks: table of its tracks, .csv.
        out: folder of the pictures.
    """
    rows = table(tracks)
    groups = sorted({row["group"] for row in rows})
    figure = Figure(figsize=(9.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    last = max(int(row["time"]) for row in rows)
    with Image.open(film) as frames:
        frames.seek(last)
        left.imshow(np.asarray(frames), cmap="gray")
    for number in sorted({row["track"] for row in rows}):
        own = [row for row in rows if row["track"] == number]
        x, y, vx, vy, turning = (
            np.array([float(row[column]) for row in own])
            for column in ("x", "y", "velocity_x", "velocity_y", "turning_deg")
        )
        colour = f"C{groups.index(own[0]['group'])}"
        left.plot(x - 0.5, y - 0.5, color=colour, lw=1.2)
        if int(own[-1]["time"]) == last:
            corner = float(own[-1]["box_x"]) - 0.5, float(own[-1]["box_y"]) - 0.5
            sides = float(own[-1]["box_width"]), float(own[-1]["box_height"])
            left.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour))
        if len(own) >= 10:
            right.plot(np.median(np.hypot(vx, vy)), abs(np.median(turning)), "o", color=colour)
    left.axis("off")
    right.set_xlabel("speed, pixels a frame")
    right.set_ylabel("turning, degrees a frame")
    for i, group in enumerate(groups):
        right.plot([], [], "o", color=f"C{i}", label=group)
    right.legend()
    file = out / f"tutorial-{name}.png"
    figure.savefig(file, dpi=80)
    shrink(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=Path, required=True)
    cells = parser.parse_args().cells
    with chdir(cells):  # where its run finds the images
        draw("", Path("cells").absolute(), Path("runs/cells"), PICTURES)
