"""Preset `default` as a scikit-learn estimator: it takes arrays and gives clusters and poses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from rich.console import Console
from sklearn.base import ClusterMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from mcevae.exporting.pretrained import Pretrained, value_errors
from mcevae.geometry.groups import reflect
from mcevae.images.readers.frames import Frame
from mcevae.images.sources.memory import MemorySource
from mcevae.images.splits import Posed, Splits, split_images
from mcevae.models.config import Config
from mcevae.models.own_group import chosen
from mcevae.predicting.averages import Average, cluster_averages
from mcevae.runs.answers import Answers, answers_of, as_pictures, pixels_by
from mcevae.runs.checkpoint import filled
from mcevae.runs.infer import default_device, latent_sizes
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit

LEAST = 4
"""Smallest number of images that `fit` accepts."""
LATENTS = ("z_c", "tau", "z")
"""The latents that `transform` returns, in this order; the last column may be `mirrored`."""


class MCEVAE(TransformerMixin, ClusterMixin, Pretrained):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Sorts images into clusters, however they are turned, shifted or scaled, and finds poses.

    X has shape (n, H, W), or (n, H, W, C) with C of 1 or 3, or (n, features). A row of features is
    a square image with one channel, unless `image_shape` gives another shape. Images may hold
    8-bit or 16-bit integers, or floats. All of them are brought to one form, as `mcevae fit` does
    (`recipe_`).

    Args:
        n_clusters: K, or "auto" to find it, from 2 to 30. Default 10.
        group: Lie group of the poses: so2, se2, sim2, aff2, or the path of a .toml file with
            generators. Default "se2".
        mirror: whether a pose may include a mirror image, for things that lie on either side or
            face left or right; not with generators. Default False.
        rotation: largest rotation in each direction, degrees, 0 to 180. Default 90.
        shift: largest shift, as a fraction of the image side. Default 0.25.
        image_shape: (H, W) or (H, W, C) of the images in flat rows. Default None: they are square
            and have one channel.
        max_epochs: number of passes over the images. With "auto", fewer images get more passes.
            Default "auto".
        minutes: stop after at most this many minutes. Default None: no limit.
        background: brightness around the things, from 0 (black) to 1 (white). Default None: it is
            measured at the borders of the images.
        random_state: a seed, or a generator from which a seed is drawn. Default 0.
        settings: more settings by part, such as {"start": {"templates": 64}}; see `Config`.
            Default None.
        run: folder for checkpoints, logs and settings. Default None: nothing is kept.
        verbose: show progress. Default False.

    Attributes:
        labels_: (n,) clusters of the images that `fit` was given; `save_pretrained` leaves them
            out.
        model_: the network, a torch module in evaluation mode.
        config_: all settings.
        recipe_: how images are brought to the form that the network takes.
        calibration_: how the network's numbers become confidence and outlier score.
        image_shape_: shape of an image of X. It is None if the model comes from a run of the
            command line; images of any shape are then accepted.
        n_features_in_: number of values in an image, if its shape is known.

    References:
        "Invariance-based Multi-Clustering of Latent Space Embeddings for Equivariant Learning".
        Preset `paper` is the model of this paper. Preset `default`, which is used here, improves
        on it.

        D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", ICLR 2014.

    Example:
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from mcevae import MCEVAE
        >>> images = np.kron(load_digits().images[:100], np.ones((2, 2))) / 16  # 16 x 16, 0 to 1
        >>> quick = {"start": {"templates": 4, "restarts": 1}, "model": {"rotations": 24}}
        >>> model = MCEVAE(n_clusters=3, rotation=30, max_epochs=2, settings=quick).fit(images)
        >>> model.labels_.shape, model.pose(images).shape, model.canonical(images).shape
        ((100,), (100, 3, 3), (100, 16, 16))
    """

    def __init__(
        self,
        n_clusters: Any = 10,
        *,
        group: Any = "se2",
        mirror: bool = False,
        rotation: float = 90.0,
        shift: float = 0.25,
        image_shape: Sequence[int] | None = None,
        max_epochs: Any = "auto",
        minutes: float | None = None,
        background: float | None = None,
        random_state: Any = 0,
        settings: dict[str, dict[str, Any]] | None = None,
        run: str | Path | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.group = group
        self.mirror = mirror
        self.rotation = rotation
        self.shift = shift
        self.image_shape = image_shape
        self.max_epochs = max_epochs
        self.minutes = minutes
        self.background = background
        self.random_state = random_state
        self.settings = settings
        self.run = run
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> "MCEVAE":
        """Learn clusters and poses.

        Args:
            X: at least 4 images.
            y: ignored.

        Returns:
            The estimator itself.

        Raises:
            ValueError: X or a setting has a value that cannot be used.
            TrainingError: the loss is not finite.
        """
        frames = self._frames(X, reset=True)
        with value_errors():
            config = self._config()
            read_by = replace(config.data, background=self.background, on_error="stop")
            source = MemorySource(frames, read_by, name="X")
            self.recipe_, images = source.survey.recipe, source.load().train
            chosen_by = self.recipe_.settings()
            config = config.changed(data={n: chosen_by[n] for n in ("background", "flatten")})
            train, held, _ = split_images(images, images)
            held_out = Posed(images=held)  # nothing is scored: it stands in for test images
            splits = Splits(train=Posed(images=train), validation=held_out, test=held_out)
            with TemporaryDirectory() as temporary:
                folder = Path(self.run or temporary)
                if not fit(config, splits, folder, console=Console(quiet=not self.verbose)):
                    raise KeyboardInterrupt
                run = TrainedRun.open(folder)
                run.calibrate(splits)
        self.model_, self.config_, self.calibration_ = run.model, run.settings, run.calibration
        self.labels_ = run.answers(images.pixels).cluster
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the most probable cluster of each image, (n,)."""
        return self._answers(X).cluster

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probability of each cluster for each image, (n, K)."""
        return self._answers(X).probability

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the latents z_c, tau (radians, image sides, logarithms) and z, (n, K + T + V).

        With the parameter `mirror` one more column says which poses have a mirror image (1 or 0).
        """
        answers = self._answers(X)
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
            return as_pictures(self.model_.render(z_c, z, element))

    def canonical(self, X: Any) -> NDArray[np.float32]:
        """Draw each image without its pose: (n, H, W) or (n, H, W, C)."""
        return self._answers(X).canonical

    def pose(self, X: Any) -> NDArray[np.float32]:
        """Return the matrix that moves each canonical image onto its image, (n, 3, 3).

        x points right, y points down, and lengths are image sides. If the determinant is negative,
        left and right are exchanged.
        """
        return self._answers(X).pose

    def averages(self, X: Any) -> list[Average]:
        """Average the images of each cluster, each moved back by its pose, at full resolution."""
        check_is_fitted(self)
        with value_errors():
            source = MemorySource(self._frames(X, reset=False), self.config_.data)
            return cluster_averages(self.model_, source, self.recipe_)

    def confidence(self, X: Any) -> NDArray[np.float32]:
        """Return the probability, (n,), that each thing in another pose gets the same cluster."""
        return self._answers(X).confidence

    def outlier(self, X: Any) -> NDArray[np.float64]:
        """Return the share, (n,), of validation images that the model draws better than each."""
        return self._answers(X).outlier

    def score(self, X: Any, y: object = None) -> float:
        """Return minus the mean error of the reconstructions, in nats per image; 0 is perfect."""
        return -float(self._answers(X).misfit.mean())

    def _answers(self, X: Any) -> Answers:
        """Return what the network finds for X."""
        check_is_fitted(self)
        with value_errors():
            pixels = pixels_by(self.recipe_, self._frames(X, reset=False))
        return answers_of(self.model_, self.calibration_, pixels)

    def _sizes(self) -> list[int]:
        """Return how many numbers each latent has, and at last how many say `mirrored` (1 or 0)."""
        sizes = latent_sizes(self.model_, self._shape())
        return [*(sizes[name] for name in LATENTS), int(self.model_.group.mirrors)]

    def _shape(self) -> tuple[int, int, int]:
        """Return the shape (C, H, W) of the images that the network takes."""
        return (self.recipe_.channels, *self.recipe_.shape)

    def _frames(self, X: Any, *, reset: bool) -> list[Frame]:
        """Return the images of X one by one, after the checks that scikit-learn asks for.

        Raises:
            ValueError: X has a wrong shape, too few images or values that are not numbers.
        """
        array: Any = check_array(
            X,
            dtype=None,  # pyright: ignore[reportArgumentType]
            allow_nd=True,
            ensure_min_samples=LEAST if reset else 1,
            estimator=self,
            input_name="X",
        )
        if array.ndim == 2:
            validate_data(self, X, reset=reset, skip_check_array=True)  # counts and names features
            array = self._laid_out(array)
        elif reset:
            self.n_features_in_ = int(np.prod(array.shape[1:]))
        if array.dtype.kind not in "buif":
            array = array.astype(np.float64)
        if array.ndim not in (3, 4):
            raise ValueError(
                f"X has shape {array.shape}; use (n, H, W), (n, H, W, C) or (n, features)"
            )
        if reset:
            self.image_shape_ = tuple(array.shape[1:])
        elif self.image_shape_ is not None and array.shape[1:] != self.image_shape_:
            raise ValueError(
                f"X has images of shape {array.shape[1:]}; use {self.image_shape_}, as for `fit`"
            )
        return [Frame(f"X[{i}]", image) for i, image in enumerate(array)]

    def _laid_out(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Reshape flat rows to images.

        Raises:
            ValueError: the number of features does not fit the shape.
        """
        side = round(flat.shape[1] ** 0.5)
        shape = tuple(self.image_shape) if self.image_shape is not None else (side, side)
        if int(np.prod(shape)) != flat.shape[1]:
            raise ValueError(
                f"X has {flat.shape[1]} features, which do not make an image; give the image_shape"
            )
        return flat.reshape(len(flat), *shape)

    def _config(self) -> Config:
        """Return all settings.

        Raises:
            UserError: a setting has a value that cannot be used.
        """
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        values: dict[str, Any] = {
            "data": {"source": "X"},
            "support": {"rotation": float(self.rotation), "shift": float(self.shift)},
            "model": {
                "group": chosen(self.group),
                "mirror": bool(self.mirror),
                "clusters": self.n_clusters,
            },
            "train": {"epochs": self.max_epochs, "seed": int(seed)},
        }
        if self.minutes is not None:
            values["train"]["minutes"] = float(self.minutes)
        for part, changes in (self.settings or {}).items():
            values[part] = values.get(part, {}) | changes
        return Config.from_dict({"preset": "default", **values})

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that the latents are always float32, whatever type X has."""
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Keep the network as safetensors, so that loading the file cannot run code."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues]
        if "model_" in state:
            tensors = {k: v.cpu().contiguous() for k, v in state["model_"].state_dict().items()}
            state["model_"] = safetensors.torch.save(tensors)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the network again and load its weights."""
        super().__setstate__(state)
        if isinstance(self.__dict__.get("model_"), bytes):
            tensors = safetensors.torch.load(self.__dict__["model_"])
            self.model_ = filled(self.config_, self._shape(), tensors, default_device())
