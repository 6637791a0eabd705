"""Images and neurons on rings, compared and moved towards each other in Fourier space.

A rotation is a step along the angle, so all rotations of a pair come from one transform of the
products of their frequencies, and to turn an image is to multiply its frequencies by phases.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mcevae.geometry.groups.precision import full_precision


@dataclass(frozen=True, kw_only=True)
class Matches:
    """How B images lie against K neurons, in the best turn.

    Attributes:
        square: (B, K), squared distance, as a sum over pixels.
        step: (B, K), the image is the neuron, mirrored if so, turned by this many steps.
        mirrored: (B, K), whether it is mirrored.
    """

    square: Float[Tensor, "B K"]
    step: Int[Tensor, "B K"]
    mirrored: Bool[Tensor, "B K"]


def spectra(rings: Float[Tensor, "n numbers angles"]) -> Float[Tensor, "F two_n numbers"]:
    """Fourier transforms along the angle: for each frequency the real parts, then the imaginary."""
    found = torch.fft.rfft(rings).permute(2, 0, 1)
    return torch.cat([found.real, found.imag], 1)


def rings_of(
    spectrum: Float[Tensor, "F two_n numbers"], angles: int
) -> Float[Tensor, "n numbers {angles}"]:
    """Undo `spectra`; frequencies that are left out count as 0."""
    return torch.fft.irfft(torch.complex(*spectrum.chunk(2, 1)).permute(1, 2, 0), n=angles)


def energies(spectrum: Float[Tensor, "F two_n numbers"], angles: int) -> Float[Tensor, "F n"]:
    """What each frequency adds to the sum of squares on the rings, by Parseval's theorem."""
    squares = spectrum.square().sum(2).unflatten(1, (2, -1)).sum(1)
    twice = squares.new_full((angles // 2 + 1,), 2.0)
    twice[0] = twice[-1] = 1.0  # those of a real signal of even length
    return squares * twice[: len(squares), None] / angles


@full_precision
def matched(
    images: Float[Tensor, "F two_b numbers"],
    neurons: Float[Tensor, "F two_k numbers"],
    steps: Int[Tensor, " some"],
    *,
    angles: int,
    mirror: bool,
) -> Matches:
    """Compare images with neurons at all rotations.

    Args:
        images, neurons: their spectra, or the same lower part of both.
        steps: along the angle, that may lie between an image and a neuron.
        angles: number of steps of the whole circle.
        mirror: whether mirror images are tried too.
    """
    products = (images @ neurons.mT).unflatten(1, (2, -1)).unflatten(3, (2, -1))
    (rr, ri), (ir, ii) = ((one[:, :, 0], one[:, :, 1]) for one in products.unbind(1))
    tried = [torch.complex(rr + ii, ir - ri)]
    if mirror:
        tried.append(torch.complex(rr - ii, ir + ri) * signs(rr)[:, None, None])
    found = []
    for one in tried:
        likeness = torch.fft.irfft(one.permute(1, 2, 0), n=angles)
        found.append((likeness if len(steps) == angles else likeness[..., steps]).max(-1))
    likeness, step = found[0]
    mirrored = torch.zeros_like(step, dtype=torch.bool)
    if mirror:
        mirrored = found[1].values > likeness
        likeness = torch.where(mirrored, found[1].values, likeness)
        step = torch.where(mirrored, found[1].indices, step)
    own, theirs = (energies(one, angles).sum(0) for one in (images, neurons))
    square = (own[:, None] + theirs - 2 * likeness).clamp_min(0)
    return Matches(square=square, step=steps[step], mirrored=mirrored)


def signs(like: Float[Tensor, "F *rest"]) -> Float[Tensor, " F"]:
    """What frequencies of the conjugate are multiplied by: a mirror image has a at pi - a."""
    return 1.0 - 2.0 * (torch.arange(len(like), device=like.device) % 2).to(like)


@full_precision
def draw_along(
    neurons: Float[Tensor, "F two_k numbers"],
    images: Float[Tensor, "F two_b numbers"],
    found: Matches,
    share: Float[Tensor, "B K"],
    angles: int,
) -> None:
    """Move neurons, in place, towards each image in turn, the first one first.

    Args:
        neurons, images: their spectra, or the same lower part of both.
        found: how the images lie against the neurons.
        share: of the way that each neuron goes towards each image.
        angles: number of steps of the whole circle.
    """
    left = (1 - share).flip(0).cumprod(0).flip(0)  # of what was there before each image
    weight = share * torch.cat([left[1:], torch.ones_like(left[:1])])
    plain, mirrored = ((weight * one).mT for one in (~found.mirrored, found.mirrored))
    mirrored = mirrored * signs(neurons)[:, None, None]
    both, differ = plain + mirrored, plain - mirrored  # (F, K, B)
    frequency = torch.arange(len(neurons), device=share.device, dtype=torch.int32)
    turns = (frequency[:, None, None] * found.step.mT.int()).remainder(angles)
    phase = turns * (2 * math.pi / angles)
    cos, sin = phase.cos(), phase.sin()
    count, clusters = share.shape
    parts = share.new_empty(len(neurons), 2, clusters, 2, count)  # not made by cat, which is slow
    torch.mul(both, cos, out=parts[:, 0, :, 0])
    torch.mul(both, -sin, out=parts[:, 0, :, 1])
    torch.mul(differ, sin, out=parts[:, 1, :, 0])
    torch.mul(differ, cos, out=parts[:, 1, :, 1])
    neurons *= left[0].repeat(2)[:, None]
    neurons.baddbmm_(parts.flatten(3, 4).flatten(1, 2), images)
