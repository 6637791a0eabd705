"""The contrast transfer function (CTF) of electron microscopes, and how its signs are undone.

An image in focus shows nearly nothing. Out of focus, details of some sizes have the reverse
contrast. Phase flipping multiplies those frequencies by -1. The convention is that of RELION
(`src/ctf.cpp`) and cryoDRGN (`cryodrgn/ctf.py`): at low frequencies the CTF is positive, so the
contrast of the image as a whole stays as it is.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from scipy import fft


class Optics(NamedTuple):
    """What particles of one group share.

    Attributes:
        pixel: side of a pixel, Angstrom.
        voltage: of the microscope, kV.
        aberration: spherical, mm.
        contrast: share of amplitude contrast, 0 to 1.
    """

    pixel: float
    voltage: float
    aberration: float
    contrast: float


class Defocus(NamedTuple):
    """How far out of focus a particle is.

    Attributes:
        u, v: the largest and the least underfocus, Angstrom.
        angle: of `u` from the x axis to the y axis of the file, degrees.
        phase: shift by a phase plate, degrees.
    """

    u: float
    v: float
    angle: float
    phase: float = 0.0


def wavelength(voltage: float) -> float:
    """Of electrons, in Angstrom; the voltage is in kV."""
    volts = 1e3 * voltage
    return 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))


@lru_cache(8)
def frequencies(
    height: int, width: int, pixel: float
) -> tuple[Float32[np.ndarray, "h f"], Float32[np.ndarray, "h f"]]:
    """Squared frequencies (1/Angstrom^2) of a real Fourier transform, and their angles, radians."""
    y, x = np.fft.fftfreq(height, pixel)[:, None], np.fft.rfftfreq(width, pixel)[None]
    return (x**2 + y**2).astype(np.float32), np.arctan2(y, x).astype(np.float32)


def ctf(shape: tuple[int, int], optics: Optics, defocus: Defocus) -> Float[np.ndarray, "h f"]:
    """The CTF at the frequencies of a real Fourier transform.

    Args:
        shape: height and width of the image, pixels.
        optics: of the microscope.
        defocus: of the particle.
    """
    squared, angle = frequencies(*shape, optics.pixel)
    length = wavelength(optics.voltage)
    mean, half = (defocus.u + defocus.v) / 2, (defocus.u - defocus.v) / 2
    focus = mean + half * np.cos(2 * (angle - np.radians(defocus.angle)))
    bend = np.pi / 2 * 1e7 * optics.aberration * length**3 * squared**2
    amplitude = np.arcsin(optics.contrast)
    shift = np.pi * length * focus * squared - bend + np.radians(defocus.phase) + amplitude
    return np.sin(shift)


def flipped(
    image: Float32[np.ndarray, "h w"], optics: Optics, defocus: Defocus
) -> Float32[np.ndarray, "h w"]:
    """An image whose frequencies of reverse contrast are multiplied by -1."""
    height, width = image.shape
    seen = np.asarray(fft.rfft2(image))
    seen[ctf((height, width), optics, defocus) < 0] *= -1
    return np.asarray(fft.irfft2(seen, (height, width)), np.float32)
