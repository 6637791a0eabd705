"""Make a pack from any source: bring images to one form, shuffle them and write them to disk.

The shuffle passes over the disk twice and needs the memory of one bucket. First every image goes
into a random bucket, then each bucket is shuffled. Together this is a uniform shuffle.
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
from mcevae.base.names import in_utf8
from mcevae.images.arrays import MISSING
from mcevae.images.labels import check_some, labeller
from mcevae.images.packs import ABOUT, FORMAT, INDEX, PIXELS, SIZES, Pack, open_pack
from mcevae.images.readers.frames import Fault, write_faults
from mcevae.images.sources.contract import Source, Track, no_image

BUCKET_BYTES = 2**28
"""Desired size of a bucket."""
MOST_BUCKETS = 512
"""Largest number of buckets, since their files are all open at once."""


def write_pack(source: Source, folder: Path, *, seed: int = 0, track: Track = iter) -> Pack:
    """Write a pack: all images of a source, in one form and in random order.

    Args:
        source: source of image files.
        folder: folder to create. If writing is interrupted, no pack is left there.
        seed: seed of the random order.
        track: wraps the list of files, for example to show a progress bar.

    Raises:
        UserError: the source cannot be packed, no image can be read, or `folder` exists or cannot
            be written.
    """
    if not source.packable or source.survey is None:
        raise UserError(f"{source.name}: cannot be packed; give files, or a folder of them.")
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
                assert part.names is not None and part.sizes is not None
                each = zip(part.pixels, part.names, part.sizes.tolist(), strict=True)
                for image, name, size in each:
                    bucket = buckets[rng.integers(len(buckets))]
                    bucket.add(image.movedim(0, -1).numpy(), name, size)
        count = sum(bucket.count for bucket in buckets)
        if count == 0:
            raise no_image(source.name, faults)
        form = (height, width) if channels == 1 else (height, width, channels)
        faults += source.passed
        names, digest = join(buckets, half, form, count, rng, source)
        about = {
            "format": FORMAT,
            "count": count,
            "shape": (channels, height, width),
            "digest": digest,
            "recipe": {
                "phase_flip": source.settings.phase_flip,
                **source.settled(),
                "size": height if height == width else None,
            },
            "label_names": names,
            "faults": [astuple(fault) for fault in faults],
            "reckoned": source.in_words(faults),
        }
        write_faults(faults, half / "skipped.csv")
        write_text(half / ABOUT, json.dumps(about, indent=1) + "\n")
    return open_pack(folder)


def bucket_count(source: Source) -> int:
    """How many buckets of about `BUCKET_BYTES` to use, estimated from the sizes of the files."""
    size = sum(path.stat().st_size for path in source.files() if path.exists())
    return min(MOST_BUCKETS, 1 + size // BUCKET_BYTES)


class Bucket:
    """Two files: images in the order in which they were added, and their names and sizes."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path, self.count = path, 0
        self.pixels: BinaryIO = stack.enter_context(path.with_suffix(".raw").open("wb"))
        self.names: TextIO = stack.enter_context(path.with_suffix(".txt").open("w"))

    def add(self, pixels: np.ndarray, name: str, size: list[int]) -> None:
        """Add an image of bytes, whose size was [height, width]."""
        self.pixels.write(pixels.tobytes())
        self.names.write(json.dumps([name, *size]) + "\n")
        self.count += 1

    def empty(self, form: tuple[int, ...]) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
        """Return all images, (n, ...), and name, height and width of each. Delete the files."""
        pixels = np.fromfile(self.path.with_suffix(".raw"), np.uint8).reshape(-1, *form)
        lines = self.path.with_suffix(".txt").read_text().splitlines()
        for ending in (".raw", ".txt"):
            self.path.with_suffix(ending).unlink()
        return pixels, [tuple(json.loads(line)) for line in lines]


def join(
    buckets: list[Bucket],
    folder: Path,
    form: tuple[int, ...],
    count: int,
    rng: np.random.Generator,
    source: Source,
) -> tuple[tuple[str, ...], str]:
    """Shuffle each bucket and write all of them to one file of pixels and one index.

    Args:
        buckets: buckets to read and delete.
        folder: folder of the pack.
        form: shape of one image, (H, W) or (H, W, C).
        count: number of all images.
        rng: source of the random order.
        source: its settings say where labels come from.

    Returns:
        The names of the labels, and the digest of the pixels.

    Raises:
        UserError: labels cannot be read, or no image has one.
    """
    digest = hashlib.blake2b(digest_size=16)
    labels, label_of = source.settings.labels or source.settings.label_column, None
    some: list[str] = []
    numbers: dict[str, int] = {}
    columns = [("file", pa.string()), *((one, pa.int32()) for one in SIZES)]
    columns += [("label", pa.int64())] if labels else []
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, *form)}
    with (
        (folder / PIXELS).open("wb") as file,
        in_utf8(folder / INDEX, write=True) as known,
        parquet.ParquetWriter(known, pa.schema(columns)) as index,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for bucket in buckets:
            pixels, listed = bucket.empty(form)
            order = rng.permutation(len(pixels))
            rows_of_bytes = pixels[order].tobytes()
            digest.update(rows_of_bytes)
            file.write(rows_of_bytes)
            about = list(zip(*(listed[i] for i in order), strict=True)) or [()] * 3
            rows: dict[str, list[Any]] = {
                name: list(own) for name, own in zip(("file", *SIZES), about, strict=True)
            }
            if labels:
                some = some or [name for name, *_ in listed]
                if some and label_of is None:
                    own = source.own_labels()
                    label_of = labeller(source.settings, some, source.reading.notes, own)
                words = map(label_of, rows["file"]) if label_of else ()
                rows["label"] = [
                    numbers.setdefault(word, len(numbers)) if word else MISSING for word in words
                ]
            index.write_table(pa.table(rows, pa.schema(columns)))
    if labels:
        check_some(tuple(numbers), some, labels)
    return tuple(numbers), digest.hexdigest()
