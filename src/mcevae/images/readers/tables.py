"""Pictures in Parquet tables."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pyarrow import parquet

from mcevae.images.readers.frames import MOST_BYTES, Unreadable
from mcevae.images.readers.pictures import pages

ROWS = 64
"""Rows of a table that are in memory at once."""


def parquet_table(path: Path) -> Iterator[np.ndarray]:
    """Pictures in a column `image` of a Parquet table: bytes, or a struct with some.

    Hugging Face datasets, Ray Data and Embedding Atlas keep them in this way. Reading ends at the
    first picture that cannot be read.
    """
    with parquet.ParquetFile(path) as file:
        if "image" not in file.schema_arrow.names:
            raise Unreadable("has no column named image")
        for batch in file.iter_batches(ROWS, columns=["image"]):
            for value in batch.column(0):
                content = value.as_py()
                content = content.get("bytes") if isinstance(content, dict) else content
                if not isinstance(content, bytes):
                    raise Unreadable("has an image that is not kept as bytes")
                if len(content) > MOST_BYTES:
                    raise Unreadable("has an image with too many bytes")
                yield next(pages(path, content))
