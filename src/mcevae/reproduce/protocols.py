"""How the images of a comparison are posed: as the paper does, or as other papers do.

The built-in sets pose images themselves, uniformly within the support. Other papers use a larger
canvas and other distributions; then `draw` and `canvas` of a protocol say which.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.images.posing import POSE_CHUNK, moved_by, pose_seed
from mcevae.images.splits import Posed

ProtocolName = Literal[
    "so2", "se2", "upright", "fashion-upright", "mnist-u", "mnist-n", "affnist-like"
]
Draw = Callable[[np.random.Generator, Tensor], Tensor]
"""Draws a pose, (3, 3), for each of some pictures, (n, C, H, W)."""


def placed(degrees: np.ndarray, shift: np.ndarray) -> Float[Tensor, "n 3 3"]:
    """Rotations of (n,) degrees about the centre, then shifts of (n, 2) image sides."""
    angle = torch.from_numpy(np.radians(degrees)).float()
    elements = torch.eye(3).repeat(len(angle), 1, 1)
    elements[:, 0, 0] = elements[:, 1, 1] = angle.cos()
    elements[:, 1, 0] = angle.sin()
    elements[:, 0, 1] = -angle.sin()
    elements[:, :2, 2] = torch.from_numpy(shift)
    return elements


CANVAS = 50
"""Side of the images of MNIST(U) and MNIST(N) of TARGET-VAE, in pixels."""
DEVIATION, LARGEST = 5.0, 11.0
"""Standard deviation and limit of their shifts here, in pixels."""
TURNED = 45.0
"""Standard deviation of the rotations of MNIST(N), in degrees."""


def wandering(rng: np.random.Generator, count: int) -> np.ndarray:
    """Normal shifts that leave no digit of 28 pixels outside the canvas, (n, 2) image sides."""
    return rng.normal(0, DEVIATION, (count, 2)).clip(-LARGEST, LARGEST) / CANVAS


def anywhere(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Poses of MNIST(U): rotations uniform over the circle, normal shifts."""
    shift = wandering(rng, len(pictures))
    return placed(rng.uniform(-180, 180, len(pictures)), shift)


def near_upright(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Poses of MNIST(N): normal rotations and shifts."""
    shift = wandering(rng, len(pictures))
    return placed(rng.normal(0, TURNED, len(pictures)), shift)


AFFNIST = {"rotation": 20.0, "shear": 0.2, "stretch": 0.2}
"""Largest rotation in degrees, largest shear, and how much wider or narrower digits get."""


def affine(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Poses of affNIST: stretched, sheared, turned, then shifted as far as fits."""
    count = len(pictures)
    factors = 1 + rng.uniform(-AFFNIST["stretch"], AFFNIST["stretch"], (count, 2))
    stretched = torch.diag_embed(torch.from_numpy(factors))
    sheared = torch.eye(2, dtype=stretched.dtype).repeat(count, 1, 1)
    sheared[:, 0, 1] = torch.from_numpy(rng.uniform(-AFFNIST["shear"], AFFNIST["shear"], count))
    turn = rng.uniform(-AFFNIST["rotation"], AFFNIST["rotation"], count)
    elements = placed(turn, np.zeros((count, 2)))
    elements[:, :2, :2] = elements[:, :2, :2] @ (sheared @ stretched).float()
    parts = zip(pictures.split(POSE_CHUNK), elements.split(POSE_CHUNK), strict=True)
    drawn = torch.cat([warp(to_float(some), pose)[:, 0] for some, pose in parts]).numpy()
    shifts = [free_shift(rng, drawn.max(axis)) for axis in (1, 2)]
    elements[:, :2, 2] = torch.from_numpy(np.stack(shifts, 1) / drawn.shape[-1])
    return elements


def free_shift(rng: np.random.Generator, ink: np.ndarray) -> np.ndarray:
    """Shifts in pixels, uniform among those that leave all ink inside.

    Args:
        rng: source of chance.
        ink: (N, side) the most ink of each column, or of each row.
    """
    before, after = (ink > 0).argmax(1), (ink[:, ::-1] > 0).argmax(1)
    return rng.uniform(-before, after)


def on_canvas(pictures: UInt8[Tensor, "n c h w"], canvas: int) -> UInt8[Tensor, "n c s s"]:
    """Put pictures into the middle of a black square with a side of `canvas` pixels."""
    height, width = pictures.shape[-2:]
    left, above = (canvas - width) // 2, (canvas - height) // 2
    return F.pad(pictures, (left, canvas - width - left, above, canvas - height - above))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A set of images and their poses.

    Attributes:
        title: in tables.
        settings: changes of every model's settings.
        source: built-in set; None: what the user gave.
        draw: draws the poses; None: the images are posed by the settings, or not at all.
        canvas: side of the images in pixels, for `draw`.
    """

    title: str
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    source: str | None = None
    draw: Draw | None = None
    canvas: int = 0

    def group(self, *, rigid: bool) -> str:
        """Group of the poses that models look for.

        Args:
            rigid: whether the model finds rotations and shifts only.
        """
        group = self.settings["model"]["group"]
        return "se2" if rigid and group not in ("so2", "se2") else group

    def place(self, part: Posed, stream: str, seed: int) -> Posed:
        """Pose the images of a split, if the settings have not done it.

        Args:
            part: images as the settings pose them.
            stream: train, validation or test.
            seed: of the poses.
        """
        if part.elements is not None:
            return part
        images, rng = part.images, np.random.default_rng(pose_seed(seed, stream))
        if self.draw is None:  # they are upright as they are
            return replace(part, upright=images.pixels)
        pictures = on_canvas(images.pixels, self.canvas)
        return moved_by(replace(images, pixels=pictures), self.draw(rng, pictures))


def unposed(group: str, **support: float) -> dict[str, dict[str, Any]]:
    """Settings of images that the package does not pose itself."""
    return {"data": {"pose": "none"}, "model": {"group": group}, "support": support}


PROTOCOLS: dict[str, Protocol] = {
    "so2": Protocol(title="SO(2)", settings={"data": {"pose": "so2"}, "model": {"group": "so2"}}),
    "se2": Protocol(title="SE(2)", settings={"data": {"pose": "se2"}, "model": {"group": "se2"}}),
    "upright": Protocol(title="upright", settings=unposed("se2", rotation=15.0, shift=0.1)),
    "fashion-upright": Protocol(
        title="upright Fashion-MNIST",
        settings=unposed("se2", rotation=15.0, shift=0.1),
        source="fashion-mnist",
    ),
    "mnist-u": Protocol(
        title="MNIST(U)",
        settings=unposed("se2", rotation=180.0, shift=LARGEST / CANVAS),
        draw=anywhere,
        canvas=CANVAS,
    ),
    "mnist-n": Protocol(
        title="MNIST(N)",
        settings=unposed("se2", rotation=3 * TURNED, shift=LARGEST / CANVAS),
        draw=near_upright,
        canvas=CANVAS,
    ),
    "affnist-like": Protocol(
        title="affNIST-like",
        settings=unposed("aff2", rotation=27.0, shift=0.45, scale=1.25, strain=0.2),
        draw=affine,
        canvas=40,
    ),
}
"""How the paper poses images; upright images; and sets after those of TARGET-VAE and affNIST.

Nasiri and Bepler ("Unsupervised object representation learning using translation and rotation group
equivariant VAE", 2022) publish MNIST(U) and MNIST(N) as files: 50 x 50 pixels, rotations that are
uniform, or normal with the standard deviation of their prior, pi/4. Their code does not have the
program that made them, so the spread of the shifts is ours. affNIST (Tieleman, 2013) is 40 x 40
pixels; its files were not at hand either. The support of `affnist-like` holds all of its poses,
taken apart into a rotation, a scale and a strain.
"""
