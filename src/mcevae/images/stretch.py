"""Stretches of astronomy: sources may be a thousand times brighter than what is around them."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Float32

from mcevae.images.readers.frames import Unreadable

Stretch = Literal["linear", "asinh", "zscale"]
"""linear: none. asinh: as `asinh` says, after the limits. zscale: linear between `zscale`."""
SOFT = 0.1
"""Where asinh goes over from linear to logarithmic, as in astropy's AsinhStretch."""


def asinh(values: Float32[np.ndarray, "H W C"]) -> Float32[np.ndarray, "H W C"]:
    """Values from 0 to 1 by asinh(x / 0.1) / asinh(10): what is faint shows (Lupton, 1999)."""
    return (np.arcsinh(values / SOFT) / np.arcsinh(1 / SOFT)).astype(np.float32)


def zscale(values: Float[np.ndarray, "..."]) -> tuple[float, float]:
    """Black and white of a frame by the rule of IRAF's zscale, as astropy has it.

    Raises:
        Unreadable: astropy is not installed.
    """
    try:
        from astropy.visualization import ZScaleInterval
    except ImportError:
        raise Unreadable(
            "cannot have --stretch zscale without astropy; pip install 'mcevae[astronomy]'"
        ) from None
    low, high = ZScaleInterval().get_limits(np.asarray(values, np.float64))
    return float(low), float(high)
