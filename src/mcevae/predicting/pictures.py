"""Pictures of single images, as files beside a table: PNG, or TIFF with all channels."""

from io import BytesIO
from pathlib import Path

from jaxtyping import UInt8
from PIL import Image, TiffImagePlugin
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.recipe import Recipe

STEM = 200
"""Bytes of an image's name that its picture's name keeps; file systems allow 255 in all."""
DESCRIPTION = 270
"""Tag of a TIFF in which ImageJ says what its pages are."""
IMAGEJ = "ImageJ=1.11a\nimages={0}\nchannels={0}\nhyperstack=true\nmode=composite\n"


def ending(recipe: Recipe) -> str:
    """The ending of pictures of a run's images."""
    return ".tif" if recipe.names else ".png"


def file_name(number: int, name: str, kind: str = ".png") -> str:
    """Name of an image's picture: its number in the table and its file name without ending."""
    stem = Path(name.replace("#", "-")).name.encode()[:STEM].decode(errors="ignore")
    return f"{number:07}{'-' if stem else ''}{stem}{kind}"


def encoded(image: UInt8[Tensor, "c h w"], kind: str) -> bytes:
    """An image as a PNG (grey or colours), or as a TIFF with a page for each channel.

    The TIFF says that its pages are channels, as ImageJ does, so that ImageJ and other programs
    open it as one image.
    """
    buffer = BytesIO()
    if kind == ".png":
        pixels = image.permute(1, 2, 0).numpy()
        Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(buffer, "png")
        return buffer.getvalue()
    first, *others = (Image.fromarray(channel.numpy()) for channel in image)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[DESCRIPTION] = IMAGEJ.format(len(image))
    first.save(buffer, "tiff", save_all=True, append_images=others, tiffinfo=tags)
    return buffer.getvalue()


def save(image: UInt8[Tensor, "c h w"], path: Path) -> None:
    """Write an image as its ending says, see `encoded`.

    The file may be incomplete after a stop, but then its part is predicted again.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image, path.suffix))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}).") from error
