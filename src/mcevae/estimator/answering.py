"""What a fitted estimator says about images."""

from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from sklearn.base import ClusterMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.estimator.taking import Taking
from mcevae.exporting.pretrained import value_errors
from mcevae.geometry.groups import reflect
from mcevae.images.arrays import Images
from mcevae.images.features import Features
from mcevae.images.recipe import Recipe
from mcevae.images.sources.contract import Source
from mcevae.images.sources.memory import MemorySource
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.predicting.averages import Average, cluster_averages
from mcevae.runs.answers import Answers, answers_of, as_pictures, pixels_by
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.evidence import Evidence
from mcevae.runs.frames import Frames
from mcevae.runs.infer import latent_sizes
from mcevae.runs.symmetry import Symmetry
from mcevae.runs.trust.advice import told
from mcevae.runs.trust.trust import Trust

A = TypeVar("A", bound="Answering")

LATENTS = ("z_c", "tau", "z")
"""The latents that `transform` returns, in this order; the last column may be `mirrored`."""


class Answering(TransformerMixin, ClusterMixin, Taking):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Methods that answer for images, once the estimator is fitted.

    If it was fitted with `features`, give those of X as well, (n, D), in the same order; without
    them clusters come from the images alone.

    Attributes:
        model_, config_, recipe_, calibration_, collections_, evidence_: see `MCEVAE`.
    """

    model_: Model
    config_: Config
    recipe_: Recipe
    calibration_: Calibration
    collections_: Collections
    evidence_: Evidence | None = None

    def predict(self, X: Any, *, features: Any = None) -> NDArray[np.int64]:
        """Return the most probable cluster of each image, (n,)."""
        return self._answers(X, features).cluster

    def predict_proba(self, X: Any, *, features: Any = None) -> NDArray[np.float32]:
        """Return the probability of each cluster for each image, (n, K)."""
        return self._answers(X, features).probability

    def transform(self, X: Any, *, features: Any = None) -> NDArray[np.float32]:
        """Return the latents z_c, tau (radians, image sides, logarithms) and z, (n, K + T + V).

        With the parameter `mirror` one more column says which poses have a mirror image (1 or 0).
        """
        answers = self._answers(X, features)
        latents = [getattr(answers, name) for name in LATENTS]
        if self.model_.group.mirrors:
            latents.append(answers.mirrored[:, None].astype(np.float32))
        return np.concatenate(latents, 1)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return the names of the columns of `transform`; `input_features` is ignored."""
        check_is_fitted(self)
        group, (code, _, variation, signs) = self.model_.group, self._sizes()
        names = [f"z_c_{k}" for k in range(code)]
        for name, unit in zip(group.coordinates, group.units, strict=True):
            names.append(f"tau_{name}_{unit}")
        names += [f"z_{v}" for v in range(variation)] + ["mirrored"] * signs
        return np.asarray(names, dtype=object)

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Draw images from latents that `transform` gave: (n, H, W) or (n, H, W, C), 0 to 1.

        Raises:
            ValueError: X does not have the shape that `transform` gives.
        """
        check_is_fitted(self)
        latents = torch.as_tensor(np.asarray(X, np.float32))
        if latents.ndim != 2 or latents.shape[1] != sum(self._sizes()):
            raise ValueError(f"X has shape {tuple(latents.shape)}, not (n, {sum(self._sizes())})")
        device = next(self.model_.parameters()).device
        z_c, tau, z, sign = latents.to(device).split(self._sizes(), 1)
        with torch.inference_mode():
            element = reflect(self.model_.group.exp(tau), (sign > 0.5).any(1))
            cluster = z_c[:, : self.collections_.clusters].argmax(1)
            element = self._frames_of(self.collections_).own_poses(element, cluster, z)
            return as_pictures(self.model_.render(z_c, z, element))

    def canonical(self, X: Any, *, features: Any = None) -> NDArray[np.float32]:
        """Draw each image without its pose: (n, H, W) or (n, H, W, C)."""
        return self._answers(X, features).canonical

    def pose(self, X: Any, *, features: Any = None) -> NDArray[np.float32]:
        """Return the matrix that moves each canonical image onto its image, (n, 3, 3).

        x points right, y points down, and lengths are image sides. If the determinant is negative,
        left and right are exchanged.
        """
        return self._answers(X, features).pose

    @property
    def symmetry_(self) -> Symmetry | None:
        """Order of the symmetry of each cluster, and how consistent its frame is.

        `pose` and `transform` give poses modulo it. None: it is not known, as in older models.
        """
        return self.calibration_.symmetry

    @property
    def trust_(self) -> Trust | None:
        """Estimated share of images that are with their like: `trust_.run`, 0 to 1, of all
        clusters, and `trust_.clusters` of each.

        It comes from the images that `fit` was given, without labels. None: it is not known, as in
        older models.
        """
        return self.calibration_.trust

    @property
    def advice_(self) -> tuple[str, ...]:
        """What makes the clusters doubtful, and what mends it, the most important first."""
        return told(self.trust_)

    def upright(self: A, cluster: int, degrees: float | None = None, *, flip: bool = False) -> A:
        """Set which way is up in a cluster's canonical frame.

        Canonical images are then drawn turned, and poses are given from there; images drawn from
        latents do not change.

        Args:
            cluster: number of the cluster.
            degrees: how far its canonical image is turned clockwise from the frame that the model
                found. None: it stays as it is turned now.
            flip: exchange left and right in the canonical image first. A second time undoes it.

        Returns:
            The estimator itself.

        Raises:
            ValueError: there is no such cluster, or poses do not have such turns.
        """
        check_is_fitted(self)
        made = self.collections_
        indices = [
            i
            for i, entry in enumerate(made.entries)
            if any(unit.partition(".")[0] == str(cluster) for unit in entry.units)
        ]
        if not indices:
            raise ValueError(f"there is no cluster {cluster}; there are 0 to {made.clusters - 1}")
        for index in indices:
            made = made.flipped(index) if flip else made
            made = made if degrees is None else made.set_upright(index, degrees)
        with value_errors():
            self._frames_of(made)
        self.collections_ = made
        return self

    def averages(self, X: Any) -> list[Average]:
        """Average the images of each cluster, each moved back by its pose, at full resolution.

        Clusters come from the images alone.
        """
        check_is_fitted(self)
        with value_errors():
            source = self._source(X, self.config_.data, reset=False)
            return cluster_averages(self.model_, source, self.recipe_, self.collections_)

    def confidence(self, X: Any, *, features: Any = None) -> NDArray[np.float32]:
        """Return the probability, (n,), that each thing in another pose gets the same cluster."""
        return self._answers(X, features).confidence

    def outlier(self, X: Any, *, features: Any = None) -> NDArray[np.float64]:
        """Return the share, (n,), of validation images that the model draws better than each."""
        return self._answers(X, features).outlier

    def score(self, X: Any, y: object = None) -> float:
        """Return minus the mean error of the reconstructions, in nats per image; 0 is perfect."""
        return -float(self._answers(X).misfit.mean())

    def _answers(self, X: Any, features: Any = None) -> Answers:
        """Return what the network finds for X, and what features of X add to it."""
        check_is_fitted(self)
        with value_errors():
            pixels = self._images_of(self._source(X, self.config_.data, reset=False)).pixels
            told = None if features is None else self._told(np.asarray(features), len(pixels))
        frames = self._frames_of(self.collections_)
        return answers_of(self.model_, self.calibration_, frames, pixels, told)

    def _told(self, features: NDArray[Any], count: int) -> Float[Tensor, "n K"]:
        """Return what features of n images say about clusters.

        Raises:
            UserError: they do not fit the images, or those that were given to `fit`.
        """
        known = Features.of(features, "features")
        if self.evidence_ is None:
            raise UserError("features: it was fitted without any; leave them out.")
        known.check_columns(self.evidence_.columns)
        known.check_count(count, "X")
        return self.evidence_(known.rows(range(count), "X"))

    def _images_of(self, source: Source) -> Images:
        """Return the images of a source in the form that the network takes.

        Raises:
            UserError: an image cannot be used.
        """
        if not isinstance(source, MemorySource):
            return source.images(self.recipe_)[0]
        frames = source.frames()
        sizes = np.array([frame.pixels.shape[:2] for frame in frames])
        return Images(name="X", pixels=pixels_by(self.recipe_, frames), sizes=sizes)

    def _frames_of(self, collections: Collections) -> Frames:
        """Return canonical frames as they are turned by hand.

        Raises:
            UserError: poses do not have such turns.
        """
        model = self.model_
        return Frames(
            group=model.group,
            background=model.background,
            collections=collections,
            symmetry=self.calibration_.symmetry,
        )

    def _sizes(self) -> list[int]:
        """Return how many numbers each latent has, and at last how many say `mirrored` (1 or 0)."""
        sizes = latent_sizes(self.model_, self._shape())
        return [*(sizes[name] for name in LATENTS), int(self.model_.group.mirrors)]

    def _shape(self) -> tuple[int, int, int]:
        """Return the shape (C, H, W) of the images that the network takes."""
        return (self.recipe_.channels, *self.recipe_.shape)
