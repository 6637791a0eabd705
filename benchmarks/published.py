"""The step of the paper as its authors published it, of our own parts: what speed is compared with.

Layer sizes are those of the authors' code, where the paper states none: four convolutions with ELU,
the first at full resolution; means and log-variances from networks of their own; 25 draws of M a
step, taken one after another. Objective, warps and optimizer are this package's.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mcevae.base.config import ObjectiveConfig
from mcevae.geometry.groups import get_group
from mcevae.models.config import Config, paper
from mcevae.models.objective import Objective
from mcevae.models.paper import Output, PaperModel
from mcevae.models.registry import gaussian

DRAWS = 25
BATCH = 100
CONVOLUTIONS = ((1, 32, 5, 1, 2), (32, 32, 4, 2, 1), (32, 64, 3, 2, 1), (64, 16, 5, 1, 2))
"""Channels in and out, kernel, stride and padding."""
FEATURES = 16 * 7 * 7


class LoopedObjective(Objective):
    """Eq. (8) with a pass of its own for each draw."""

    def invariance(self, model: PaperModel, x: Tensor, out: Output) -> Tensor:
        """Mean of the term over `DRAWS` single draws."""
        parts = [super(LoopedObjective, self).invariance(model, x, out) for _ in range(DRAWS)]
        return torch.stack(parts).mean(0)


class Pair(nn.Module):
    """Means and raw log-variances from two networks alike, (B, features) to (B, 2 D)."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.mean, self.log_variance = make(), make()

    def forward(self, z_aug: Tensor) -> Tensor:
        """Side by side."""
        return torch.cat([self.mean(z_aug), self.log_variance(z_aug)], -1)


def encoder() -> nn.Sequential:
    """Images (B, 1, 28, 28) to z_aug (B, `FEATURES`)."""
    layers: list[nn.Module] = []
    for i, (before, after, kernel, stride, padding) in enumerate(CONVOLUTIONS):
        last = i == len(CONVOLUTIONS) - 1
        layers.append(nn.Conv2d(before, after, kernel, stride, padding, bias=last))
        layers += [] if last else [nn.BatchNorm2d(after), nn.ELU()]
    return nn.Sequential(*layers, nn.Flatten())


def extractor(hidden: int, dim: int, activation: type[nn.Module], layers: int) -> nn.Sequential:
    """z_aug to D numbers through hidden layers alike."""
    parts: list[nn.Module] = []
    before = FEATURES
    for _ in range(layers):
        parts += [nn.Linear(before, hidden), activation()]
        before = hidden
    return nn.Sequential(*parts, nn.Linear(before, dim))


def published(config: Config | None = None) -> PaperModel:
    """The published model of SE(2)-MNIST, in training mode."""
    config = config or paper()
    model = gaussian(config, (1, 28, 28), get_group("se2"))
    settings = config.model
    model.encoder = encoder()
    clusters, hidden = int(settings.clusters), settings.hidden
    model.extract_cluster = Pair(lambda: extractor(hidden, clusters, nn.Sigmoid, 2))
    model.extract_variation = Pair(lambda: extractor(hidden, settings.variation, nn.Sigmoid, 2))
    model.extract_pose = Pair(lambda: extractor(settings.pose_hidden, 3, nn.ReLU, 1))
    return model.train()


def looped(config: Config | None = None) -> LoopedObjective:
    """Its objective."""
    config = config or paper()
    group = get_group("se2")
    return LoopedObjective(ObjectiveConfig(draws=1), group, config.support.half_widths(group))
