"""Encoder and extractors as in the published code of MCE-VAE, for `--networks authors`.

They differ from the text of the paper: ELU in place of ReLU, no activation after the last
convolution, the first convolution at full resolution, means and log-variances from networks of
their own, and one hidden layer of ReLU units for the pose.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

CONVOLUTIONS = ((32, 5, 1, 2), (32, 4, 2, 1), (64, 3, 2, 1), (16, 5, 1, 2))
"""Output channels, kernel, stride and padding of each."""


class AuthorsEncoder(nn.Sequential):
    """Four convolutions with ELU and, but for the last, batch norm.

    Maps images (B, C, H, W) to z_aug (B, `features`).

    Args:
        shape: (C, H, W) of the images, any height and width from 16 pixels.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        layers: list[nn.Module] = []
        before, height, width = shape
        for i, (after, kernel, stride, padding) in enumerate(CONVOLUTIONS):
            last = i == len(CONVOLUTIONS) - 1
            layers.append(nn.Conv2d(before, after, kernel, stride, padding, bias=last))
            layers += [] if last else [nn.BatchNorm2d(after), nn.ELU()]
            height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
            before = after
        super().__init__(*layers, nn.Flatten())
        self.features = before * height * width


class AuthorsExtractor(nn.Module):
    """Means and raw log-variances from two networks alike.

    Maps z_aug (B, `features`) to (B, 2 `dim`).

    Args:
        features: size of z_aug.
        hidden: number of units in each hidden layer.
        dim: size of the latent.
        activation: of the hidden layers.
        layers: number of hidden layers.
    """

    def __init__(
        self, features: int, hidden: int, dim: int, activation: type[nn.Module], layers: int
    ) -> None:
        super().__init__()

        def network() -> nn.Sequential:
            sizes = [features, *[hidden] * layers]
            parts: list[nn.Module] = []
            for before, after in pairwise(sizes):
                parts += [nn.Linear(before, after), activation()]
            return nn.Sequential(*parts, nn.Linear(hidden, dim))

        self.mean, self.log_variance = network(), network()

    def forward(self, z_aug: Float[Tensor, "B features"]) -> Float[Tensor, "B both"]:
        """Return means and raw log-variances side by side."""
        return torch.cat([self.mean(z_aug), self.log_variance(z_aug)], -1)
