"""How large the thing in an image is, and how bright the image is: numbers to choose images by.

They come from the images alone, as the network takes them, so they are the same in all tables.
"""

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from mcevae.images.arrays import to_float
from mcevae.images.isolation import content, differences

AT_ONCE = 1024
"""Images that are measured together, so that memory stays small."""


def measured(
    pixels: UInt8[Tensor, "n C H W"], level: float
) -> dict[str, Float32[np.ndarray, " n"]]:
    """Measure images.

    Args:
        pixels: one image or more.
        level: of their background, 0 to 1.

    Returns:
        area: the share of the pixels that differ from the background: by more than noise does, and
            by a tenth of the largest difference in the image. 0 to 1.
        brightness: the mean of all pixels and channels, from 0 (black) to 1 (white).
    """
    parts = pixels.split(AT_ONCE)
    shown = [content(differences(to_float(some), level)).mean((1, 2)) for some in parts]
    total = torch.cat([some.flatten(1).sum(1).double() for some in parts])
    area, brightness = np.concatenate(shown), total.numpy() / (255 * pixels[0].numel())
    return {"area": area.astype(np.float32), "brightness": brightness.astype(np.float32)}
