"""A fitted estimator and images as a run's folder, which reports and the explorer can open."""

import csv
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from mcevae.base.errors import UserError
from mcevae.base.files import atomic, real_folder, write_text
from mcevae.exporting import hub
from mcevae.images.arrays import Hints, Images
from mcevae.images.features import Features
from mcevae.images.hints import to_front
from mcevae.images.sources.contract import Source
from mcevae.images.sources.memory import MemorySource
from mcevae.images.sources.paths import PathsSource
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Posed, Splits, split_images
from mcevae.models.config import Config
from mcevae.models.contract import Model
from mcevae.runs import checkpoint
from mcevae.runs.collections import Collections
from mcevae.runs.confidence import Calibration
from mcevae.runs.data import prepare_for
from mcevae.runs.evidence import Evidence
from mcevae.runs.run import TrainedRun

IMAGES, FEATURES, HINTS = "images", "features.npy", "hints.csv"
"""Names, in a run's folder, of what was in memory."""
UNTRAINED_HERE = {"epoch": 0, "step": 0}
"""Position of a checkpoint that did not come from a training in its folder."""


def kept(
    source: Source,
    folder: Path,
    features: Features | None = None,
    hints: Images | str | None = None,
) -> dict[str, Any]:
    """Write what is in memory into a run's folder; return the data settings that find it there.

    Arrays of one shape become images.npz, images that differ a folder of .npy, and a list of paths
    images.txt. Files stay where they are.

    Args:
        source: the images.
        folder: of the run.
        features: of the images; None: there are none.
        hints: the images with what a person said of them, or the path of a table, which stays
            where it is. None: nothing.

    Raises:
        UserError: a file cannot be written.
    """
    real_folder(folder)
    table = hints if isinstance(hints, str) else None
    found: dict[str, Any] = {"source": source.name, "split": "all", "hints": table}
    if isinstance(source, PathsSource):
        found["source"] = str(folder / f"{IMAGES}.txt")
        lines = (f"{path.absolute()}\n" for path in source.paths)
        write_text(folder / f"{IMAGES}.txt", "".join(lines))
    elif isinstance(source, MemorySource):
        found |= written(source.frames(), folder)
    if features is not None:
        found["features"] = str(folder / FEATURES)
        with atomic(folder / FEATURES) as temporary, temporary.open("wb") as file:
            np.save(file, features.rows(range(len(features.values)), source.name).numpy())
    if isinstance(hints, Images) and hints.hints is not None:
        found["hints"] = str(folder / HINTS)
        write_text(folder / HINTS, as_table(hints, hints.hints, Path(found["source"])))
    return found


def as_table(images: Images, hints: Hints, source: Path) -> str:
    """Labels of some images as a table of hints, which knows the images as their source does.

    Args:
        images: all of them, in the order of the source.
        hints: their labels.
        source: the file or folder that the images are kept in.
    """
    form = f"{source.name}#{{}}" if source.suffix == ".npz" else "{:08}.npy"
    names = images.names if source.suffix == ".txt" else None
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")  # not `write_rows`: labels are read as they are
    table.writerow(("file", "label"))
    for i in hints.rows().tolist():
        known = form.format(i) if names is None else names[i]
        table.writerow((known, hints.names[int(hints.of[i])]))
    return text.getvalue()


def written(frames: Any, folder: Path) -> dict[str, Any]:
    """Write images in memory into a run's folder; return the data settings that find them.

    Args:
        frames: the images.
        folder: of the run.
    """
    images = [one.pixels for one in frames]
    if len({(one.shape, one.dtype) for one in images}) == 1:
        path = folder / f"{IMAGES}.npz"
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.savez(file, images=np.stack(images))
        return {"source": str(path), "axes": "NHW" if images[0].ndim == 2 else "NHWC"}
    for i, one in enumerate(images):
        path = real_folder(folder / IMAGES) / f"{i:08}.npy"
        with atomic(path) as temporary, temporary.open("wb") as file:
            np.save(file, one)
    return {"source": str(folder / IMAGES)}


def split_of(images: Images, features: Features | None) -> Splits:
    """Split images for training: one in twelve is held out, and stands in for test images.

    Images with hints are all for training.
    """
    if features is not None:
        images = replace(images, features=features.rows(range(len(images)), "X"))
    train, held, test = to_front(*split_images(images, None, "all"))
    return Splits(train=Posed(images=train), validation=Posed(images=held), test=Posed(images=test))


def write_run(
    folder: Path,
    source: Source,
    *,
    model: Model,
    config: Config,
    calibration: Calibration,
    collections: Collections,
    evidence: Evidence | None = None,
    features: Features | None = None,
) -> TrainedRun:
    """Write what an estimator has learned, and images, into a folder that is a run then.

    It has the same files as a run of `mcevae fit`, but no log of a training. All its images count
    as seen: one in twelve stands in for those that choose and score a model.

    Args:
        folder: new or empty, or one that the estimator was saved in.
        source: images that its pages show.
        model, config, calibration, collections, evidence: of the estimator.
        features: of the images; None: there are none.

    Raises:
        UserError: the images cannot be used, or a file cannot be written.
    """
    found = kept(source, folder, features)
    config = config.changed(data=found)
    data = prepare_for(config)
    about = {
        "config": config.to_dict(),
        "shape": list(data.train.images.shape),
        "data": data.digest(),
        "position": UNTRAINED_HERE,
    }
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    write_text(folder / "settings.toml", config.to_toml())
    for which in checkpoint.WHICH:
        checkpoint.save(checkpoint.run_file(folder, which), tensors, about)
    run = TrainedRun.open(folder)
    calibration.write(folder, run.checkpoint, run.identity)
    collections.write(folder)
    if evidence is not None and features is not None:
        evidence.write(folder, run.checkpoint, run.identity)
    return run


def saved_as_run(folder: Path, images: str | None) -> None:
    """Make a folder that `save_pretrained` filled a run as well, with images to show.

    A folder that is a run already does not change.

    Args:
        folder: the folder.
        images: source of the images, as for `mcevae fit`. None: none are given.

    Raises:
        UserError: it holds a model, but no images are given; it is a run, and some are given; or
            the images cannot be used.
    """
    known = not (folder / hub.CONFIG).is_file() or (folder / "settings.toml").is_file()
    if known and images is not None:
        raise UserError(f"{folder}: is a run, which has its images; leave out --images.")
    if known:
        return
    if images is None:
        raise UserError(f"{folder}: is a saved model without images; add --images SOURCE.")
    _, found = hub.read(folder)
    size = found.recipe.shape[0] if len(set(found.recipe.shape)) == 1 else None
    chosen = {**found.recipe.settings(), "size": size, "on_error": "skip", "source": images}
    config = found.config.changed(data=chosen)
    write_run(
        folder,
        open_source(images, config.data),
        model=found.model,
        config=config,
        calibration=found.calibration,
        collections=found.collections,
    )
