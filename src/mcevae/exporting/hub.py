"""Save fitted estimators to a folder or to the Hugging Face hub, and read them back.

Weights are safetensors and everything else is JSON, so reading a folder runs no code from it.
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import check_regular, digest, read_text, write_text
from mcevae.exporting.card import card
from mcevae.images.recipe import Recipe
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.models.own_group import OwnGroup
from mcevae.runs.checkpoint import filled, load, run_file, save
from mcevae.runs.checkpoint import part as part_of
from mcevae.runs.collections import FILE as GROUPS
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import FILE as CALIBRATION
from mcevae.runs.confidence import Calibration
from mcevae.runs.evidence import FILE as FEATURES
from mcevae.runs.evidence import Evidence
from mcevae.runs.infer import latent_sizes
from mcevae.runs.run import TrainedRun

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
FORMAT = 1
"""Increase this when config.json changes and older versions of mcevae cannot read it."""
PARAMETERS = {
    ("model", "clusters"): "n_clusters",
    ("model", "group"): "group",
    ("model", "mirror"): "mirror",
    ("support", "rotation"): "rotation",
    ("support", "shift"): "shift",
    ("train", "epochs"): "max_epochs",
    ("train", "minutes"): "minutes",
    ("train", "seed"): "random_state",
    ("data", "background"): "background",
}
"""Settings (part, name) for which the estimator has a parameter, and the parameter's name."""
EVIDENCE = "evidence"
"""Prefix of the tensors of `Fitted.evidence`."""
MISSING = "the hub needs huggingface_hub; pip install 'mcevae[hub]'"


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What an estimator has learned. Its attributes have these names, with `_` at the end.

    Attributes:
        model: model in evaluation mode.
        config: all settings.
        recipe: how images are converted to the form that the network takes.
        calibration: calibration of confidence and outlier score.
        collections: how people have turned the frames of clusters.
        evidence: what features say about clusters; None: it was fitted without features.
        image_shape: shape of an image of X; None: any.
        n_features_in: how many numbers an image of X has; None: any.
        feature_names_in: names of the columns of X, if it had names.
    """

    model: Model
    config: Config
    recipe: Recipe
    calibration: Calibration
    collections: Collections
    evidence: Evidence | None = None
    image_shape: tuple[int, ...] | None = None
    n_features_in: int | None = None
    feature_names_in: NDArray[np.object_] | None = None


def write(
    folder: Path, parameters: dict[str, Any], fitted: Fitted, name: str | None = None
) -> None:
    """Write model.safetensors, config.json and the model card README.md.

    Paths of this machine are left out. Existing files with these names are replaced.

    Args:
        folder: folder to write to; it is created if it does not exist.
        parameters: parameters of the estimator: values of JSON, or NumPy numbers.
        fitted: what the estimator has learned.
        name: name in the card with which the model is loaded; None: the name of the folder.

    Raises:
        UserError: a file cannot be written.
    """
    config, names = fitted.config, fitted.feature_names_in
    # The group itself, not the path of its file.
    parameters = {**parameters, "group": config.model.group}
    source = "X" if config.data.is_file else config.data.source
    gone = dict.fromkeys(("labels", "label_column", "file_column", "features", "hints", "kept"))
    config = config.changed(data={"source": source, **gone})
    tensors = fitted.model.state_dict()
    if fitted.evidence is not None:
        tensors |= {f"{EVIDENCE}.{k}": v for k, v in fitted.evidence.tensors().items()}
    save(folder / WEIGHTS, tensors, {})
    content = {
        "mcevae_format": FORMAT,
        "parameters": parameters,
        "settings": config.to_dict(),
        "recipe": asdict(fitted.recipe),
        "calibration": asdict(fitted.calibration),
        "groups": json.loads(fitted.collections.to_json()),
        "image_shape": fitted.image_shape,
        "n_features_in": fitted.n_features_in,
        "feature_names_in": None if names is None else list(names),
        "weights": digest(folder / WEIGHTS),
    }
    about = card(
        name or folder.name,
        as_json(parameters),
        config,
        fitted.recipe,
        shape=fitted.image_shape,
        calibrated_on=fitted.calibration.n,
    )
    write_text(folder / CARD, about)
    # Last, since it has the digest of the weights.
    write_text(folder / CONFIG, as_json(content) + "\n")


def as_json(content: dict[str, Any]) -> str:
    """Write content as JSON. NumPy numbers become plain ones, and your own group a table."""
    return json.dumps(
        content,
        indent=1,
        default=lambda value: asdict(value) if isinstance(value, OwnGroup) else value.item(),
    )


def read(folder: Path) -> tuple[dict[str, Any], Fitted]:
    """Read the parameters of an estimator and what it has learned.

    Args:
        folder: folder that `write` filled, or a run of `mcevae fit`.

    Raises:
        UserError: the folder is neither of these, is damaged, or needs another version.
    """
    if os.path.lexists(folder / CONFIG):
        return saved(folder)
    best = run_file(folder, "best")
    if os.path.lexists(best):
        return trained(folder)
    raise UserError(
        f"{folder}: holds no model; give a folder that save_pretrained made (with {CONFIG}), or a "
        f"run of `mcevae fit` (with {best.name})."
    )


def saved(folder: Path) -> tuple[dict[str, Any], Fitted]:
    """Read a folder that `write` filled, see `read`."""
    path, weights = folder / CONFIG, folder / WEIGHTS
    try:
        content = json.loads(read_text(path))
        if content["mcevae_format"] != FORMAT:
            raise UserError(
                f"{path}: written by another version of mcevae (format "
                f"{content['mcevae_format']}, this one reads {FORMAT}); upgrade mcevae."
            )
        there = os.path.lexists(weights)
        if there:
            check_regular(weights)
        if not there or digest(weights) != content["weights"]:
            raise UserError(
                f"{weights}: is missing, damaged or from another model; save or download it again."
            )
        config = Config.from_dict(content["settings"], str(path))
        recipe = Recipe(**{k: as_tuple(v) for k, v in content["recipe"].items()})
        names = content["feature_names_in"]
        shape = recipe.channels, *recipe.shape
        tensors = load(weights)[0]
        told = part_of(tensors, EVIDENCE)
        network = {k: v for k, v in tensors.items() if not k.startswith(f"{EVIDENCE}.")}
        model = filled(config, shape, network)
        clusters = latent_sizes(model, shape)["responsibilities"]
        return {**content["parameters"], "group": config.model.group}, Fitted(
            model=model,
            config=config,
            recipe=recipe,
            calibration=Calibration.from_dict(content["calibration"]).fitting(clusters),
            collections=groups_in(content, clusters),
            evidence=Evidence.of(told, clusters) if told else None,
            image_shape=as_tuple(content["image_shape"]),
            n_features_in=content["n_features_in"],
            feature_names_in=None if names is None else np.asarray(names, object),
        )
    except (RuntimeError, *DAMAGE) as error:
        raise UserError(
            f"{path}: is damaged, or was not saved by mcevae ({type(error).__name__}: {error})."
        ) from error


def groups_in(content: dict[str, Any], clusters: int) -> Collections:
    """Read the groups of a saved model with K clusters. Older ones have none.

    Raises:
        Exception: one of the types in `DAMAGE`: they are damaged or do not fit.
    """
    if "groups" not in content:
        return Collections.plain(clusters)
    found = Collections.from_dict(content["groups"])
    if found.clusters != clusters:
        raise ValueError(f"groups of {found.clusters} clusters, not {clusters}")
    return found


def as_tuple(value: Any) -> Any:
    """Convert a list from JSON back to a tuple. Other values do not change."""
    return tuple(value) if isinstance(value, list) else value


def trained(run: Path) -> tuple[dict[str, Any], Fitted]:
    """Read a run, see `read`. New images may have any size, like the images of its source."""
    opened = TrainedRun.open(run)
    config = opened.settings
    if config.preset != "default":
        raise UserError(
            f"{run}: has preset {config.preset}, but the estimator reads runs of preset default "
            "only; open it with mcevae.open_run."
        )
    return parameters_of(config), Fitted(
        model=opened.model,
        config=config,
        recipe=opened.recipe,
        calibration=opened.calibration,
        collections=opened.collections.of_other_images(),  # whose names are private
        evidence=opened.evidence if config.data.features is not None else None,
    )


def parameters_of(config: Config) -> dict[str, Any]:
    """The parameters with which the estimator trains in the same way as a run of these settings."""
    parameters: dict[str, Any] = {}
    settings: dict[str, dict[str, Any]] = {}
    usual = Config()
    for part in dataclasses.fields(Config)[1:]:  # all but the preset
        for name, value in vars(getattr(config, part.name)).items():
            if (part.name, name) in PARAMETERS:
                parameters[PARAMETERS[part.name, name]] = value
            elif part.name != "data" and value != getattr(getattr(usual, part.name), name):
                settings.setdefault(part.name, {})[name] = value
    return {**parameters, "settings": settings or None}


@contextmanager
def fetched(
    name: str | Path, revision: str | None = None, token: str | None = None
) -> Iterator[Path]:
    """Give the folder of a model: on this machine, else in the hub's cache, else on the hub.

    The cache of the hub has links, which are not followed in a stranger's folder. So its files are
    copied into a folder of their own while they are read.

    Args:
        name: path of a folder, or owner/name of a model on the hub.
        revision: branch, tag or commit on the hub.
        token: token for private models; None: the one that `hf auth login` saved.

    Raises:
        UserError: there is no such model, the hub cannot be reached, or huggingface_hub is not
            installed.
    """
    if Path(name).is_dir():
        yield Path(name)
        return
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"{name}: is not a folder here, and {MISSING}.") from None
    wanted = [CONFIG, WEIGHTS, run_file(Path(), "best").name, CALIBRATION, GROUPS, FEATURES]
    try:
        cached = Path(
            snapshot_download(str(name), revision=revision, token=token, allow_patterns=wanted)
        )
    except Exception as error:  # names, the hub and the network raise many types
        raise UserError(
            f"{name}: is not a folder here, and cannot be downloaded from the hub "
            f"({in_short(error)}); check the name and the network."
        ) from error
    with TemporaryDirectory() as folder:
        for path in (cached / each for each in wanted):
            if path.is_file():
                shutil.copyfile(path, Path(folder) / path.name)
        yield Path(folder)


def push(
    repo_id: str,
    parameters: dict[str, Any],
    fitted: Fitted,
    *,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Upload the files of `write` to the hub, in one commit. Create the model if it is new.

    Args:
        repo_id: owner/name of the model.
        parameters: parameters of the estimator.
        fitted: what the estimator has learned.
        private: whether a new model is private; None: the owner's default.
        token: token of the hub; None: the one that `hf auth login` saved.

    Returns:
        The address of the model.

    Raises:
        UserError: the hub refuses, it cannot be reached, or huggingface_hub is not installed.
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
    """The type and the first line of an error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
