"""The step of the paper as its authors published it, of our own parts: what speed is compared with.

Networks are those of the authors' code (`--networks authors`). 25 draws of M a step are taken one
after another. Objective, warps and optimizer are this package's.
"""

import torch
from torch import Tensor

from mcevae.base.config import ObjectiveConfig
from mcevae.geometry.groups import get_group
from mcevae.models import assembly
from mcevae.models.config import PRESETS, Config
from mcevae.models.contract import Output
from mcevae.models.objective import Objective
from mcevae.models.paper import PaperModel, Posterior

DRAWS = 25
BATCH = 100


class LoopedObjective(Objective):
    """Eq. (8) with a pass of its own for each draw."""

    def invariance(self, model: PaperModel, x: Tensor, out: Output[Posterior]) -> Tensor:
        """Mean of the term over `DRAWS` single draws."""
        parts = [super(LoopedObjective, self).invariance(model, x, out) for _ in range(DRAWS)]
        return torch.stack(parts).mean(0)


def published(config: Config | None = None) -> PaperModel:
    """The published model of SE(2)-MNIST, in training mode."""
    config = (config or PRESETS["paper"]()).changed(model={"networks": "authors"})
    return assembly.paper(config, (1, 28, 28), get_group("se2")).train()


def looped(config: Config | None = None) -> LoopedObjective:
    """Its objective."""
    config = config or PRESETS["paper"]()
    group = get_group("se2")
    return LoopedObjective(ObjectiveConfig(draws=1), group, config.support.half_widths(group))
