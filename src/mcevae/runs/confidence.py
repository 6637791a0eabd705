"""How sure a model is of an image's cluster, and how well it can draw it, on scales that mean
something: both are measured on validation images, without labels.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize_scalar
from torch import Tensor

from mcevae.models.registry import Model
from mcevae.models.config import Config
from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import write_text
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import to_bytes
from mcevae.runs.infer import outputs
from mcevae.models.objective import bce
from mcevae.geometry.warp import warp

FILE = "calibration.json"
LEVELS = 101
"""Quantiles of the misfit that are kept."""
SEED = 0
"""Of the poses of the second views."""
SMALLEST = 1e-6
"""Probabilities below this count as this."""


def misfit(x: Float[Tensor, "B C H W"], drawn: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
    """How far images are from their reconstructions, nats: BCE less the least that x allows."""
    return bce(drawn, x) - bce(x, x)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What turns a model's own numbers into confidence and outlier score.

    Attributes:
        temperature: that responsibilities are flattened by.
        misfits: (LEVELS,) quantiles, from 0 to 1, of the misfit of validation images.
        n: validation images.
    """

    temperature: float
    misfits: tuple[float, ...]
    n: int

    def confidence(self, responsibilities: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Probability that the thing in an image, seen in another pose, has the same cluster.

        It says how firm a decision is, not whether people would agree with the clusters.
        """
        return flattened(responsibilities, self.temperature).max(-1).values

    def outlier(self, misfits: Float[Tensor, " B"]) -> Float[np.ndarray, " B"]:
        """Share of validation images that the model draws better, from 0 to 1.

        0.99 and more: one in a hundred of the images it learned from looked as odd.
        """
        return np.interp(misfits.numpy(), self.misfits, np.linspace(0, 1, LEVELS))

    def write(self, run: Path) -> None:
        """Keep it in a run's folder."""
        write_text(run / FILE, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Inverse of `asdict`, from what JSON gives.

        Raises:
            Exception: one of `DAMAGE`; it is none.
        """
        misfits = tuple(float(one) for one in values["misfits"])
        if len(misfits) != LEVELS:
            raise ValueError(f"{len(misfits)} misfits instead of {LEVELS}")
        if not np.isfinite(misfits).all() or list(misfits) != sorted(misfits):
            raise ValueError("misfits are not finite, or not in order")
        temperature, n = float(values["temperature"]), int(values["n"])
        if not SMALLEST <= temperature <= 1 / SMALLEST or n < 0:
            raise ValueError(f"temperature {temperature:g}, measured on {n} images")
        return cls(**{**values, "temperature": temperature, "misfits": misfits, "n": n})

    @classmethod
    def read(cls, run: Path) -> "Calibration":
        """The calibration of a run.

        Raises:
            UserError: it has none, or a damaged one.
        """
        path = run / FILE
        try:
            return cls.from_dict(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise UserError(f"{path}: is not there; make it with mcevae report {run}.") from None
        except DAMAGE as error:
            raise UserError(
                f"{path}: is not readable ({error}); make it anew with mcevae report {run}."
            ) from error


def flattened(responsibilities: Tensor, temperature: float) -> Tensor:
    """Responsibilities with their logarithms divided by a temperature, rows summing to 1."""
    return (responsibilities.clamp_min(SMALLEST).log() / temperature).softmax(-1)


def calibrate(model: Model, config: Config, pixels: Tensor) -> Calibration:
    """Measure a model on validation images.

    Every image is moved back by the pose that was found and on to a random one inside the support;
    the temperature is the one under which the first view's responsibilities best predict the
    second view's cluster (least cross-entropy).

    Args:
        model: in evaluation mode.
        config: the run's settings.
        pixels: (N, C, H, W) uint8 validation images.
    """
    group: MatrixGroup = model.group
    support = config.support.half_widths(group)
    generator = torch.Generator().manual_seed(SEED)
    firsts, seconds, misfits = [], [], []
    for x, out in outputs(model, pixels):
        target = group.sample((len(x),), support, generator=generator).to(x.device)
        motion = group.compose(target, group.inverse(out.element))
        moved = to_bytes(warp(x, motion, background=config.data.background_level))
        (_, again), *_ = outputs(model, moved, len(moved))
        firsts.append(out.responsibilities.cpu())
        seconds.append(again.responsibilities.argmax(-1).cpu())
        misfits.append(misfit(x, out.reconstruction).cpu())
    first, second = torch.cat(firsts), torch.cat(seconds)

    def cross_entropy(log_temperature: float) -> float:
        p = flattened(first, float(np.exp(log_temperature)))
        return -p.gather(1, second[:, None]).clamp_min(SMALLEST).log().mean().item()

    found = minimize_scalar(cross_entropy, bounds=(-3, 4), method="bounded")
    values = np.quantile(torch.cat(misfits).numpy(), np.linspace(0, 1, LEVELS))
    return Calibration(
        temperature=float(np.exp(found.x)),  # pyright: ignore[reportAttributeAccessIssue]
        misfits=tuple(round(float(value), 4) for value in values),
        n=len(pixels),
    )
