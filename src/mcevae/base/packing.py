"""Bytes as text for settings and JSON: compressed, and unpacked to a known size alone."""

import base64
import zlib


def packed(content: bytes) -> str:
    """Write bytes as text: compressed, in base 64."""
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def unpacked(text: str, size: int) -> bytes:
    """Read what `packed` wrote. No more memory is used than that many bytes need.

    Args:
        text: the text.
        size: number of bytes that it must hold.

    Raises:
        ValueError: it is damaged, or holds more or fewer.
    """
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text), size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content) != size:
        raise ValueError(f"it does not hold {size} bytes")
    return content
