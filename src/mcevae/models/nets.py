"""Networks of the models: encoder, extractors, decoder. Shapes only, no probability."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

KERNELS = (5, 5, 3, 3)
"""Sides of the encoder's four convolutions."""


WORK_SIDE = 32
"""Larger images are averaged down to this many pixels a side before `HypothesisNet`."""


class ConvEncoder(nn.Sequential):
    """Augmented encoder: four convolutions with batch norm and ReLU (section 4).

    Maps images (B, C, H, W) to z_aug (B, `features`). The paper does not state sizes; a stride of
    2 each makes a step on a CPU cheap and keeps where things lie, which the pose needs.

    Args:
        shape: (C, H, W) of the images, any height and width from 16 pixels.
        channels: output channels of the four convolutions.
    """

    def __init__(self, shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
        layers: list[nn.Module] = []
        before, height, width = shape
        for after, kernel in zip(channels, KERNELS, strict=True):
            layers += [
                nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
            before, height, width = after, math.ceil(height / 2), math.ceil(width / 2)
        super().__init__(*layers, nn.Flatten())
        # Channels side by side in memory: the same numbers, a third of the time on a CPU.
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        self.features = before * height * width


class Extractor(nn.Sequential):
    """Two hidden layers of sigmoid units, then means and raw log-variances (section 4).

    Maps z_aug (B, `features`) to (B, 2 `dim`).

    A sigmoid's slope is at most 1/4, so torch's usual weights would shrink the signal sevenfold a
    layer and learning would start on a plateau. They are drawn 4 times wider than Glorot and
    Bengio's (2010) for unit gain, and 2 times for the first layer, whose inputs are larger.
    """

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        layers = [nn.Linear(features, hidden), nn.Linear(hidden, hidden)]
        for layer, gain in zip(layers, (2.0, 4.0), strict=True):
            nn.init.xavier_uniform_(layer.weight, gain)
            nn.init.zeros_(layer.bias)
        first, second = layers
        super().__init__(first, nn.Sigmoid(), second, nn.Sigmoid(), nn.Linear(hidden, 2 * dim))


class PoseExtractor(Extractor):
    """Extractor of the pose tau, whose first means are spread and whose first posterior is narrow.

    While poses are noise, the decoder learns images that look alike in every pose, and then no
    gradient tells poses apart any more. So the poses must differ from the first step: means are
    drawn 4 times wider than torch's, and each log-variance starts at -3, whatever the image.
    """

    GAIN, LOG_VARIANCE = 4.0, -3.0

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__(features, hidden, dim)
        last = self[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight[:dim] *= self.GAIN
            last.weight[dim:] = 0
            last.bias[dim:] = self.LOG_VARIANCE


class GatedDense(nn.Module):
    """`h(x) * sigmoid(g(x))` with two linear maps, as in VampPrior (Tomczak and Welling, 2018)."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.both = nn.Linear(features, 2 * out)

    def forward(self, x: Float[Tensor, "B features"]) -> Float[Tensor, "B out"]:
        """Compute both maps as one matrix product."""
        value, gate = self.both(x).chunk(2, -1)
        return value * torch.sigmoid(gate)


class GatedDecoder(nn.Sequential):
    """Invariance decoder: two gated layers, then one sigmoid per pixel (section 4).

    Maps (z_c, z) side by side, (B, `dim`), to images (B, C, H, W) with values from 0 to 1.
    """

    def __init__(self, dim: int, hidden: int, shape: tuple[int, int, int]) -> None:
        super().__init__(
            GatedDense(dim, hidden),
            GatedDense(hidden, hidden),
            nn.Linear(hidden, math.prod(shape)),
            nn.Sigmoid(),
            nn.Unflatten(-1, shape),
        )


class HypothesisNet(nn.Module):
    """Maps an image to logits of (cluster, rotation) pairs and the other parameters of the pose.

    Images are averaged down to at most `WORK_SIDE` pixels a side first. Maps (B, C + 1, H, W), the
    image and a mask of where it is known, to (B, K, R) logits and (B, rest) numbers.

    Args:
        shape: (C, H, W) of the images.
        clusters, rotations, rest: K, R and how many parameters the pose has besides the rotation.
            R counts each rotation twice if poses may be mirrored.
    """

    def __init__(
        self, shape: tuple[int, int, int], clusters: int, rotations: int, rest: int
    ) -> None:
        super().__init__()
        channels, *sides = shape
        self.pool = math.ceil(max(sides) / WORK_SIDE)
        height, width = (math.ceil(math.ceil(s / self.pool / 2) / 2) for s in sides)
        layers: list[nn.Module] = []
        before = channels + 1
        for after, kernel, stride in ((24, 5, 2), (48, 3, 1), (64, 3, 1), (64, 3, 1)):
            conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
            conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
            layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            if after == 48:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            before = after
        self.features = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Dropout(0.1),
            *dense(before * height * width, 256),
        )
        self.last = nn.Linear(256, clusters * rotations + rest)
        # Until they are taught, these numbers leave the pose where the moments put it.
        nn.init.zeros_(self.last.weight[clusters * rotations :])
        nn.init.zeros_(self.last.bias[clusters * rotations :])
        self.shape = (clusters, rotations)

    def forward(
        self, x: Float[Tensor, "B channels H W"]
    ) -> tuple[Float[Tensor, "B K R"], Float[Tensor, "B rest"]]:
        """Return the logits and the other parameters."""
        if self.pool > 1:
            x = nn.functional.avg_pool2d(x, self.pool, ceil_mode=True)
        logits, rest = self.last(self.features(x)).tensor_split([math.prod(self.shape)], -1)
        return logits.unflatten(-1, self.shape), rest


def dense(inputs: int, outputs: int) -> list[nn.Module]:
    """Make a hidden layer with batch norm; encoder and decoder learn several times faster."""
    return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]


class CodeEncoder(nn.Sequential):
    """Maps an image moved back by its pose, with cluster weights, to the parameters of z.

    Maps (B, C H W + K) to (B, 2 V): means and raw log-variances.
    """

    def __init__(self, pixels: int, clusters: int, hidden: int, variation: int) -> None:
        super().__init__(
            *dense(pixels + clusters, hidden),
            *dense(hidden, hidden),
            nn.Linear(hidden, 2 * variation),
        )


class CodeDecoder(nn.Sequential):
    """Maps cluster weights and z, (B, K + V), to canonical images (B, C, H, W), 0 to 1."""

    def __init__(
        self, dim: int, hidden: int, shape: tuple[int, int, int], background: float = 0.0
    ) -> None:
        last = nn.Linear(hidden, math.prod(shape))
        nn.init.constant_(last.bias, 4 * background - 2)  # most pixels are background
        super().__init__(
            *dense(dim, hidden),
            *dense(hidden, hidden),
            last,
            nn.Sigmoid(),
            nn.Unflatten(-1, shape),
        )
