"""Put many pictures and numbers into a page: sheets of pictures as WebP, arrays as base64."""

import base64
import math
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from mcevae.images.arrays import to_bytes, to_float
from mcevae.images.composites import composite
from mcevae.predicting.pictures import encoded

COLUMNS = 40
"""Number of pictures side by side on a sheet."""
ROWS = 40
LONGEST = 16383
"""Most pixels a side that WebP has; sheets of large pictures have fewer columns and rows."""
QUALITY = 60
"""Quality of WebP for sheets of thumbnails."""
SHARP, COARSE = 64, 32
"""Longest side of a thumbnail in pixels: of few images, and of many."""
MOST_PIXELS = 25_000_000
"""Pixels of all thumbnails together, from which on they are coarse; a page holds them all."""


@dataclass(frozen=True, kw_only=True)
class Sheets:
    """Pictures of one size, in order, row by row and sheet by sheet.

    Attributes:
        width, height: size of a picture in pixels.
        columns, rows: number of pictures side by side, and one below the other, on a full sheet.
        files: sheets, encoded as WebP.
    """

    width: int
    height: int
    columns: int
    rows: int
    files: list[bytes]

    def to_dict(self) -> dict[str, object]:
        """The data that a page needs to show the pictures, including the sheets."""
        return {
            "width": self.width,
            "height": self.height,
            "columns": self.columns,
            "each": self.columns * self.rows,
            "files": [data_uri(file, "webp") for file in self.files],
        }


def thumbnails(pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h2 w2"]:
    """Shrink images to thumbnails: sharp ones of up to 6,000 images, coarse ones of more."""
    longest = SHARP if len(pixels) * SHARP**2 <= MOST_PIXELS else COARSE
    factor = math.ceil(max(pixels.shape[-2:]) / longest)
    if factor == 1:
        return pixels
    parts = [
        to_bytes(F.avg_pool2d(to_float(part), factor, ceil_mode=True, count_include_pad=False))
        for part in pixels.split(1000)
    ]
    return torch.cat(parts)


def sheets_of(pictures: UInt8[Tensor, "n c h w"], quality: int = QUALITY) -> Sheets:
    """Arrange pictures on sheets. The last sheet may be lower than the others."""
    _, channels, height, width = pictures.shape
    columns, most = min(COLUMNS, LONGEST // width), min(ROWS, LONGEST // height)
    files = []
    for part in pictures.split(columns * most):
        rows = math.ceil(len(part) / columns)
        sheet = torch.zeros(rows * columns, channels, height, width, dtype=torch.uint8)
        sheet[: len(part)] = part
        # (rows columns, C, H, W) -> (rows H, columns W, C)
        grid = sheet.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
        files.append(webp(grid.reshape(rows * height, columns * width, channels), quality))
    return Sheets(width=width, height=height, columns=columns, rows=most, files=files)


def webp(pixels: UInt8[Tensor, "h w c"], quality: int) -> bytes:
    """Encode an image as WebP. Quality 100 keeps every pixel."""
    buffer = BytesIO()
    picture(pixels).save(buffer, "webp", quality=quality, lossless=quality == 100, method=2)
    return buffer.getvalue()


def png(image: UInt8[Tensor, "c h w"]) -> bytes:
    """Encode an image as PNG."""
    return encoded(image, ".png")


def picture(pixels: UInt8[Tensor, "h w c"]) -> Image.Image:
    """Convert an image for Pillow, grey or in colour."""
    array = pixels.contiguous().numpy()
    return Image.fromarray(array if array.shape[-1] == 3 else array[..., 0])


def data_uri(content: bytes, kind: str) -> str:
    """Write a picture as a data URI."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def strips(
    x: Float[Tensor, "n c h w"],
    canonical: Float[Tensor, "n c h w"],
    reconstruction: Float[Tensor, "n c h w"],
    colours: tuple[str, ...] = (),
) -> UInt8[Tensor, "n shown h wide"]:
    """Put image, canonical image, reconstruction and residual side by side.

    The residual is grey where image and reconstruction agree, brighter where the image is brighter
    than the reconstruction, and darker where it is darker.

    Args:
        x: images, from 0 to 1.
        canonical, reconstruction: what the model draws for them.
        colours: of the channels; (): images are grey or have colours.
    """
    seen = [composite(each, colours) for each in (x, canonical, reconstruction)]
    residual = (seen[0] - seen[2]) / 2 + 0.5
    return to_bytes(torch.cat([*seen, residual], dim=-1).cpu())


def packed(values: np.ndarray) -> dict[str, str]:
    """Encode numbers for a page: their type, and their little-endian bytes as base64."""
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<")))
    return {
        "kind": values.dtype.name,
        "data": base64.b64encode(little.tobytes()).decode("ascii"),
    }
