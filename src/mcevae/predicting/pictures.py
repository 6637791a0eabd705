"""Pictures of single images, as PNG files beside a table."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from mcevae.base.errors import UserError

STEM = 200
"""Bytes of an image's name that its picture's name keeps; file systems allow 255 in all."""


def file_name(number: int, name: str) -> str:
    """Name of an image's picture: its number in the table and its file name without ending."""
    stem = Path(name.replace("#", "-")).name.encode()[:STEM].decode(errors="ignore")
    return f"{number:07}{'-' if stem else ''}{stem}.png"


def save(image: Tensor, path: Path) -> None:
    """Write a (C, H, W) uint8 image as PNG.

    The file may be incomplete after a stop, but then its part is predicted again.

    Raises:
        UserError: the file cannot be written.
    """
    pixels = image.permute(1, 2, 0).numpy()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
