"""Sort unlabelled images by what they show, and find the pose and the canonical image of each one.

Most users need two names:

    MCEVAE     a scikit-learn estimator: `MCEVAE(n_clusters=10).fit(images).labels_`
    open_run   a run that `mcevae fit` made: `open_run("runs/first").predict("new images")`

For researchers: `Config`, `fit` and `fit_scenes` (settings and training), `load` and `prepare_for`
(images), `build` (networks), `get_group` and `warp` (Lie groups, and images moved by their
elements). `help(mcevae.MCEVAE)` and the like describe each.

Names are imported when they are first used, so that `import mcevae` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

if TYPE_CHECKING:
    __version__: str
    from mcevae.estimator import MCEVAE as MCEVAE
    from mcevae.geometry.groups import get_group as get_group
    from mcevae.geometry.warp import warp as warp
    from mcevae.images.loading import load as load
    from mcevae.models.config import Config as Config
    from mcevae.models.registry import build as build
    from mcevae.run import Run as Run
    from mcevae.run import open_run as open_run
    from mcevae.runs.data import prepare_for as prepare_for
    from mcevae.scenes.fitting import fit_scenes as fit_scenes
    from mcevae.training.loop import fit as fit

_HOME = {
    "MCEVAE": "estimator",
    "Config": "models.config",
    "Run": "run",
    "build": "models.registry",
    "fit": "training.loop",
    "fit_scenes": "scenes.fitting",
    "get_group": "geometry.groups",
    "load": "images.loading",
    "open_run": "run",
    "prepare_for": "runs.data",
    "warp": "geometry.warp",
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mcevae")
    if name not in _HOME:
        raise AttributeError(f"module 'mcevae' has no attribute {name!r}")
    with catch_warnings():
        # tqdm, which others import and we do not use, warns in notebooks.
        filterwarnings("ignore", "IProgress not found")
        return getattr(import_module(f"mcevae.{_HOME[name]}"), name)
