"""Sort unlabelled images by what they show, and give back each one's pose and canonical image.

Names are imported when they are first used, so that `import mcevae` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcevae.estimator import MCEVAE as MCEVAE
    from mcevae.geometry.groups import get_group as get_group
    from mcevae.geometry.warp import warp as warp
    from mcevae.images.datasets import load as load
    from mcevae.models.config import Config as Config
    from mcevae.models.registry import build as build
    from mcevae.runs.checkpoint import load_model as load_model
    from mcevae.runs.data import prepare_for as prepare_for
    from mcevae.runs.infer import embed as embed
    from mcevae.runs.metrics import evaluate as evaluate
    from mcevae.training.loop import fit as fit

_HOME = {
    "MCEVAE": "estimator",
    "Config": "models.config",
    "build": "models.registry",
    "embed": "runs.infer",
    "evaluate": "runs.metrics",
    "fit": "training.loop",
    "get_group": "geometry.groups",
    "load": "images.datasets",
    "load_model": "runs.checkpoint",
    "prepare_for": "runs.data",
    "warp": "geometry.warp",
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mcevae' has no attribute {name!r}")
    return getattr(import_module(f"mcevae.{_HOME[name]}"), name)
