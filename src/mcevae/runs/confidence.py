"""Confidence and outlier score: how sure a model is of a cluster, and how well it draws an image.

Both scales are measured on validation images, without labels.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from torch import Tensor

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import read_text, write_text
from mcevae.geometry.groups import MatrixGroup
from mcevae.images.arrays import to_bytes
from mcevae.models.config import Config
from mcevae.models.contract import Model, Output
from mcevae.models.likelihood import bce
from mcevae.runs.checkpoint import file_about
from mcevae.runs.infer import Embedding, embed, in_another_pose, outputs
from mcevae.runs.symmetry import Symmetry
from mcevae.runs.trust.trust import Trust

FILE = "calibration.json"
LEVELS = 101
"""Number of saved quantiles of the misfit."""
SEED = 0
"""Seed of the second poses."""
FEW = 8
"""With fewer validation images, the usual misfit of a cluster is not known."""
WORST, PLAINEST = 1.5, 10
"""What is usual in a cluster is at most so many times as bad, or as good, as in the whole run."""
MIDDLE = 0.01
"""Nats; where images are drawn better than this, what is left is rounding."""
SMALLEST = 1e-6
"""Smaller probabilities are raised to this value."""
ODD, ODDEST = 0.99, 0.5
"""From this outlier score on, confidence falls; at outlier score 1 it has this share left."""


def misfit(x: Float[Tensor, "B C H W"], drawn: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"]:
    """How far images are from their reconstructions, nats: BCE minus its smallest value for x."""
    return bce(drawn, x) - bce(x, x)


def embed_with_misfits(
    model: Model,
    pixels: Tensor,
    see: Callable[[Tensor, Output], None] | None = None,
    evidence: Float[Tensor, "N K"] | None = None,
) -> tuple[Embedding, Float[Tensor, " N"]]:
    """Compute the latents of images, and how far the images are from their reconstructions.

    Args:
        model: model in evaluation mode.
        pixels: (N, C, H, W) uint8, one image or more.
        see: is called with each batch of images and the model's outputs for it.
        evidence: what features say about the clusters; None: nothing.
    """
    misfits: list[Tensor] = []

    def noted(batches: Iterator[tuple[Tensor, Output]]) -> Iterator[tuple[Tensor, Output]]:
        for x, out in batches:
            misfits.append(misfit(x, out.reconstruction).cpu())
            if see is not None:
                see(x, out)
            yield x, out

    return embed(model, pixels, track=noted, evidence=evidence), torch.cat(misfits)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Turns a model's own numbers into confidence and outlier score.

    Attributes:
        temperature: flattens the responsibilities, see `flattened`.
        misfits: (LEVELS,) quantiles, from 0 to 1, of the misfit of validation images, as a multiple
            of what is usual in their cluster.
        n: number of validation images.
        usual: (K,) median misfit of each cluster's validation images, nats; None: 1, as in runs of
            versions that compared the misfits of all clusters.
        symmetry: of the clusters, measured on training images; None: it is not known.
        trust: in the clusters, measured on training images; None: it is not known.
    """

    temperature: float
    misfits: tuple[float, ...]
    n: int
    usual: tuple[float, ...] | None = None
    symmetry: Symmetry | None = None
    trust: Trust | None = None

    def steadiness(self, responsibilities: Float[Tensor, "B K"]) -> Float[Tensor, " B"]:
        """Probability that the same thing, seen in another pose, gets the same cluster."""
        return flattened(responsibilities, self.temperature).max(-1).values

    def confidence(
        self, responsibilities: Float[Tensor, "B K"], misfits: Float[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """Estimated probability that an image shows what most images of its cluster show.

        It is the steadiness, whose logits are shifted so that their mean in each cluster is that of
        `Trust.pure`. Of images that the model draws badly, it falls: an outlier is never sure.
        """
        steady = self.steadiness(responsibilities)
        if self.trust is not None:
            shifts = torch.tensor(self.trust.shifts, device=steady.device)
            cluster = responsibilities.argmax(-1)
            steady = torch.sigmoid(torch.logit(steady, eps=SMALLEST) + shifts[cluster])
        worst = max(self.misfits[-1], SMALLEST)
        odd = (self.outlier(responsibilities, misfits) - ODD) / (1 - ODD)
        multiple = self.multiple(responsibilities, misfits)
        beyond = worst / multiple.clamp_min(worst)  # below 1 if no validation image was as odd
        left = 1 - (1 - ODDEST) * torch.from_numpy(odd).clamp_min(0).to(steady)
        return steady * left * beyond.to(steady)

    def outlier(
        self, responsibilities: Float[Tensor, "B K"], misfits: Float[Tensor, " B"]
    ) -> Float[np.ndarray, " B"]:
        """Share of validation images that the model draws better, from 0 to 1.

        At 0.99, only one validation image in a hundred looks as odd. Each image is measured by what
        is usual in its cluster: a plain thing that is drawn badly is odd, even if all images of a
        cluster of intricate things are drawn worse.
        """
        multiple = self.multiple(responsibilities, misfits).numpy()
        return np.interp(multiple, self.misfits, np.linspace(0, 1, LEVELS))

    def multiple(
        self, responsibilities: Float[Tensor, "B K"], misfits: Float[Tensor, " B"]
    ) -> Float[Tensor, " B"]:
        """The misfits as multiples of what is usual in the images' clusters."""
        if self.usual is None:
            return misfits
        usual = torch.tensor(self.usual, device=misfits.device)
        return misfits / usual[responsibilities.argmax(-1)].to(misfits)

    def write(self, run: Path, which: str = "best", weights: str | None = None) -> None:
        """Save the calibration of a checkpoint in its run's folder.

        Args:
            run: folder of the run.
            which: best or last.
            weights: fingerprint of the checkpoint; None: `read` does not compare it.
        """
        content = json.dumps({**asdict(self), "weights": weights}, indent=1)
        write_text(file_about(run, FILE, which), content + "\n")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Calibration":
        """Read a calibration from JSON values: the inverse of `asdict`.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are not a calibration.
        """
        misfits = tuple(float(one) for one in values["misfits"])
        if len(misfits) != LEVELS:
            raise ValueError(f"{len(misfits)} misfits instead of {LEVELS}")
        if not np.isfinite(misfits).all() or list(misfits) != sorted(misfits):
            raise ValueError("misfits are not finite, or not in order")
        temperature, n = float(values["temperature"]), int(values["n"])
        if not SMALLEST <= temperature <= 1 / SMALLEST or n < 0:
            raise ValueError(f"temperature is {temperature:g}, measured on {n} images")
        usual = values.get("usual")
        if usual is not None:
            usual = tuple(float(one) for one in usual)
            if not all(SMALLEST <= one <= 1 / SMALLEST for one in usual):
                raise ValueError("usual misfits are not positive numbers")
        symmetry, trust = values.get("symmetry"), values.get("trust")
        known = {
            "temperature": temperature,
            "misfits": misfits,
            "n": n,
            "usual": usual,
            "symmetry": None if symmetry is None else Symmetry.from_dict(symmetry),
            "trust": None if trust is None else Trust.from_dict(trust),
        }
        return cls(**{**values, **known})

    def fitting(self, clusters: int) -> "Calibration":
        """Return it, after a check that it is of a model with K clusters.

        Raises:
            ValueError: it is of another.
        """
        if self.symmetry is not None and len(self.symmetry.order) != clusters:
            raise ValueError(f"symmetry of {len(self.symmetry.order)} clusters, not {clusters}")
        if self.usual is not None and len(self.usual) != clusters:
            raise ValueError(f"usual misfits of {len(self.usual)} clusters, not {clusters}")
        if self.trust is not None and len(self.trust.clusters) != clusters:
            raise ValueError(f"trust of {len(self.trust.clusters)} clusters, not {clusters}")
        return self

    @classmethod
    def read(cls, run: Path, which: str = "best", weights: str | None = None) -> "Calibration":
        """Read the calibration of a checkpoint.

        Args:
            run: folder of the run.
            which: best or last.
            weights: fingerprint of the checkpoint; None: any will do.

        Raises:
            UserError: the calibration is missing or damaged, or was made for other weights.
        """
        path = file_about(run, FILE, which)
        try:
            values = json.loads(read_text(path))
            made_for = values.pop("weights", None)
            if None not in (made_for, weights) and made_for != weights:
                raise ValueError(f"{which}.safetensors has changed since it was made")
            return cls.from_dict(values)
        except FileNotFoundError:
            raise UserError(f"{path}: is missing; make it with mcevae report {run}.") from None
        except DAMAGE as error:
            raise UserError(
                f"{path}: cannot be read ({error}); make it again with mcevae report {run}."
            ) from error


def flattened(responsibilities: Tensor, temperature: float) -> Tensor:
    """Divide the logarithms of responsibilities by a temperature. Rows still sum to 1."""
    return (responsibilities.clamp_min(SMALLEST).log() / temperature).softmax(-1)


def calibrate(model: Model, config: Config, pixels: Tensor) -> Calibration:
    """Measure the calibration of a model on validation images.

    Every image gets a second pose: it is moved back by the pose that the model found, then moved
    by a random pose inside the support. The temperature is chosen so that the responsibilities in
    the first pose best predict the cluster in the second pose (least cross-entropy).

    Args:
        model: model in evaluation mode.
        config: settings of the run.
        pixels: (N, C, H, W) uint8 validation images.
    """
    group: MatrixGroup = model.group
    support, background = config.support.half_widths(group), config.data.background_level
    generator = torch.Generator().manual_seed(SEED)
    firsts, seconds, misfits = [], [], []
    for x, out in outputs(model, pixels):
        moved = in_another_pose(x, out.element, group, support, background, generator)
        (_, again), *_ = outputs(model, to_bytes(moved))
        firsts.append(out.responsibilities.cpu())
        seconds.append(again.responsibilities.argmax(-1).cpu())
        misfits.append(misfit(x, out.reconstruction).cpu())
    first, second = torch.cat(firsts), torch.cat(seconds)

    def cross_entropy(log_temperature: float) -> float:
        p = flattened(first, float(np.exp(log_temperature)))
        return -p.gather(1, second[:, None]).clamp_min(SMALLEST).log().mean().item()

    found = minimize_scalar(cross_entropy, bounds=(-3, 4), method="bounded")
    missed, cluster = torch.cat(misfits).numpy(), first.argmax(-1).numpy()
    usual = usual_misfits(missed, cluster, first.shape[1])
    values = np.quantile(missed / usual[cluster], np.linspace(0, 1, LEVELS))
    return Calibration(
        temperature=float(np.exp(found.x)),  # pyright: ignore[reportAttributeAccessIssue]
        misfits=tuple(round(float(value), 4) for value in values),
        n=len(pixels),
        usual=tuple(round(float(value), 4) for value in usual),
    )


def usual_misfits(
    misfits: Float[np.ndarray, " n"], clusters: Int[np.ndarray, " n"], count: int
) -> Float[np.ndarray, " k"]:
    """Median misfit of each cluster; of one with fewer than `FEW` images, that of all images.

    It lies between bounds: a cluster that is drawn far worse than the others may be a bin for junk,
    which must not make junk usual.

    Args:
        misfits: of images.
        clusters: cluster of each image.
        count: number of clusters, K.
    """
    middle = max(float(np.median(misfits)), MIDDLE)
    parts = [misfits[clusters == k] for k in range(count)]
    usual = [float(np.median(own)) if len(own) >= FEW else middle for own in parts]
    return np.clip(usual, middle / PLAINEST, middle * WORST)
