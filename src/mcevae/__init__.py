"""Sort unlabelled images by what they show, and give back each one's pose and canonical image.

Names are imported when they are first used, so that `import mcevae` is quick.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcevae.build import build as build
    from mcevae.checkpoint import load_model as load_model
    from mcevae.config import Config as Config
    from mcevae.data import load as load
    from mcevae.data import prepare_for as prepare_for
    from mcevae.estimator import MCEVAE as MCEVAE
    from mcevae.groups import get_group as get_group
    from mcevae.infer import embed as embed
    from mcevae.metrics import evaluate as evaluate
    from mcevae.train import fit as fit
    from mcevae.warp import warp as warp

_HOME = {
    "MCEVAE": "estimator",
    "Config": "config",
    "build": "build",
    "embed": "infer",
    "evaluate": "metrics",
    "fit": "train",
    "get_group": "groups",
    "load": "data",
    "load_model": "checkpoint",
    "prepare_for": "data",
    "warp": "warp",
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mcevae' has no attribute {name!r}")
    return getattr(import_module(f"mcevae.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Importing a module sets it in its package; two here are called as the functions they hold."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
