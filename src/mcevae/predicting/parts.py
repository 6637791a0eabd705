"""Parts of an unfinished table on disk. Each part is complete, and a fingerprint protects it."""

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, read_bytes, read_text, real_folder, write_text
from mcevae.images.sources.contract import Part

MARK = "identity"
"""File that says which table the parts in a folder belong to."""
MOST_BYTES = 2**30
"""Bytes of a part, at most."""
SEAL = 16
"""Bytes of a part's fingerprint."""


def content(part: Part) -> str:
    """Fingerprint of what a part was read as: images, their names, and what could not be used."""
    sizes = None if part.sizes is None else part.sizes.tolist()
    faults = [(fault.name, fault.reason) for fault in part.faults]
    named = repr((part.names, part.ids, sizes, faults))
    known = hashlib.blake2b(named.encode("utf-8", "backslashreplace"), digest_size=16)
    known.update(part.pixels.contiguous().numpy().data)
    return known.hexdigest()


class Contents:
    """Fingerprint of all images of a table."""

    def __init__(self) -> None:
        self.known = hashlib.blake2b(digest_size=16)

    def add(self, part: Part) -> None:
        """Add the next part."""
        self.known.update(content(part).encode())

    @property
    def digest(self) -> str:
        """The fingerprint, hexadecimal."""
        return self.known.hexdigest()


def parts_folder(out: Path) -> Path:
    """The folder for the parts of a table that is not finished."""
    return out.with_name(f".{out.name}.parts")


def is_of(folder: Path, identity: str) -> bool:
    """Whether the parts in a folder belong to the table with this identity."""
    mark = folder / MARK
    try:
        return read_text(mark) == identity
    except (OSError, ValueError):
        return False


def begin_parts(out: Path, identity: str) -> Path:
    """Create the folder for the parts. Delete parts in it that belong to another table."""
    folder = real_folder(parts_folder(out))
    if not is_of(folder, identity):
        shutil.rmtree(folder, ignore_errors=True)
        write_text(folder / MARK, identity)
    return folder


def write_part(path: Path, rows: pa.Table, content: str) -> None:
    """Write a part as Parquet with a fingerprint, atomically.

    Args:
        path: file to write.
        rows: the part.
        content: fingerprint of the images that it was made from.
    """
    sink = pa.BufferOutputStream()
    parquet.write_table(rows.replace_schema_metadata({"mcevae": content}), sink)
    body = sink.getvalue().to_pybytes()
    with atomic(path) as temporary:
        temporary.write_bytes(sealed(body) + body)


def content_of(rows: pa.Table | None) -> str | None:
    """Return the fingerprint of the images that a part was made from; None if there is no part."""
    return None if rows is None else rows.schema.metadata[b"mcevae"].decode()


def known_part(path: Path) -> pa.Table | None:
    """Read a part. None: there is no such file, or it was altered after it was written."""
    try:
        content = read_bytes(path, MOST_BYTES)
    except OSError:
        return None
    seal, body = content[:SEAL], content[SEAL:]
    return parquet.read_table(pa.BufferReader(body)) if seal == sealed(body) else None


def whole_part(path: Path) -> pa.Table:
    """Read a part that was written before.

    Raises:
        UserError: the part is missing or was altered.
    """
    if (rows := known_part(path)) is None:
        raise UserError(f"{path}: was deleted or altered meanwhile; give the command again.")
    return rows


def sealed(body: bytes) -> bytes:
    """The fingerprint of a part. It shows whether the part was altered on disk."""
    return hashlib.blake2b(body, digest_size=SEAL).digest()
