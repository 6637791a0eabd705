"""Any source as a pack: brought to one form, shuffled and laid on disk.

Shuffling N images takes two passes over the disk and the memory of one bucket: every image is
thrown into a bucket drawn at random, and each bucket is then shuffled by itself, which together is
a uniform shuffle.
"""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.base.files import atomic_folder, write_text
from mcevae.images.labels import labeller
from mcevae.images.packs import ABOUT, FORMAT, INDEX, PIXELS, Pack, open_pack
from mcevae.images.readers.frames import Fault, write_faults
from mcevae.images.sources.contract import Source, Track
from mcevae.images.sources.frames import no_image

BUCKET_BYTES = 2**28
"""Size of a bucket that is aimed at."""
MOST_BUCKETS = 512
"""Files that are open at once."""


def write_pack(source: Source, folder: Path, *, seed: int = 0, track: Track = iter) -> Pack:
    """Bring all images of a source to one form, in random order, in a folder.

    Args:
        source: of files.
        folder: to make; what a stop leaves half written is not taken for a pack.
        seed: of the order.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: the source cannot be packed, nothing can be read, or `folder` exists or cannot
            be written.
    """
    if not source.packable or source.survey is None:
        raise UserError(f"{source.name}: has one form already; give files, or a folder of them.")
    if folder.exists():
        raise UserError(f"{folder}: already exists; choose another --out, or move it away.")
    recipe = source.survey.recipe
    channels, (height, width) = recipe.channels, recipe.shape
    rng = np.random.default_rng(seed)
    with atomic_folder(folder) as half:
        faults: list[Fault] = []
        with ExitStack() as stack:
            buckets = [Bucket(half / f"{i:04}", stack) for i in range(bucket_count(source))]
            for part in source.parts(recipe, track=track):
                faults += part.faults
                for image, name in zip(part.pixels, part.names or [], strict=True):
                    bucket = buckets[rng.integers(len(buckets))]
                    bucket.add(image.movedim(0, -1).numpy(), name)
        count = sum(bucket.count for bucket in buckets)
        if count == 0:
            raise no_image(source.name, faults)
        form = (height, width, 3) if channels == 3 else (height, width)
        names, digest = join(buckets, half, form, count, rng, source.settings.labels)
        about = {
            "format": FORMAT,
            "count": count,
            "shape": (channels, height, width),
            "digest": digest,
            "recipe": {
                "size": height if height == width else None,
                "colour": "rgb" if channels == 3 else "grey",
                "normalise": recipe.normalise,
                "levels": recipe.levels,
                "background": recipe.background,
                "fit": recipe.fit,
            },
            "label_names": names,
            "faults": [astuple(fault) for fault in faults],
        }
        write_faults(faults, half / "skipped.csv")
        write_text(half / ABOUT, json.dumps(about, indent=1) + "\n")
    return open_pack(folder)


def bucket_count(source: Source) -> int:
    """Buckets of about `BUCKET_BYTES`, as far as the sizes of a source's files tell."""
    size = sum(path.stat().st_size for path in source.files() if path.exists())
    return min(MOST_BUCKETS, 1 + size // BUCKET_BYTES)


class Bucket:
    """Images, and their names a line each, in the order in which they came."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.count = path, 0
        self.pixels: BinaryIO = stack.enter_context(path.with_suffix(".raw").open("wb"))
        self.names: TextIO = stack.enter_context(path.with_suffix(".txt").open("w"))

    def add(self, pixels: np.ndarray, name: str) -> None:
        """Put an image of bytes in."""
        self.pixels.write(pixels.tobytes())
        self.names.write(json.dumps(name) + "\n")
        self.count += 1

    def empty(self, form: tuple[int, ...]) -> tuple[np.ndarray, list[str]]:
        """All that is in it, (n, ...) and n names; its files are removed."""
        pixels = np.fromfile(self.path.with_suffix(".raw"), np.uint8).reshape(-1, *form)
        names = list(map(json.loads, self.path.with_suffix(".txt").read_text().splitlines()))
        for ending in (".raw", ".txt"):
            self.path.with_suffix(ending).unlink()
        return pixels, names


def join(
    buckets: list[Bucket],
    folder: Path,
    form: tuple[int, ...],
    count: int,
    rng: np.random.Generator,
    labels: str | None,
) -> tuple[tuple[str, ...], str]:
    """Write pixels and index from buckets, each shuffled; returns label names and the digest."""
    digest = hashlib.blake2b(digest_size=16)
    label_of = labeller(labels) if labels else None
    numbers: dict[str, int] = {}
    columns = [("file", pa.string()), *([("label", pa.int64())] if labels else [])]
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *form)}
    with (
        (folder / PIXELS).open("wb") as file,
        parquet.ParquetWriter(folder / INDEX, pa.schema(columns)) as index,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for bucket in buckets:
            pixels, names = bucket.empty(form)
            order = rng.permutation(len(pixels))
            rows_of_bytes = pixels[order].tobytes()
            digest.update(rows_of_bytes)
            file.write(rows_of_bytes)
            rows: dict[str, list[Any]] = {"file": [names[i] for i in order]}
            if label_of:
                words = (label_of(name) for name in rows["file"])
                rows["label"] = [numbers.setdefault(word, len(numbers)) for word in words]
            index.write_table(pa.table(rows, pa.schema(columns)))
    return tuple(numbers), digest.hexdigest()
