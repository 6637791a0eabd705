"""Save, share and read back an estimator, and name its parameters in errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from mcevae.base.errors import UserError, as_parameter, naming
from mcevae.exporting import hub
from mcevae.images.readers.frames import Unreadable
from mcevae.models.config import PART_TYPES, Config

E = TypeVar("E", bound="Pretrained")


def parameter_of(setting: str) -> str:
    """The estimator's name for a setting, such as max_epochs or settings["train"]["lr"]."""
    for (_, name), parameter in hub.PARAMETERS.items():
        if name == setting:
            return parameter
    for part, kind in PART_TYPES.items():
        if setting in {field.name for field in fields(kind)}:
            return f'settings["{part}"]["{setting}"]'
    return as_parameter(setting)


@contextmanager
def value_errors() -> Iterator[None]:
    """Turn errors that users can correct into ValueError, as scikit-learn expects.

    Raises:
        ValueError: the error, with the estimator's names for settings.
    """
    with naming(parameter_of):
        try:
            yield
        except (UserError, Unreadable) as error:
            raise ValueError(str(error)) from error


class Pretrained(BaseEstimator):
    """An estimator with the fitted attributes of `hub.Fitted`, each with `_` at its end."""

    config_: Config

    @classmethod
    def from_pretrained(
        cls: type[E], name: str | Path, *, revision: str | None = None, token: str | None = None
    ) -> E:
        """Load a fitted estimator. It gives the same numbers as the one that was saved.

        Args:
            name: a folder that `save_pretrained` filled; a run of `mcevae fit` (give it images as
                they are in the files, in any size); or owner/name on the Hugging Face hub (extra
                `hub`). Loading runs no code from there.
            revision: branch, tag or commit on the hub.
            token: token for private models on the hub; None: the one that `hf auth login` saved.

        Raises:
            ValueError: there is no such model, it is damaged, or it needs another version.
        """
        with value_errors(), hub.fetched(name, revision, token) as folder:
            parameters, found = hub.read(folder)
            try:
                made = cls(**parameters)
            except TypeError as error:
                raise UserError(f"{name}: does not fit {cls.__name__} ({error}).") from error
        for attribute, value in vars(found).items():
            if value is not None or attribute == "image_shape":
                setattr(made, f"{attribute}_", value)
        return made

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model.safetensors, config.json and a model card README.md for `from_pretrained`.

        The parameter `run`, paths and `labels_` are left out. A generator in `random_state` is
        replaced by the seed that was drawn from it.

        Args:
            folder: folder to write to; it is created if it does not exist.

        Raises:
            ValueError: the files cannot be written.
        """
        with value_errors():
            hub.write(Path(folder), *self._learned())

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub (extra `hub`).

        Args:
            repo_id: owner/name of the model. It is created if it does not exist.
            private: whether a new model is private; None: the owner's default.
            token: token of the hub; None: the one that `hf auth login` saved.

        Returns:
            The address of the model.

        Raises:
            ValueError: the hub refuses or cannot be reached.
        """
        with value_errors():
            return hub.push(repo_id, *self._learned(), private=private, token=token)

    def _learned(self) -> tuple[dict[str, Any], hub.Fitted]:
        """The parameters and attributes that also work on another machine."""
        check_is_fitted(self)
        parameters = self.get_params(deep=False)
        parameters.pop("run", None)
        if "random_state" in parameters:
            parameters["random_state"] = self.config_.train.seed
        names = [field.name for field in fields(hub.Fitted)]
        learned: dict[str, Any] = {name: getattr(self, f"{name}_", None) for name in names}
        return parameters, hub.Fitted(**learned)
