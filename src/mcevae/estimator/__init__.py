"""Preset `default` as a scikit-learn estimator: it takes arrays and gives clusters and poses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import safetensors.torch
from sklearn.utils import check_random_state

from mcevae.estimator.as_run import kept, split_of
from mcevae.estimator.progress import console_for
from mcevae.estimator.showing import Seen, Showing
from mcevae.exporting.pretrained import value_errors
from mcevae.images.arrays import Images
from mcevae.images.features import Features
from mcevae.images.hints import of_labels, read_hints
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.contract import Source
from mcevae.models.config import Config
from mcevae.models.mirror import chosen_mirror
from mcevae.models.own_group import chosen
from mcevae.runs.checkpoint import filled
from mcevae.runs.data import decide_mirror
from mcevae.runs.infer import default_device
from mcevae.runs.naming import check_names, name_by
from mcevae.runs.run import TrainedRun
from mcevae.training.loop import fit


class MCEVAE(Showing):
    """Sorts images into clusters, however they are turned, shifted or scaled, and finds poses.

    X has shape (n, H, W), (n, H, W, C), (n, C, H, W), or (n, features). A row of features is a
    square image with one channel, unless `image_shape` gives another shape. C is 1 for grey, 3 for
    colours, 4 with opacity; of 2 to 16 other channels, or those that
    `settings={"data": {"channels": "a,b"}}` names or picks, each is normalised by itself. Images
    may hold 8-bit or 16-bit integers, or floats. X may be an array, a tensor on any device, what
    `load` gives, or a list of arrays or Pillow images of any sizes. It may also be a path that
    `mcevae fit` takes, such as a folder, or a list of paths of image files: then images of any
    size are taken from there on, and one that cannot be read is an error that names its file.
    All images are brought to one form, as `mcevae fit` does (`recipe_`).

    Args:
        n_clusters: K, or "auto" to find it, from 2 to 30. Default 10.
        group: Lie group of the poses: so2, se2, sim2, aff2, or the path of a .toml file with
            generators. Default "se2".
        mirror: whether a pose may include a mirror image, for things that lie on either side or
            face left or right; not with generators. "auto": if the neighbour graph of the images
            shows mirror images; `config_.model.mirror` says what was found. Default False.
        rotation: largest rotation in each direction, degrees, 0 to 180. Default 90.
        shift: largest shift, as a fraction of the image side. Default 0.25.
        image_shape: (H, W) or (H, W, C) of the images in flat rows. Default None: they are square
            and have one channel.
        max_epochs: number of passes over the images. With "auto", fewer images get more passes.
            Default "auto".
        minutes: stop after at most this many minutes. If they are too few for a network, the answer
            is that of `quick`. Default None: no limit.
        quick: train no network: compare the images, and place new ones by their nearest neighbours.
            It takes seconds, but needs the default of `max_epochs` and `minutes`. Default False.
        background: brightness around the things, from 0 (black) to 1 (white). Default None: it is
            measured at the borders of the images.
        random_state: a seed, or a generator from which a seed is drawn. Default 0.
        settings: more settings by part, such as {"start": {"templates": 64}}; see `Config`.
            Default None.
        run: folder for checkpoints, logs and settings. Default None: nothing is kept.
        verbose: show progress. "auto": in a notebook or a terminal. Default "auto".

    Attributes:
        labels_: (n,) clusters of the images that `fit` was given; `save_pretrained` leaves them
            out.
        model_: the network, a torch module in evaluation mode.
        config_: all settings.
        recipe_: how images are brought to the form that the network takes.
        calibration_: how the network's numbers become confidence and outlier score.
        collections_: how frames of clusters were turned by hand (`upright`), and the groups of a
            run.
        evidence_: what features say about clusters; None: it was fitted without features.
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
        mirror: Any = False,
        rotation: float = 90.0,
        shift: float = 0.25,
        image_shape: Sequence[int] | None = None,
        max_epochs: Any = "auto",
        minutes: float | None = None,
        quick: bool = False,
        background: float | None = None,
        random_state: Any = 0,
        settings: dict[str, dict[str, Any]] | None = None,
        run: str | Path | None = None,
        verbose: bool | str = "auto",
    ) -> None:
        self.n_clusters = n_clusters
        self.group = group
        self.mirror = mirror
        self.rotation = rotation
        self.shift = shift
        self.image_shape = image_shape
        self.max_epochs = max_epochs
        self.minutes = minutes
        self.quick = quick
        self.background = background
        self.random_state = random_state
        self.settings = settings
        self.run = run
        self.verbose = verbose

    def fit(self, X: Any, y: object = None, *, features: Any = None, hints: Any = None) -> "MCEVAE":
        """Learn clusters and poses.

        Args:
            X: at least 4 images.
            y: ignored.
            features: (n, D) numbers that describe each image as well, such as features of a
                pretrained network; they join the neighbour graph. Default None: none.
            hints: (n,) labels of the images of which you know them, and None for all others; or
                the path of a table of them, as for `mcevae fit --hints`. Clusters follow them:
                cluster k is that of the k-th label in order. Default None.

        Returns:
            The estimator itself.

        Raises:
            ValueError: X or a setting has a value that cannot be used.
            TrainingError: the loss is not finite.
        """
        with value_errors():
            config = self._config()
            read_by = replace(config.data, background=self.background)
            source = self._source(X, read_by, reset=True)
            config = config.changed(data=source.settled())
            self.recipe_, images = prepared(source, config)
            known = None
            if features is not None:
                known = Features.of(np.asarray(features), "features")
                known.check_count(len(images), "X")
            table = None
            if isinstance(hints, str | Path):
                table = str(hints)
                images = read_hints(table, [images])[0]
            elif hints is not None:
                images = of_labels(list(hints), images)
            check_names(images.hints)
            self._seen = Seen(source=source, features=known)
            if self.run is not None:
                config = config.changed(data=kept(source, Path(self.run), known, table or images))
            splits = split_of(images, known)
            console = console_for(self.verbose)
            config, told = decide_mirror(config, splits)
            if told:
                console.print(told, highlight=False)
            with TemporaryDirectory() as temporary:
                folder = Path(self.run or temporary)
                if not fit(config, splits, folder, console=console, replaceable=True):
                    raise KeyboardInterrupt
                run = TrainedRun.open(folder)
                name_by(folder, run.clusters, images.hints)
                run.calibrate(splits)
                self.collections_ = run.collections
        self.model_, self.config_, self.calibration_ = run.model, run.settings, run.calibration
        self.evidence_ = run.evidence if features is not None else None
        rows = None if known is None else known.rows(range(len(images)), "X")
        self.labels_ = run.answers(images.pixels, rows).cluster
        return self

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
                "mirror": chosen_mirror(self.mirror),
                "clusters": self.n_clusters,
            },
            "train": {"epochs": self.max_epochs, "seed": int(seed)},
        }
        if self.minutes is not None:
            values["train"]["minutes"] = float(self.minutes)
        for part, changes in (self.settings or {}).items():
            values[part] = values.get(part, {}) | changes
        return Config.from_dict({"preset": "quick" if self.quick else "default", **values})

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that the latents are always float32, whatever type X has."""
        tags = super().__sklearn_tags__()
        assert tags.transformer_tags is not None
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Keep the network as safetensors, so that loading the file cannot run code."""
        state: dict[str, Any] = {**super().__getstate__()}  # pyright: ignore[reportGeneralTypeIssues]
        state.pop("_seen", None)  # images stay with whoever has them
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


def prepared(source: Source, config: Config) -> tuple[Recipe, Images]:
    """Return how the images of a source are brought to one form, and all of them in this form.

    Args:
        source: of X.
        config: settings, with what was chosen for this source.

    Raises:
        UserError: an image cannot be used.
    """
    if source.survey is not None:
        recipe = source.survey.recipe
        return recipe, source.images(recipe)[0]
    shape = source.load().train.shape  # of a source whose images have one form already
    recipe = recipe_for(config.data, shape)
    return recipe, source.images(recipe)[0]
