"""Pictures in Parquet tables."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mcevae.base.names import in_utf8
from mcevae.images.readers.frames import MOST_BYTES, Found, Unreadable
from mcevae.images.readers.pictures import pages
from mcevae.images.readers.reading import Reading

ROWS = 64
"""Rows of a table that are in memory at once."""
MOST_LOST = 2**20
"""Rows of a damaged part of a table that are named; a hostile file can claim any number."""


def parquet_table(path: Path, reading: Reading) -> Iterator[Found]:
    """Pictures in a column of a Parquet table: bytes, or a struct with some.

    Hugging Face datasets, Ray Data and Embedding Atlas keep them in this way. The column is
    `image`, or the only one that can hold pictures. A row that cannot be read costs that row alone.
    """
    with in_utf8(path) as known, parquet.ParquetFile(known) as file:
        column = column_of(file.schema_arrow)
        if column != "image":
            reading.note(f"has no column named image, so {column} is read")
        for group in range(file.num_row_groups):
            yield from group_of(file, group, column, reading)


def group_of(
    file: parquet.ParquetFile, group: int, column: str, reading: Reading
) -> Iterator[Found]:
    """Pictures of one row group. If it is damaged, its rows from there on cannot be read.

    Raises:
        Exception: it is damaged, and has too many rows to name each.
    """
    left = file.metadata.row_group(group).num_rows
    try:
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column]):
            for value in batch.column(0):
                try:
                    found = one_picture(value.as_py(), reading)
                except Unreadable as error:
                    found = error
                except Exception as error:  # damaged pictures raise whatever decoders meet
                    found = Unreadable(f"cannot be read ({type(error).__name__}: {error})")
                left -= 1
                yield found
    except (pa.ArrowException, OSError):
        if left > MOST_LOST:
            raise
        yield from (Unreadable("is in a damaged part of the table") for _ in range(left))


def column_of(schema: pa.Schema) -> str:
    """The column that holds pictures.

    Raises:
        Unreadable: there is none, or it is not clear which.
    """
    if "image" in schema.names:
        return "image"
    able = [field.name for field in schema if holds_bytes(field.type)]
    if len(able) != 1:
        raise Unreadable(f"has no column named image; its columns are {', '.join(schema.names)}")
    return able[0]


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type are bytes, or structs with some."""
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def one_picture(value: Any, reading: Reading) -> Found:
    """The picture of one row.

    Raises:
        Unreadable: the row is empty, has no bytes, or too many.
        Exception: of many types; the picture is damaged.
    """
    content = value.get("bytes") if isinstance(value, dict) else value
    if not content:
        raise Unreadable("is an empty row")
    if not isinstance(content, bytes):
        raise Unreadable("has an image that is not kept as bytes")
    if len(content) > MOST_BYTES:
        raise Unreadable("has an image with too many bytes")
    return next(pages(BytesIO(content), reading))
