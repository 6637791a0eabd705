"""Read packs: images of one form, in random order on disk, for more images than fit into memory.

A pack is a folder. It holds pixels.npy, bytes of shape (N, H, W) or (N, H, W, C); index.parquet,
the file, the size in it and the label of each row; and pack.json, which says how the images were
read. `packing` makes packs. Because the rows are in random order, any consecutive rows are a fair
sample. Training reads one window of rows after another and holds one of them in memory.
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
from mcevae.base.files import check_regular, read_text
from mcevae.base.names import in_utf8
from mcevae.images.arrays import Images, require
from mcevae.images.readers.frames import Fault

ABOUT, PIXELS, INDEX = "pack.json", "pixels.npy", "index.parquet"
FORMAT = 1
SIZES = ("height", "width")
"""Columns of the index: of each image as it lay in its file."""


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A pack on disk.

    Attributes:
        folder: folder of the pack.
        count: number of images, N.
        shape: (C, H, W) of every image.
        digest: fingerprint of the pixels.
        recipe: settings of `DataConfig` with which the images were read.
        label_names: names of label 0, 1, ...; empty without labels.
        faults: files that could not be used, and why.
        reckoned: how many files were read, in one sentence; "" if all were.
    """

    folder: Path
    count: int
    shape: tuple[int, int, int]
    digest: str
    recipe: dict[str, Any]
    label_names: tuple[str, ...]
    faults: tuple[Fault, ...]
    reckoned: str = ""

    def rows(self, start: int, stop: int, *, labelled: bool = True) -> Images:
        """Read rows `start` to `stop` into memory.

        Args:
            start: first row.
            stop: the row after the last.
            labelled: whether to add labels and names, if they are known.
        """
        channels, height, width = self.shape
        held = np.load(self.folder / PIXELS, mmap_mode="r")[start:stop]
        pixels = torch.from_numpy(np.array(held)).view(-1, height, width, channels)
        places = np.arange(start, start + len(pixels))
        images = Images(
            name=str(self.folder), pixels=pixels.movedim(-1, 1).contiguous(), places=places
        )
        if not labelled:
            return images
        with in_utf8(self.folder / INDEX) as known:
            index = parquet.read_table(known, memory_map=True).slice(start, stop - start)
        images = replace(images, names=np.asarray(index["file"].to_pylist()))
        if {*SIZES} <= {*index.column_names}:  # older packs do not have them
            sides = [index[one].fill_null(1).to_numpy() for one in SIZES]
            images = replace(images, sizes=np.stack(sides, 1).clip(1))
        if self.label_names:
            labels = torch.tensor(index["label"].to_pylist())
            images = replace(images, labels=labels, label_names=self.label_names)
        return images


def open_pack(path: Path) -> Pack:
    """Open a pack that `write_pack` made.

    Raises:
        UserError: the pack is damaged, or this version cannot read its format.
    """
    try:
        about = json.loads(read_text(path / ABOUT))
        known = about.pop("format")
        require(known == FORMAT, f"{path}: has pack format {known}, not {FORMAT}; pack again.")
        faults = tuple(Fault(*one) for one in about.pop("faults"))
        shape, names = tuple(about.pop("shape")), tuple(about.pop("label_names"))
        channels, height, width = shape
        recipe = about["recipe"]
        for name in ("levels", "seen"):
            recipe[name] = recipe.get(name) and tuple(recipe[name])
        pack = Pack(folder=path, shape=shape, label_names=names, faults=faults, **about)
        DataConfig(source=str(path), **pack.recipe)
        for name in (PIXELS, INDEX):
            check_regular(path / name)
        held = np.load(path / PIXELS, mmap_mode="r").shape
        with in_utf8(path / INDEX) as known:
            rows, kinds = parquet.read_metadata(known).num_rows, parquet.read_schema(known)
        if any(one in kinds.names and kinds.field(one).type != pa.int32() for one in SIZES):
            raise ValueError(f"{INDEX} has sizes that are no whole numbers")
        last = () if channels == 1 else (channels,)
        if held != (pack.count, height, width, *last) or rows != pack.count:
            raise ValueError(f"{PIXELS} has shape {held}, {INDEX} has {rows} rows")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise UserError(f"{path}: is a damaged pack ({error}); pack the images again.") from error
    return pack
