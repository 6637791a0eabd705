"""What features from elsewhere say about the cluster of an image.

After training, each cluster has a Gaussian over the features of its training images; all share one
covariance (linear discriminant analysis, Fisher, 1936). So log p(f | k) is linear in the features
f. It joins the network's probabilities by Bayes' rule, q(k, r | x, f) ~ q(k, r | x) p(f | k)^s. The
exponent s, from 0 to 1, is the one with which features alone best predict the network's clusters of
validation images. If features say nothing about them, s is 0 and nothing changes.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.images.features import Features
from mcevae.runs.checkpoint import file_about, load, save

FILE = "features.safetensors"
DIRECTIONS = 64
"""Principal components of the features that are used, at most."""
SHRINKAGE = 0.1
"""Share of the mean variance in the covariance, which few images do not determine."""
STEPS = 21
"""Exponents that are tried, from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Turns features into log p(f | k)^s, up to a constant of each image.

    Attributes:
        weight: (K, D).
        bias: (K,).
    """

    weight: Float[Tensor, "K D"]
    bias: Float[Tensor, " K"]

    @property
    def columns(self) -> int:
        """D, the number of features that it takes."""
        return self.weight.shape[1]

    def __call__(self, features: Float[Tensor, "n D"]) -> Float[Tensor, "n K"]:
        """Compute the logarithms for the features of n images; the largest of each is 0."""
        logits = features.double() @ self.weight.double().T + self.bias.double()
        return (logits - logits.max(1, keepdim=True).values).float()

    def rows(
        self,
        features: str | Path | np.ndarray,
        count: int,
        source: str,
        places: np.ndarray | None = None,
    ) -> Float[Tensor, "n D"]:
        """Read the features of images.

        Args:
            features: (n, D) with a row for each image of the source, or a .npy with them.
            count: number of images of the source, with those that cannot be used.
            source: what errors call it.
            places: number of each image in it; None: all images can be used.

        Raises:
            UserError: they do not fit the run or the source.
        """
        array = isinstance(features, np.ndarray)
        known = Features.of(features, "features") if array else Features.read(features)
        known.check_columns(self.columns)
        known.check_count(count, source)
        return known.rows(np.arange(count) if places is None else places, source)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of a file."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def of(cls, tensors: dict[str, Tensor], clusters: int) -> "Evidence":
        """Read what `tensors` gave, for a model with K clusters.

        Raises:
            Exception: one of the types in `DAMAGE`: they are something else.
        """
        weight, bias = tensors["weight"], tensors["bias"]
        if weight.ndim != 2 or not weight.shape[:1] == bias.shape == (clusters,):
            raise ValueError(f"weight has shape {tuple(weight.shape)}, bias {tuple(bias.shape)}")
        if not (weight.isfinite().all() and bias.isfinite().all()):
            raise ValueError("values are not finite")
        return cls(weight=weight, bias=bias)

    def write(self, run: Path, which: str, weights: str) -> None:
        """Save it in a run's folder, for the checkpoint with this fingerprint."""
        save(file_about(run, FILE, which), self.tensors(), {"weights": weights})

    @classmethod
    def read(cls, run: Path, which: str, weights: str, clusters: int) -> "Evidence":
        """Read it from the folder of a run with K clusters.

        Raises:
            UserError: it is missing or damaged, or belongs to other weights.
        """
        path = file_about(run, FILE, which)
        remedy = f"make it with mcevae report {run}"
        if not os.path.lexists(path):
            raise UserError(f"{path}: is missing; {remedy}.")
        tensors, state = load(path)
        if state.get("weights") != weights:
            raise UserError(f"{path}: was made for another checkpoint; {remedy}.")
        try:
            return cls.of(tensors, clusters)
        except (KeyError, ValueError) as error:
            raise UserError(f"{path}: is damaged ({error}); {remedy}.") from error


def learn(
    features: Float[Tensor, "n D"],
    responsibilities: Float[Tensor, "n K"],
    held: Float[Tensor, "m D"],
    held_responsibilities: Float[Tensor, "m K"],
) -> Evidence:
    """Learn what features say about clusters.

    Args:
        features: of training images.
        responsibilities: probabilities of their clusters, from the network.
        held: features of validation images, which choose the exponent.
        held_responsibilities: probabilities of their clusters.
    """
    f, p = features.double(), responsibilities.double()
    middle, spread = f.mean(0), f.std(0, unbiased=False).clamp_min(1e-6)
    f = (f - middle) / spread
    _, _, basis = torch.linalg.svd(f[:: max(1, len(f) // 5000)], full_matrices=False)
    basis = basis[:DIRECTIONS].T  # (D, d)
    f = f @ basis
    total = p.sum(0)
    mean = (p.T @ f) / total.clamp_min(1e-6)[:, None]  # (K, d)
    within = torch.einsum("nk,nd,ne->de", p, f, f) - torch.einsum("k,kd,ke->de", total, mean, mean)
    within = within / len(f)
    ridge = SHRINKAGE * within.diagonal().mean().clamp_min(1e-6)
    within = (1 - SHRINKAGE) * within + ridge * torch.eye(len(within), dtype=within.dtype)
    direction = torch.linalg.solve(within, mean.T).T  # (K, d)
    weight = direction @ basis.T / spread
    bias = -(direction * mean).sum(1) / 2 - weight @ middle
    prior = (total / total.sum()).clamp_min(1e-6).log()
    target = held_responsibilities.double().argmax(1)

    def loss(power: float) -> float:
        logits = power * (held.double() @ weight.T + bias) + prior
        return F.cross_entropy(logits, target).item()

    power = min((i / (STEPS - 1) for i in range(STEPS)), key=loss)
    return Evidence(weight=(power * weight).float(), bias=(power * bias).float())
