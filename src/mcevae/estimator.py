"""The default preset as a scikit-learn estimator: arrays in, clusters, poses and pictures out."""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from rich.console import Console
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from mcevae.base.errors import UserError
from mcevae.exporting import hub
from mcevae.images.arrays import MAX_SIDE, Images
from mcevae.images.datasets import Posed, Splits, split_images
from mcevae.images.readers import Frame, Unreadable
from mcevae.images.recipe import survey
from mcevae.models.config import Config
from mcevae.runs.checkpoint import filled, load_model
from mcevae.runs.confidence import calibrate, misfit
from mcevae.runs.infer import Embedding, default_device, embed, outputs
from mcevae.training.loop import fit

SAMPLE = 512
"""Images that the recipe is found from."""
LEAST = 4
"""Images that can be learned from."""


@contextmanager
def value_errors() -> Any:
    """What a user of the command line is told, as scikit-learn wants it."""
    try:
        yield
    except (UserError, Unreadable) as error:
        raise ValueError(str(error)) from error


class MCEVAE(TransformerMixin, ClusterMixin, BaseEstimator):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Clusters of images, however they are turned, shifted or scaled, with poses.

    X is (n, H, W), (n, H, W, C) with C of 1 or 3, or flat (n, features): squares of one channel, or
    of `image_shape`. Bytes, words and floats are brought to one form as `mcevae fit` does
    (`recipe`).

    Args:
        n_clusters: K, or "auto" (2 to 30).
        group: of the poses: so2, se2, sim2 or aff2.
        rotation: largest rotation either way, degrees.
        shift: largest shift, as a fraction of the side.
        image_shape: (H, W) or (H, W, C) of flat rows.
        max_epochs: passes over the images, or "auto" (more of few).
        minutes: end earlier, after so many minutes; None: do not.
        background: 0 (black) to 1 (white) around the things; None: that of the borders.
        random_state: seed, or a generator to draw one from.
        settings: further settings by part, {"start": {"templates": 64}} say; see `config`.
        run: folder to keep checkpoints, logs and settings in; None: nothing is kept.
        verbose: show progress.

    Attributes:
        labels_: (n,) clusters of the images it was fitted to; not kept by `save_pretrained`.
        model_: the network, a torch module in evaluation mode.
        config_: all settings.
        recipe_: how images are brought to the form that the network takes.
        calibration_: of confidence and outlier score.
        image_shape_: of an image of X; None (read from a run of the command line): any.
        n_features_in_: numbers of an image, where its shape is known.
    """

    def __init__(
        self,
        n_clusters: Any = 10,
        *,
        group: str = "se2",
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
        """Learn clusters and poses; `y` is not read.

        Raises:
            ValueError: X or a setting cannot be.
            TrainingError: the loss is not finite.
        """
        frames = self._frames(X, reset=True)
        with value_errors():
            config = self._config()
            found = survey(
                frames[:: max(1, len(frames) // SAMPLE)],
                most=MAX_SIDE,
                background=self.background,
            )
            recipe = found.recipe
            config = config.changed(data={"background": recipe.background})
            pixels = torch.stack([recipe(frame) for frame in frames])
            images = Images(name="X", pixels=pixels)
            train, held, _ = split_images(images, images)
            held_out = Posed(images=held)  # nothing is scored: it stands in for test images
            splits = Splits(train=Posed(images=train), validation=held_out, test=held_out)
            with TemporaryDirectory() as temporary:
                run = Path(self.run or temporary)
                if not fit(config, splits, run, console=Console(quiet=not self.verbose)):
                    raise KeyboardInterrupt
                self.model_, self.config_, _ = load_model(run, device=default_device())
            self.recipe_ = recipe
            self.calibration_ = calibrate(self.model_, config, held.pixels)
        self.labels_ = self._embedding(pixels).cluster.numpy()
        return self

    def predict(self, X: Any) -> NDArray[np.int64]:
        """(n,) the most probable cluster of each image."""
        return self._embed(X).cluster.numpy()

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """(n, K) probabilities of the clusters."""
        return self._embed(X).responsibilities.numpy()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """(n, K + T + V) the latents: z_c, tau (radians, sides, logs), z."""
        found = self._embed(X)
        return torch.cat([found.z_c, found.tau, found.z], 1).numpy()

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Names of the columns of `transform`; `input_features` is not read."""
        check_is_fitted(self)
        group, sizes = self.model_.group, self._sizes()
        units = zip(group.coordinates, group.units, strict=True)
        names = [f"z_c_{k}" for k in range(sizes[0])]
        names += [f"tau_{name}_{unit}" for name, unit in units]
        return np.asarray([*names, *(f"z_{v}" for v in range(sizes[2]))], dtype=object)

    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Images of latents as `transform` gives them, from 0 to 1: (n, H, W) or (n, H, W, C)."""
        check_is_fitted(self)
        latents = torch.as_tensor(np.asarray(X, np.float32))
        if latents.ndim != 2 or latents.shape[1] != sum(self._sizes()):
            raise ValueError(f"X has shape {tuple(latents.shape)}, not (n, {sum(self._sizes())})")
        device = next(self.model_.parameters()).device
        z_c, tau, z = latents.to(device).split(self._sizes(), 1)
        with torch.inference_mode():
            return self._as_pictures(self.model_.decode(z_c, z, tau))

    def canonical(self, X: Any) -> NDArray[np.float32]:
        """What the model draws of each image free of its pose: (n, H, W) or (n, H, W, C)."""
        return self._as_pictures(self._embed(X).canonical)

    def pose(self, X: Any) -> NDArray[np.float32]:
        """(n, 3, 3) what moves each canonical image onto its image (x right, y down, sides)."""
        return self._embed(X).element.numpy()

    def confidence(self, X: Any) -> NDArray[np.float32]:
        """(n,) probability that each thing in another pose has the same cluster."""
        return self.calibration_.confidence(self._embed(X).responsibilities).numpy()

    def outlier(self, X: Any) -> NDArray[np.float64]:
        """(n,) share of validation images that the model draws better than each image."""
        return self.calibration_.outlier(self._misfits(X))

    def score(self, X: Any, y: object = None) -> float:
        """Minus the mean misfit of the reconstructions, nats per image; 0 is perfect."""
        return -float(self._misfits(X).mean())

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, token: str | None = None
    ) -> "MCEVAE":
        """A fitted estimator that gives the same numbers as the one that was saved.

        Args:
            name: a folder that `save_pretrained` filled, a run of `mcevae fit` (whose images are
                given as its files have them, in any size), or owner/name on the Hugging Face hub
                (extra `hub`). Reading them runs no code of theirs.
            revision: on the hub: branch, tag or commit.
            token: on the hub: for private models, if `hf auth login` keeps none.

        Raises:
            ValueError: there is no such model, or it is damaged, or of another version.
        """
        with value_errors():
            parameters, found = hub.read(hub.fetch(name, revision, token))
            try:
                made = cls(**parameters)
            except TypeError as error:
                raise UserError(f"{name}: does not fit {cls.__name__} ({error}).") from error
        for one, value in vars(found).items():
            if value is not None or one == "image_shape":
                setattr(made, f"{one}_", value)
        return made

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors, config.json and a model card README.md for `from_pretrained`.

        The parameter `run`, paths and `labels_` are left out; a generator in `random_state` becomes
        the seed that was drawn.

        Raises:
            ValueError: they cannot be written.
        """
        with value_errors():
            hub.write(Path(folder), *self._learned())

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub (extra `hub`).

        Args:
            repo_id: owner/name; is made if need be.
            private: whether a new one is; None: as its owner has it.
            token: None: the one that `hf auth login` keeps.

        Returns:
            Its address.

        Raises:
            ValueError: the hub refuses or cannot be reached.
        """
        with value_errors():
            return hub.push(repo_id, *self._learned(), private=private, token=token)

    def _learned(self) -> tuple[dict[str, Any], hub.Fitted]:
        """Parameters and attributes that another machine can use."""
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        parameters.pop("run", None)
        if "random_state" in parameters:
            parameters["random_state"] = self.config_.train.seed
        names = [one.name for one in fields(hub.Fitted)]
        learned: dict[str, Any] = {one: getattr(self, f"{one}_", None) for one in names}
        return parameters, hub.Fitted(**learned)

    def _misfits(self, X: Any) -> Tensor:
        pixels = self._pixels(X)
        return torch.cat(
            [misfit(x, o.reconstruction).cpu() for x, o in outputs(self.model_, pixels)]
        )

    def _embed(self, X: Any) -> Embedding:
        return self._embedding(self._pixels(X))

    def _embedding(self, pixels: Tensor) -> Embedding:
        return embed(self.model_, pixels)

    def _pixels(self, X: Any) -> Tensor:
        """X as the network takes it."""
        check_is_fitted(self)
        with value_errors():
            return torch.stack([self.recipe_(frame) for frame in self._frames(X, reset=False)])

    def _sizes(self) -> list[int]:
        """Numbers of z_c, tau and z."""
        one = torch.zeros(1, *self._shape(), dtype=torch.uint8)
        found = embed(self.model_, one)
        return [found.z_c.shape[1], found.tau.shape[1], found.z.shape[1]]

    def _shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's images."""
        return (self.recipe_.channels, *self.recipe_.shape)

    def _as_pictures(self, images: Tensor) -> NDArray[np.float32]:
        """(n, C, H, W) with the channels last, or without them if there is one."""
        pictures = images.cpu().movedim(1, -1)
        return (pictures[..., 0] if pictures.shape[-1] == 1 else pictures).numpy()

    def _frames(self, X: Any, *, reset: bool) -> list[Frame]:
        """Images of X one by one, checked by scikit-learn's own rules."""
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
            raise ValueError(f"X has images of {array.shape[1:]}; fitted to {self.image_shape_}")
        return [Frame(f"X[{i}]", image) for i, image in enumerate(array)]

    def _laid_out(self, flat: NDArray[Any]) -> NDArray[Any]:
        """Flat rows as images."""
        side = round(flat.shape[1] ** 0.5)
        shape = tuple(self.image_shape) if self.image_shape is not None else (side, side)
        if int(np.prod(shape)) != flat.shape[1]:
            raise ValueError(
                f"X has {flat.shape[1]} features, which are no image; give image_shape"
            )
        return flat.reshape(len(flat), *shape)

    def _config(self) -> Config:
        """All settings.

        Raises:
            UserError: one of them cannot be.
        """
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        values: dict[str, Any] = {
            "data": {"source": "X"},
            "support": {"rotation": float(self.rotation), "shift": float(self.shift)},
            "model": {"group": self.group, "clusters": self.n_clusters},
            "train": {"epochs": self.max_epochs, "seed": int(seed)},
        }
        if self.minutes is not None:
            values["train"]["minutes"] = float(self.minutes)
        for part, changes in (self.settings or {}).items():
            values[part] = values.get(part, {}) | changes
        return Config.from_dict({"preset": "default", **values})

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn should know: the latents are float32 whatever X is."""
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """The network as safetensors, so that loading it runs no code of its own."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues]
        if "model_" in state:
            tensors = {k: v.cpu().contiguous() for k, v in state["model_"].state_dict().items()}
            state["model_"] = safetensors.torch.save(tensors)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the network anew and fill it."""
        super().__setstate__(state)
        if isinstance(self.__dict__.get("model_"), bytes):
            tensors = safetensors.torch.load(self.__dict__["model_"])
            self.model_ = filled(self.config_, self._shape(), tensors, default_device())
