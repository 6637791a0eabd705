r"""Names of files as text, and text of unknown encoding.

A name on Linux is any bytes. Python gives bytes that are no UTF-8 as surrogates, which no table,
JSON or page can hold. There each of these bytes is written as \xNN with two hexadecimal digits, and
so is a backslash that would read like one: \x5c. `as_path` undoes it, so no two names become one.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BYTE = re.compile(r"\\x([0-9a-fA-F]{2})")
MARKS = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xef\xbb\xbf": "utf-8",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
"""Encodings by the byte-order mark that a text begins with; the longer marks first."""


def as_text(name: str) -> str:
    """Write the name of a file as text that UTF-8 can hold; see the head of this file."""
    marked = BYTE.sub(r"\\x5cx\1", name)
    return marked.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def as_path(text: str) -> str:
    """The name of a file that `as_text` wrote, as Python opens it."""
    parts = BYTE.split(text)  # text and digits in turn
    pairs = zip(parts[::2], [*parts[1::2], ""], strict=True)
    content = b"".join(
        part.encode("utf-8", "surrogateescape") + bytes.fromhex(byte) for part, byte in pairs
    )
    return content.decode("utf-8", "surrogateescape")


def as_setting(name: str) -> str:
    """Write a path that a person gave as `as_text` does, but only if UTF-8 cannot hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return as_text(name)
    return name


def path_of(setting: str) -> Path:
    """The path of a setting that `as_setting` wrote. What is there by its own name goes first."""
    return Path(setting if os.path.exists(setting) else as_path(setting))


@contextmanager
def in_utf8(path: Path, *, write: bool = False) -> Iterator[str]:
    """A path of a file for libraries that take UTF-8 alone.

    It is the file's own if that is UTF-8; else, on Linux, that of the file among the open ones.

    Args:
        path: of the file.
        write: whether the file is to be written, so that it may be missing.

    Raises:
        OSError: the file cannot be opened.
    """
    if (text := str(path)) == as_setting(text):
        yield text
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT if write else os.O_RDONLY, 0o666)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def decoded(content: bytes) -> str:
    """Decode a text: UTF-8, UTF-16 or UTF-32, with a byte-order mark or without one.

    Bytes that are none of these become surrogates, as in names of files.

    Raises:
        UnicodeDecodeError: it breaks off within a character of UTF-16 or UTF-32.
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "surrogateescape")
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = content[first::2].count(0), content[1 - first :: 2].count(0)
        if zeros > len(content) // 4 and zeros > 9 * others:  # every second byte of Latin letters
            return content.decode(encoding)
    return content.decode("utf-8", "surrogateescape")


def as_windows(text: str) -> str:
    """Text with surrogates, read as old programs of Windows write it (code page 1252)."""
    return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
