"""Images drawn from class averages, for a network that must see through noise.

A network that learns from a few thousand noisy images learns their noise by heart. The class
averages (`teaching.averages`) and the strength of the noise say how such images arise. So the
network can learn from as many new ones as it likes: an average, moved, with new noise.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_float
from mcevae.models.default.targets import Targets, moved_back
from mcevae.teaching.averages import JUDGED, noise_variance


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What noisy images are made of.

    Attributes:
        pictures: (K, C, H, W), the average of each cluster, from 0 to 1.
        shares: (K,), share of the images in each.
        deviation: standard deviation of the noise in a pixel.
    """

    pictures: Float[Tensor, "k c h w"]
    shares: Float[Tensor, " k"]
    deviation: float

    def draw(
        self,
        motion: Float[Tensor, "B 3 3"],
        displacement: Float[Tensor, "B 2 rows columns"],
        background: float,
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, "B C H W"]]:
        """Draw clusters by their shares, and an image of each.

        Args:
            motion: moves the average.
            displacement: small elastic deformation, as `warp` takes it.
            background: what moves in from outside, from 0 to 1.
        """
        cluster = torch.multinomial(self.shares, len(motion), replacement=True)
        moved = warp(
            self.pictures[cluster], motion, background=background, displacement=displacement
        )
        return cluster, (moved + self.deviation * torch.randn_like(moved)).clamp(0, 1)


def simulated(
    pixels: UInt8[Tensor, "n c h w"],
    targets: Targets,
    group: MatrixGroup,
    background: float,
    chunk: int,
    device: torch.device,
) -> Simulated:
    """Average the images of each cluster, moved back by their poses, and measure their noise.

    Args:
        pixels: images.
        targets: their clusters, all of them known, and poses.
        group: of the poses.
        background: what moves in from outside, from 0 to 1.
        chunk: images that are floats at a time.
        device: where images will be drawn.
    """
    sizes = targets.cluster.bincount()
    sums = torch.zeros(len(sizes), *pixels.shape[1:])
    parts = moved_back(pixels, targets.element, group, background, chunk)
    for cluster, part in zip(targets.cluster.split(chunk), parts, strict=True):
        sums.index_add_(0, cluster, part)
    return Simulated(
        pictures=(sums / sizes.clamp_min(1)[:, None, None, None]).to(device),
        shares=(sizes / sizes.sum()).to(device),
        deviation=noise_variance(to_float(pixels[:JUDGED])) ** 0.5,
    )
