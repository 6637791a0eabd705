"""More images than memory holds: a pack of images of one form, in random order, on disk.

A pack is a folder: pixels.npy (N, H, W) or (N, H, W, 3) bytes, index.parquet (the file and the
label of each row) and pack.json (how they were read). `packing` makes it. Since its rows are in
random order, any run of them is a fair sample, read in one go: training takes one window of rows
after another, and memory holds one.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import Images, require
from mcevae.images.readers import Fault

ABOUT, PIXELS, INDEX = "pack.json", "pixels.npy", "index.parquet"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A pack on disk.

    Attributes:
        folder: where it lies.
        count: N.
        shape: (C, H, W) of every image.
        digest: fingerprint of its pixels.
        recipe: settings of `DataConfig` that its images were read by.
        label_names: what label 0, 1, ... is called; empty without labels.
        faults: what could not be used.
    """

    folder: Path
    count: int
    shape: tuple[int, int, int]
    digest: str
    recipe: dict[str, Any]
    label_names: tuple[str, ...]
    faults: tuple[Fault, ...]

    def rows(self, start: int, stop: int, *, labelled: bool = True) -> Images:
        """Images of some rows, read into memory.

        Args:
            start, stop: first row, and the one after the last.
            labelled: with labels and names, where they are known.
        """
        channels, height, width = self.shape
        held = np.load(self.folder / PIXELS, mmap_mode="r")[start:stop]
        pixels = torch.from_numpy(np.array(held)).view(-1, height, width, channels)
        images = Images(name=str(self.folder), pixels=pixels.movedim(-1, 1).contiguous())
        if not labelled:
            return images
        index = parquet.read_table(self.folder / INDEX, memory_map=True).slice(start, stop - start)
        images = replace(images, names=np.asarray(index["file"].to_pylist()))
        if self.label_names:
            labels = torch.tensor(index["label"].to_pylist())
            images = replace(images, labels=labels, label_names=self.label_names)
        return images


def is_pack(path: Path) -> bool:
    """Whether a folder is a pack."""
    return (path / ABOUT).is_file()


def open_pack(path: Path) -> Pack:
    """A pack that `write_pack` made.

    Raises:
        UserError: it is damaged, or of a format not known here.
    """
    try:
        about = json.loads((path / ABOUT).read_text("utf-8"))
        known = about.pop("format")
        require(known == FORMAT, f"{path}: is a pack of format {known}, not {FORMAT}; pack anew.")
        faults = tuple(Fault(*one) for one in about.pop("faults"))
        shape, names = tuple(about.pop("shape")), tuple(about.pop("label_names"))
        channels, height, width = shape
        recipe = about["recipe"]
        recipe["levels"] = recipe["levels"] and tuple(recipe["levels"])
        pack = Pack(folder=path, shape=shape, label_names=names, faults=faults, **about)
        DataConfig(source=str(path), **pack.recipe)
        held = np.load(path / PIXELS, mmap_mode="r").shape
        rows = parquet.read_metadata(path / INDEX).num_rows
        colours = (3,) if channels == 3 else ()
        if held != (pack.count, height, width, *colours) or rows != pack.count:
            raise ValueError(f"{PIXELS} is of shape {held}, {INDEX} of {rows} rows")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UserError(f"{path}: is a damaged pack ({error}); pack its images anew.") from error
    return pack
