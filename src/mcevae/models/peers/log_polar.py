"""An equivariant transformer: poses from canonical coordinates (Tai, Bailis and Valiant, 2019).

"Equivariant transformer networks", ICML 2019, arXiv 1901.11399, and their code
(stanford-futuredata/equivariant-transformers). About a middle, an image is sampled on coordinates
in which a rotation is a shift along one axis, and a scale a shift along the other: the angle and
the logarithm of the radius. Convolutions, which wrap around along the angle, then a maximum over
the other axis give a probability for each place on an axis, and the pose is the centroid of these.
So it moves as the content of the image does. A shift is found first, in the same way, along the
axes of the image itself. From there: two convolutions of 5 x 5 with a stride of 2, batch norm and
leaky ReLU of 0.1, a convolution of 5 along the axis, a softmax; radii of 0.1 to 1.4 half-sides; a
learned offset of each coordinate within its range.

What differs: the map has 64 angles and 32 radii (there: as many as the image has pixels), there are
16 filters, and stretches and shears, for which the paper has other coordinates, are not found.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mcevae.geometry.groups import MatrixGroup
from mcevae.geometry.moments import places
from mcevae.geometry.warp import side
from mcevae.images.arrays import require

ANGLES, RADII, FILTERS, KERNEL, STRIDE = 64, 32, 16, 5, 2
"""Sides of the log-polar map, filters of the convolutions, their sides and their strides."""
INNER, OUTER = 0.05, math.sqrt(0.5)
"""Smallest and largest radius, image sides."""


def log_polar(
    images: Float[Tensor, "B C H W"], middle: Float[Tensor, "B 2"]
) -> Float[Tensor, "B C angles radii"]:
    """Sample images at angles and logarithms of radii about their middles; 0 outside the frame.

    Args:
        images: differences of images from their background.
        middle: in image sides from the centre, x right and y down.
    """
    angle = torch.arange(ANGLES, device=images.device) * (2 * math.pi / ANGLES)
    radius = torch.linspace(math.log(INNER), math.log(OUTER), RADII, device=images.device).exp()
    place = torch.stack([angle.cos()[:, None] * radius, angle.sin()[:, None] * radius], -1)
    height, width = images.shape[-2:]
    to_grid = 2 * side(height, width) / images.new_tensor([width, height])
    grid = (place.to(images) + middle[:, None, None]) * to_grid
    return F.grid_sample(images, grid, align_corners=False)


class Centroids(nn.Module):
    """Maps an image to a coordinate along its columns and one along its rows.

    Args:
        channels: C of the image.
        rows, columns: coordinates of both, in order; their mean becomes 0. Rows are a whole circle
            if `circle`, in radians from 0.
        circle: whether the first row follows the last.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, channels: int, rows: Tensor, columns: Tensor, *, circle: bool) -> None:
        super().__init__()
        self.circle = circle
        widths = ((channels, FILTERS), (FILTERS, FILTERS))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(*width, KERNEL, stride=STRIDE, bias=False) for width in widths
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(FILTERS) for _ in widths)
        self.along = nn.ModuleList(nn.Conv1d(FILTERS, 1, KERNEL, bias=False) for _ in range(2))
        self.offset = nn.Parameter(torch.zeros(2))
        for name, at in (("rows", rows), ("columns", columns)):
            kept = at[:: STRIDE ** len(widths)]
            if not (circle and name == "rows"):
                kept = kept - kept.mean()
            self.register_buffer(name, kept, persistent=False)

    def padded(self, x: Tensor) -> Tensor:
        """Add what a kernel needs on all sides, along the circle from its other end."""
        across = F.pad(x, (KERNEL // 2, KERNEL // 2, 0, 0))
        down = (0, 0, KERNEL // 2, KERNEL // 2)
        return F.pad(across, down, mode="circular" if self.circle else "constant")

    def forward(
        self, x: Float[Tensor, "B C H W"]
    ) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
        """Return the coordinate along the columns and that along the rows."""
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolve(self.padded(x))), 0.1)
        reach = KERNEL // 2
        columns, rows = (
            along(F.pad(x.amax(axis), (reach, reach), mode=mode))[:, 0].softmax(-1)
            for along, axis, mode in zip(
                self.along,
                (2, 3),
                ("constant", "circular" if self.circle else "constant"),
                strict=True,
            )
        )
        offset = self.offset.tanh()
        spread = (self.columns[-1] - self.columns[0]) / 2
        column = columns @ self.columns + spread * offset[0]
        if not self.circle:
            spread = (self.rows[-1] - self.rows[0]) / 2
            return column, rows @ self.rows + spread * offset[1]
        angle = torch.atan2(rows @ self.rows.sin(), rows @ self.rows.cos())
        return column, angle + math.pi * offset[1]


class LogPolar(nn.Module):
    """Maps images to the parameters of their poses: shift, then rotation and scale about it.

    Args:
        shape: (C, H, W) of the images.
        group: of the poses: rotations, with or without shifts and scales.
        background: of the images, from 0 to 1.

    Raises:
        UserError: the group has other moves too.
    """

    def __init__(self, shape: tuple[int, int, int], group: MatrixGroup, background: float) -> None:
        super().__init__()
        known = {"rotation", "shift_x", "shift_y", "log_scale"}
        require(
            group.polar and set(group.coordinates) <= known,
            f"--pose-module log-polar finds rotations, shifts and scales, not group {group.name}; "
            "use --group so2, se2 or sim2, or --pose-module stn.",
        )
        self.names, self.background = group.coordinates, background
        across, down = places(torch.empty(1, *shape))
        self.shift = Centroids(shape[0], down[:, 0], across, circle=False)
        radii = torch.linspace(math.log(INNER), math.log(OUTER), RADII)
        angles = torch.arange(ANGLES) * (2 * math.pi / ANGLES)
        self.turn = Centroids(shape[0], angles, radii, circle=True)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B T"]:
        """Return rotation (radians), shift (sides) and log scale, as far as the group has them."""
        differences = x - self.background
        found: dict[str, Tensor] = {}
        middle = x.new_zeros(len(x), 2)
        if "shift_x" in self.names:
            found["shift_x"], found["shift_y"] = self.shift(differences)
            middle = torch.stack([found["shift_x"], found["shift_y"]], 1)
        found["log_scale"], found["rotation"] = self.turn(log_polar(differences, middle))
        return torch.stack([found[name] for name in self.names], 1)
