"""Parts of DTI clustering: its encoder, its predictors, and transforms of images."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

BLOCKS = 3
"""Residual blocks in each of three stages: 20 layers in all."""
MOST_ALPHA = 30.0
"""Largest exponent of the soft maximum; beyond it, it is a maximum already."""


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut without weights (He et al., 2016, option A)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, more = stride, after - before
        self.padding = (0, 0, 0, 0, more // 2, more - more // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.last = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "B before H W"]) -> Float[Tensor, "B after h w"]:
        """Add both ways."""
        short = F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)
        return self.last(self.layers(x) + short)


class ResNet(nn.Sequential):
    """The small residual network of He et al. (2016, section 4.2), for images of any size.

    Maps (B, C, H, W) to (B, filters of the last stage).

    Args:
        channels: C.
        filters: of the first layer and the three stages.
    """

    def __init__(self, channels: int, filters: tuple[int, int, int, int]) -> None:
        before = filters[0]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, before, 3, 1, 1, bias=False),
            nn.BatchNorm2d(before),
            nn.ReLU(inplace=True),
        ]
        for stage, after in enumerate(filters[1:]):
            for block in range(BLOCKS):
                layers.append(Block(before, after, 2 if stage > 0 and block == 0 else 1))
                before = after
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)


class Predictors(nn.Module):
    """K networks with two hidden layers, all at once; their last layers start at 0.

    Maps features (B, F) to (B, K, outputs).
    """

    def __init__(self, clusters: int, features: int, hidden: int, outputs: int) -> None:
        super().__init__()
        widths = (features, hidden, hidden, outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(widths):
            self.weights.append(torch.empty(clusters, before, after))
            self.biases.append(torch.zeros(clusters, 1, after))
        for weight in self.weights[:-1]:  # as torch draws those of a linear layer
            nn.init.uniform_(weight, -(weight.shape[1] ** -0.5), weight.shape[1] ** -0.5)
        nn.init.zeros_(self.weights[-1])
        self.act = nn.ReLU()

    def forward(self, features: Float[Tensor, "B F"]) -> Float[Tensor, "B K outputs"]:
        """Predict the numbers of every prototype."""
        hidden = features.expand(len(self.weights[0]), -1, -1)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, self.act(hidden) if i else hidden, weight)
        return hidden.movedim(0, 1)


def smooth_maximum(
    images: Float[Tensor, "N C H W"],
    numbers: Float[Tensor, "N numbers"],
    side: int,
    background: float,
) -> Float[Tensor, "N C H W"]:
    """Filter images: a mean over neighbours x, weighed by a kernel and by exp(alpha x).

    With alpha far above 0 strokes get thicker, with alpha far below 0 thinner.

    Args:
        images: any number of them.
        numbers: alpha, then the logits of the kernel, less those of a kernel that does nothing.
        side: of the kernel, in pixels.
        background: value outside the image.
    """
    alpha, logits = numbers.split([1, side**2], -1)
    middle = torch.arange(side**2, device=images.device) == side**2 // 2
    kernel = torch.sigmoid(logits + torch.where(middle, 5.0, -5.0)).unflatten(-1, (1, side, side))
    x = F.pad(images, [side // 2] * 4, value=background)
    weights = torch.exp(alpha.clamp(-MOST_ALPHA, MOST_ALPHA)[..., None, None] * x)
    both = torch.stack([x * weights, weights]).flatten(1, 2)  # (2, N C, H + side - 1, ...)
    kernel = kernel.repeat_interleave(images.shape[1], 0)
    above, below = F.conv2d(both, kernel, groups=len(kernel)).unflatten(1, images.shape[:2])
    return above / below


def thin_plate(points: Float[Tensor, "P 2"], side: int) -> Float[Tensor, "P points"]:
    """How the thin-plate spline through a grid of control points depends on their values.

    For the values v (side^2, ...) at the control points, the spline is `thin_plate(...) @ v` at the
    points: the smoothest function that has those values (Bookstein, 1989).

    Args:
        points: places, in any unit.
        side: control points along each axis; they reach as far as the points do.
    """
    low, high = points.double().aminmax(dim=0)
    across, down = (
        low[i] + (high[i] - low[i]) * torch.arange(side).double() / (side - 1) for i in (0, 1)
    )
    controls = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).flatten(0, 1)

    def basis(at: Tensor) -> Tensor:
        square = (at[:, None] - controls).square().sum(-1)  # r^2 log r^2, 0 at r = 0
        radial = torch.special.xlogy(square, square)
        return torch.cat([radial, torch.ones_like(at[:, :1]), at], -1)

    count = side**2
    system = F.pad(basis(controls), (0, 0, 0, 3))  # with the conditions on the radial part
    system[count:, :count] = basis(controls)[:, count:].T
    values = torch.cat([torch.eye(count), torch.zeros(3, count)]).double()
    return (basis(points.double()) @ torch.linalg.solve(system, values)).to(points.dtype)
