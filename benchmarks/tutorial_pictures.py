"""Pictures of the tutorials: of each group its average, members as they lie, and the same upright."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mcevae.cli import main as mcevae

Stack = tuple[np.ndarray, list[dict[str, Any]]]
"""Images, and the rows of the table beside them."""
SHOWN = 8
"""Members of each group."""
MOST = 6
"""Groups of a picture, the largest ones."""
LARGEST = 200_000
"""Bytes of a picture, at most."""
FIRST = ("tadpole", "slipper", "yeast")
"""Groups of the picture that heads the README."""


def as_given(folder: Path, name: str) -> np.ndarray:
    """An image as its file has it: a section of a stack (`7@stack`), of an array (`array#7`), or a
    picture."""
    if "@" in name:
        section, stack = name.split("@")
        with mrcfile.mmap(folder / stack) as file:
            return np.asarray(file.data[int(section) - 1])
    if "#" in name:
        array, place = name.split("#")
        with np.load(folder / array) as file:
            return file["images"][int(place)]
    (path,) = folder.glob(f"*/{Path(name).name}")
    return np.asarray(Image.open(path))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a table, all as text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stack(run: Path, work: Path, command: str, *arguments: str) -> Stack:
    """The stack that a command of mcevae writes of a run, and the rows of the table beside it."""
    out = work / f"{command}.npy"
    mcevae([command, str(run), *arguments, "--out", str(out), "--overwrite"])
    return np.load(out), rows_of(out.with_suffix(".csv"))


def limits(pixels: np.ndarray) -> tuple[float, float]:
    """What is shown as black and as white: colours as they are, numbers from end to end."""
    if pixels.dtype == np.uint8 and pixels.max() > 2:
        return 0, 255
    low, high = np.percentile(pixels, (0.5, 99.5))
    return float(low), float(max(high, low + 1e-6))


def shown(axes: Any, pixels: np.ndarray, title: str = "") -> None:
    """Show one image without axes."""
    low, high = limits(pixels)
    if pixels.ndim == 3:
        axes.imshow(((pixels - low) / (high - low)).clip(0, 1))
    else:
        axes.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    axes.set_title(title, fontsize=9, loc="left")
    axes.axis("off")


def groups_drawn(folder: Path, names: list[str], made: dict[str, Stack]) -> Figure:
    """Some groups: on the left their averages; on the right members, and below them upright."""
    (averages, known), (upright, rows) = made["averages"], made["select"]
    figure = Figure(figsize=(8, 1.62 * len(names) + 0.25), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)  # pyright: ignore
    grid = figure.add_gridspec(2 * len(names), SHOWN + 2)
    for i, name in enumerate(names):
        place = next(k for k, row in enumerate(known) if row["group"] == name)
        shown(figure.add_subplot(grid[2 * i : 2 * i + 2, :2]), averages[place], f"{name}: average")
        members = [k for k, row in enumerate(rows) if row["group"] == name]
        for j, member in enumerate(members[:SHOWN]):
            lies = as_given(folder, rows[member]["file"])
            first = i == 0 and j == 0
            shown(figure.add_subplot(grid[2 * i, j + 2]), lies, "as they lie" if first else "")
            turned = figure.add_subplot(grid[2 * i + 1, j + 2])
            shown(turned, upright[member], "the same, upright" if first else "")
    return figure


def draw(name: str, folder: Path, run: Path, out: Path) -> None:
    """Draw the picture of a tutorial, and that of the README if this is its tutorial.

    Args:
        name: of the tutorial.
        folder: where it was followed.
        run: its first run.
        out: folder of the pictures.
    """
    made = {
        "averages": stack(run, folder, "averages"),
        "select": stack(run, folder, "select", "--outlier", "0", "0.99"),
    }
    sizes = Counter(row["group"] for row in made["select"][1])
    names = [group for group, _ in sizes.most_common()]
    wanted = {f"tutorial-{name}.png": names[:MOST]}
    if set(FIRST) <= set(names):
        wanted["upright.png"] = list(FIRST)
    for file, some in wanted.items():
        groups_drawn(folder, some, made).savefig(out / file, dpi=100)
        with Image.open(out / file) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=255).save(
                out / file, optimize=True
            )
        assert (out / file).stat().st_size < LARGEST, file
