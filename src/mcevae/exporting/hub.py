"""Fitted estimators in a folder of their own, which people can share, and on the Hugging Face hub.

Weights are safetensors and all else is JSON: reading a folder runs no code of its own.
"""

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import digest, write_text
from mcevae.images.folder import recipe_for
from mcevae.images.recipe import Recipe
from mcevae.models.config import Config, default
from mcevae.models.registry import Model
from mcevae.runs.checkpoint import filled, load, load_model, run_file, save
from mcevae.runs.confidence import FILE as CALIBRATION
from mcevae.runs.confidence import Calibration
from mcevae.runs.infer import default_device

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
"""Raised when config.json changes so that older versions of mcevae cannot read it."""
MISSING = "the hub needs huggingface_hub; pip install 'mcevae[hub]'"

CARD_TEXT = """---
library_name: mcevae
pipeline_tag: image-feature-extraction
tags:
- clustering
- pose-estimation
- equivariance
---

# Clusters and poses of images

An mcevae model, learned without labels. Of each image it tells the cluster ({clusters}), the pose
in the group {group} (rotations up to {rotation:g}° either way, shifts up to {shift:g} of the image
side), and the canonical image: what it looks like free of its pose.

```python
from mcevae import MCEVAE  # pip install 'mcevae[hub]'

model = MCEVAE.from_pretrained("{name}")
model.predict(images)    # (n,) clusters
model.pose(images)       # (n, 3, 3) what moves each canonical image onto its image
model.canonical(images)  # (n, {picture}), 0 to 1
model.confidence(images), model.outlier(images)
```

## Images

{images}. The network sees {width} x {height} pixels, {recipe}; images are brought to this form as
those that it was fitted to.

Confidence and outlier score were calibrated on {n} of those images, which were held out. Clusters
are numbered as they were found; what they show is for people to say. No scores come with the model:
measure it on images of your own kind.

## Settings

All are in `config.json`; those of the estimator:

```json
{parameters}
```
"""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What an estimator has learned; its attributes are called like these, with `_` at the end.

    Attributes:
        model: in evaluation mode.
        config: all settings.
        recipe: how images are brought to the form that the network takes.
        calibration: of confidence and outlier score.
        image_shape: of an image of X; None: any.
        n_features_in: numbers of an image of X; None: any.
        feature_names_in: names of the columns of X, where it had some.
    """

    model: Model
    config: Config
    recipe: Recipe
    calibration: Calibration
    image_shape: tuple[int, ...] | None = None
    n_features_in: int | None = None
    feature_names_in: NDArray[np.object_] | None = None


def write(
    folder: Path, parameters: dict[str, Any], fitted: Fitted, name: str | None = None
) -> None:
    """Write model.safetensors, config.json and the model card README.md.

    Paths of this machine are left out. Files of these names are written over.

    Args:
        folder: is made if need be.
        parameters: of the estimator, numbers and names that JSON has, or NumPy's.
        fitted: what it has learned.
        name: by which the card says it is loaded; None: that of the folder.

    Raises:
        UserError: a file cannot be written.
    """
    config, names = fitted.config, fitted.feature_names_in
    source = "X" if config.data.is_file else config.data.source
    config = config.changed(data={"source": source, "labels": None})
    save(folder / WEIGHTS, fitted.model.state_dict(), {})
    content = {
        "mcevae_format": FORMAT,
        "parameters": parameters,
        "settings": config.to_dict(),
        "recipe": asdict(fitted.recipe),
        "calibration": asdict(fitted.calibration),
        "image_shape": fitted.image_shape,
        "n_features_in": fitted.n_features_in,
        "feature_names_in": None if names is None else list(names),
        "weights": digest(folder / WEIGHTS),
    }
    write_text(folder / CARD, card(parameters, fitted, name or folder.name))
    write_text(folder / CONFIG, as_json(content) + "\n")  # last: it vouches for the weights


def as_json(content: dict[str, Any]) -> str:
    """JSON, with NumPy's numbers as plain ones."""
    return json.dumps(content, indent=1, default=lambda number: number.item())


def card(parameters: dict[str, Any], fitted: Fitted, name: str) -> str:
    """The model card: what it is, how to load it, its images and settings."""
    recipe, settings = fitted.recipe, fitted.config
    height, width = recipe.shape
    clusters, of = settings.model.clusters, fitted.image_shape
    return CARD_TEXT.format(
        clusters="their number chosen by the images" if clusters == "auto" else f"of {clusters}",
        group=settings.model.group,
        rotation=settings.support.rotation,
        shift=settings.support.shift,
        name=name,
        images=f"Arrays (n, {', '.join(map(str, of))})" if of else "Arrays of images of any size",
        picture=f"{height}, {width}" + (", 3" if recipe.channels == 3 else ""),
        height=height,
        width=width,
        recipe=recipe.in_words(),
        n=fitted.calibration.n,
        parameters=as_json(parameters),
    )


def read(folder: Path) -> tuple[dict[str, Any], Fitted]:
    """Parameters of an estimator and what it has learned.

    Args:
        folder: that `write` filled, or a run of `mcevae fit`.

    Raises:
        UserError: it is neither, or damaged, or of another version.
    """
    if (folder / CONFIG).is_file():
        return saved(folder)
    best = run_file(folder, "best")
    if best.is_file():
        return trained(folder)
    raise UserError(
        f"{folder}: holds no model; give a folder with {CONFIG}, as save_pretrained makes, or with "
        f"{best.name}, as `mcevae fit` does."
    )


def saved(folder: Path) -> tuple[dict[str, Any], Fitted]:
    """As `read`, of a folder that `write` filled."""
    path, weights = folder / CONFIG, folder / WEIGHTS
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["mcevae_format"] != FORMAT:
            raise UserError(
                f"{path}: written by another version of mcevae (format "
                f"{content['mcevae_format']}, this one reads {FORMAT}); upgrade mcevae."
            )
        if not weights.is_file() or digest(weights) != content["weights"]:
            raise UserError(
                f"{weights}: is missing, damaged or of another model; save or download it again."
            )
        config = Config.from_dict(content["settings"], str(path))
        recipe = Recipe(**{k: as_tuple(v) for k, v in content["recipe"].items()})
        names = content["feature_names_in"]
        return content["parameters"], Fitted(
            model=filled(config, (recipe.channels, *recipe.shape), load(weights)[0]),
            config=config,
            recipe=recipe,
            calibration=Calibration.from_dict(content["calibration"]),
            image_shape=as_tuple(content["image_shape"]),
            n_features_in=content["n_features_in"],
            feature_names_in=None if names is None else np.asarray(names, object),
        )
    except (RuntimeError, *DAMAGE) as error:
        raise UserError(
            f"{path}: is damaged, or not of a model that mcevae saved "
            f"({type(error).__name__}: {error})."
        ) from error


def as_tuple(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(value) if isinstance(value, list) else value


def trained(run: Path) -> tuple[dict[str, Any], Fitted]:
    """As `read`, of a run; its images may have any size, as those of its source."""
    model, config, state = load_model(run, device=default_device())
    if config.preset != "default":
        raise UserError(
            f"{run}: is a run of preset {config.preset}, but the estimator is of preset default; "
            "read it with mcevae.load_model."
        )
    channels, height, width = state["shape"]
    return parameters_of(config), Fitted(
        model=model,
        config=config,
        recipe=recipe_for(config.data, (channels, height, width)),
        calibration=Calibration.read(run),
    )


def parameters_of(config: Config) -> dict[str, Any]:
    """Parameters by which the estimator would be fitted as a run of these settings was."""
    own = {
        ("model", "clusters"): "n_clusters",
        ("model", "group"): "group",
        ("support", "rotation"): "rotation",
        ("support", "shift"): "shift",
        ("train", "epochs"): "max_epochs",
        ("train", "minutes"): "minutes",
        ("train", "seed"): "random_state",
        ("data", "background"): "background",
    }
    parameters: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    usual = default()
    for part in dataclasses.fields(Config)[1:]:  # all but the preset
        for name, value in asdict(getattr(config, part.name)).items():
            if (part.name, name) in own:
                parameters[own[part.name, name]] = value
            elif part.name != "data" and value != getattr(getattr(usual, part.name), name):
                settings.setdefault(part.name, {})[name] = value
    return {**parameters, "settings": settings or None}


def fetch(name: str | Path, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model: a local one as it is, else downloaded from the hub or its cache.

    Args:
        name: path of a folder, or owner/name of a model on the hub.
        revision: branch, tag or commit there.
        token: for private models; None: the one that the hub's own login keeps.

    Raises:
        UserError: it is neither, the hub cannot be reached, or huggingface_hub is not installed.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"{name}: is no folder here, and {MISSING}.") from None
    wanted = [CONFIG, WEIGHTS, run_file(Path(), "best").name, CALIBRATION]
    try:
        return Path(
            snapshot_download(str(name), revision=revision, token=token, allow_patterns=wanted)
        )
    except Exception as error:  # names, the hub and the network raise many types
        raise UserError(
            f"{name}: is no folder here, and the hub does not give it ({in_short(error)}); check "
            "the name and the network."
        ) from error


def push(
    repo_id: str,
    parameters: dict[str, Any],
    fitted: Fitted,
    *,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Upload what `write` writes as one commit to a model of the hub, which is made if need be.

    Args:
        repo_id: owner/name.
        parameters: of the estimator.
        fitted: what it has learned.
        private: whether a new one is; None: as its owner has it.
        token: None: the one that the hub's own login keeps.

    Returns:
        Its address.

    Raises:
        UserError: the hub refuses or cannot be reached, or huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError(f"{repo_id}: {MISSING}.") from None
    with TemporaryDirectory() as folder:
        try:
            api = HfApi(token=token, library_name="mcevae")
            place = api.create_repo(repo_id, private=private, exist_ok=True)
            write(Path(folder), parameters, fitted, place.repo_id)
            api.upload_folder(
                repo_id=place.repo_id, folder_path=folder, commit_message="Upload with mcevae"
            )
        except UserError:
            raise
        except Exception as error:  # names, the hub and the network raise many types
            raise UserError(
                f"{repo_id}: cannot be uploaded ({in_short(error)}); log in with `hf auth login`, "
                "and check the name and the network."
            ) from error
    return str(place)


def in_short(error: Exception) -> str:
    """Type and first line of an error."""
    first, *_ = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}"
