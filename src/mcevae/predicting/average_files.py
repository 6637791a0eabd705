"""Write averages as files: a stack, or a folder of pictures, with tables beside it."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, write_rows
from mcevae.images.arrays import to_bytes
from mcevae.images.composites import composite
from mcevae.predicting.averages import Average, shown
from mcevae.predicting.pictures import encoded
from mcevae.predicting.predictor import skipped
from mcevae.predicting.stacks import STACKS, check_stack, is_stack, stack_at

TABLE, RINGS = "averages.csv", "correlation.csv"
"""Tables in a folder: of the averages, and of their Fourier ring correlation."""
HALVES = ("even", "odd")
COLUMNS = (
    *("number", "group", "clusters", "images", "even", "odd", "width", "height"),
    *("resolution_0.143_px", "resolution_0.5_px", "black", "white"),
)
NAME = 80
"""Characters of a group's name that its picture's name keeps."""


def check_out(out: Path, *, overwrite: bool) -> None:
    """Check that averages can be written there, before any work is done.

    Raises:
        UserError: the ending is of another kind, a package is missing, or something is there.
    """
    ending = out.suffix.lower()
    if ending and ending not in STACKS:
        raise UserError(
            f"{out}: averages are not written as {ending}; give a path that ends in "
            f"{', '.join(STACKS)}, or a folder for pictures (.png)."
        )
    if ending:
        check_stack(out)
    else:
        if out.exists() and not (out.is_dir() and (overwrite or not any(out.iterdir()))):
            remedy = ", or add --overwrite" if out.is_dir() else ""
            raise UserError(f"{out}: already exists; choose another --out{remedy}.")
        return
    for path in (out, *beside(out)):
        if path.is_dir() or (path.exists() and not overwrite):
            remedy = "" if path.is_dir() else ", or add --overwrite"
            raise UserError(f"{path}: already exists; choose another --out{remedy}.")


def beside(out: Path) -> tuple[Path, ...]:
    """Files beside a stack: the halves, the table of averages and that of the correlations."""
    stem = out.stem
    halves = (out.with_name(f"{stem}-{half}{out.suffix}") for half in HALVES)
    return *halves, out.with_name(f"{stem}.csv"), out.with_name(f"{stem}-{RINGS}")


def skipped_by(out: Path) -> Path:
    """Path of the list of files that are not in the averages."""
    return skipped(out) if is_stack(out) else out / "skipped.csv"


def write_averages(
    averages: Sequence[Average], out: Path, colours: tuple[str, ...] = ()
) -> list[Path]:
    """Write averages, their halves and two tables.

    Args:
        averages: at least one. In a stack all must have one size.
        out: .mrcs, .tif or .npy for a stack, with intensities as they are; or a folder for PNG
            files, with the levels of each average as black and white.
        colours: of the channels in PNG files; (): averages are grey or have colours.

    Returns:
        What was written, the averages first.

    Raises:
        UserError: a file cannot be written, or an .mrcs is asked for colours.
    """
    if not is_stack(out):
        write_pictures(averages, out, colours)
        write_tables(averages, out / TABLE, out / RINGS)
        return [out, out / TABLE, out / RINGS]
    *halves, table, rings = beside(out)
    for path, kind in zip((out, *halves), ("picture", *HALVES), strict=True):
        pictures = np.stack([getattr(one, kind) for one in averages])
        with stack_at(path, pictures.shape) as stack:
            stack[:] = pictures
    write_tables(averages, table, rings)
    return [out, *halves, table, rings]


def write_pictures(
    averages: Sequence[Average], folder: Path, colours: tuple[str, ...] = ()
) -> None:
    """Write averages as PNG; the halves go to folders of their own. Older ones are replaced."""
    for kind in ("", *HALVES):
        for old in (folder / kind).glob("[0-9][0-9][0-9]-*.png"):
            old.unlink()
        for number, one in enumerate(averages):
            name = re.sub(r"[^\w.-]+", "_", one.name)[:NAME]
            picture = getattr(one, kind or "picture")
            with atomic(folder / kind / f"{number:03}-{name}.png") as temporary:
                seen = looked_at(shown(picture, one.levels), colours)
                temporary.write_bytes(encoded(seen, ".png"))


def looked_at(
    picture: Float32[np.ndarray, "*picture"], colours: tuple[str, ...]
) -> UInt8[Tensor, "shown h w"]:
    """A picture (H, W) or (H, W, C) from 0 to 1, as bytes in grey or in colours."""
    values = torch.from_numpy(picture.reshape(*picture.shape[:2], -1)).movedim(-1, 0)
    return to_bytes(composite(values[None], colours)[0])


def write_tables(averages: Sequence[Average], table: Path, rings: Path) -> None:
    """Write a row for each average, and a row for each ring of each average."""
    write_rows(table, COLUMNS, [row_of(i, one) for i, one in enumerate(averages)])
    found = [
        (str(i), one.name, f"{frequency:.6f}", f"{value:.6f}")
        for i, one in enumerate(averages)
        if one.correlation is not None
        for frequency, value in zip(
            one.correlation.frequency.tolist(), one.correlation.correlation.tolist(), strict=True
        )
    ]
    write_rows(rings, ("number", "group", "frequency_per_px", "correlation"), found)


def row_of(number: int, one: Average) -> tuple[str, ...]:
    """The row of an average in the table."""
    height, width = one.picture.shape[:2]
    resolutions = ("" if value is None else f"{value:.3f}" for value in one.resolutions)
    numbers = (one.images, *one.counts, width, height)
    levels = (" ".join(f"{level:.6g}" for level in one.levels[end::2]) for end in (0, 1))
    return (str(number), one.name, " ".join(one.units), *map(str, numbers), *resolutions, *levels)
