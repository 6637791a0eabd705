"""Parts of a table on disk until it is whole: each is written whole or not at all, and sealed."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, write_text

MARK = "identity"
"""File that tells what the parts of a folder are of."""
SEAL = 16
"""Bytes of a part's fingerprint."""


def parts_folder(out: Path) -> Path:
    """Where the parts of a table are until it is whole."""
    return out.with_name(f".{out.name}.parts")


def is_of(folder: Path, identity: str) -> bool:
    """Whether the parts of a folder are of this."""
    mark = folder / MARK
    return mark.exists() and mark.read_text("utf-8") == identity


def begin_parts(out: Path, identity: str) -> Path:
    """Make the folder of the parts; parts that are there and were of something else are dropped."""
    folder = parts_folder(out)
    if not is_of(folder, identity):
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / MARK, identity)
    return folder


def write_part(path: Path, rows: pa.Table, about: dict[str, Any]) -> None:
    """Write a part with what is known of it, JSON values, as sealed Parquet, atomically."""
    sink = pa.BufferOutputStream()
    parquet.write_table(rows.replace_schema_metadata({"mcevae": json.dumps(about)}), sink)
    body = sink.getvalue().to_pybytes()
    with atomic(path) as temporary:
        temporary.write_bytes(sealed(body) + body)


def about_part(rows: pa.Table) -> dict[str, Any]:
    """What `write_part` was told of a part."""
    return json.loads(rows.schema.metadata[b"mcevae"])


def known_part(path: Path) -> pa.Table | None:
    """What `write_part` wrote; None where nothing is, or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, body = content[:SEAL], content[SEAL:]
    return parquet.read_table(pa.BufferReader(body)) if seal == sealed(body) else None


def whole_part(path: Path) -> pa.Table:
    """A part that is known to be there.

    Raises:
        UserError: it is not, any more.
    """
    if (rows := known_part(path)) is None:
        raise UserError(f"{path}: went or was altered meanwhile; give the command again.")
    return rows


def sealed(body: bytes) -> bytes:
    """By which it is noticed that a disk altered a part."""
    return hashlib.blake2b(body, digest_size=SEAL).digest()
