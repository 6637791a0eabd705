"""Files of people's own as images of one form: the recipe found, frames read, labels attached."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.arrays import MAX_SIDE, Images
from mcevae.images.readers import (
    ARRAYS,
    LISTS,
    Fault,
    Frame,
    Unreadable,
    files_of,
    frames_of,
    from_archive,
)
from mcevae.images.recipe import SIDE, Recipe, Survey, floats, survey

Track = Callable[[list[Path]], Iterable[Path]]
SAMPLE = 512
"""Frames that a recipe is found from."""


def nothing(source: Path, faults: list[Fault]) -> UserError:
    """What to say when no image of a source can be used."""
    first = faults[0]
    where = "" if first.name == source.name else f"no image can be used; {first.name} "
    return UserError(f"{source}: {where}{first.reason}.")


def name_of(path: Path, source: Path) -> str:
    """What a file is called: its path below a folder, as a list has it, or its own name.

    Bytes of names that are no UTF-8 are written as \\xNN, since no table could hold them.
    """
    if source.is_dir():
        name = path.relative_to(source).as_posix()
    elif source.suffix.lower() == LISTS:
        inside = path.is_relative_to(source.parent)
        name = (path.relative_to(source.parent) if inside else path).as_posix()
    else:
        name = path.name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def frames(source: Path, track: Track = iter) -> Iterator[Frame | Fault]:
    """Frames and faults of all files of a source, in the order of their names.

    Args:
        source: as for `files_of`.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: as `files_of`.
    """
    for path in track(files_of(source)):
        yield from frames_of(path, name_of(path, source))


def sample(source: Path, normalise: str = "auto") -> list[Frame]:
    """Some frames from all over a source, of which each can be used.

    Args:
        source: as for `files_of`.
        normalise: as in the settings; none asks for values inside the range.

    Raises:
        UserError: as `files_of`, or none can be used.
    """
    files = files_of(source)
    chosen = files[:: max(1, len(files) // SAMPLE)]
    share = max(1, SAMPLE // len(chosen))
    found, faults = [], []
    for path in chosen:
        for one in islice(frames_of(path, name_of(path, source)), share):
            if isinstance(one, Frame):
                try:
                    floats(one.pixels, "none" if normalise == "none" else "image", None)
                except Unreadable as error:
                    faults.append(Fault(one.name, str(error)))
                else:
                    found.append(one)
            else:
                faults.append(one)
    if not found:
        raise nothing(source, faults)
    return found


def look(source: Path, settings: DataConfig) -> Survey:
    """Find the recipe for a source, keeping to what the settings give.

    Raises:
        UserError: as `sample`.
    """
    found = survey(
        sample(source, settings.normalise),
        size=settings.size,
        most=MAX_SIDE if source.suffix.lower() in ARRAYS else SIDE,
        fit=settings.fit,
        channels=settings.colour,
        normalise=settings.normalise,
        background=settings.background,
    )
    if settings.normalise == "set" and settings.levels is not None:
        found = replace(found, recipe=replace(found.recipe, levels=settings.levels))
    return found


def is_split_archive(path: Path) -> bool:
    """Whether a file is a .npz with training and test images of its own."""
    if path.suffix.lower() != ".npz" or not is_zipfile(path):
        return False
    try:
        with ZipFile(path) as archive:
            return "x_train.npy" in archive.namelist()
    except Exception:  # what is damaged is for `readers` to tell
        return False


def recipe_for(settings: DataConfig, shape: tuple[int, int, int]) -> Recipe:
    """The recipe of a run, from its settled settings and the shape (C, H, W) of its model.

    Raises:
        UserError: the settings are not settled.
    """
    if settings.normalise == "set" and settings.levels is None:
        raise UserError("the run's settings have no levels to --normalise its images by.")
    channels, height, width = shape
    return Recipe(
        normalise="none" if settings.normalise == "auto" else settings.normalise,
        levels=settings.levels,
        channels=channels,
        background=settings.background_level,
        fit=settings.fit,
        shape=(height, width),
    )


def prepared(
    one: Frame | Fault, recipe: Recipe, source: Path, settings: DataConfig
) -> Tensor | Fault:
    """A frame as an image for the model, or why it cannot be one.

    Raises:
        UserError: it cannot, and `on_error` is stop.
    """
    try:
        if isinstance(one, Fault):
            raise Unreadable(one.reason)
        return recipe(one)
    except Unreadable as error:
        if settings.on_error == "stop":
            raise UserError(f"{source}: {one.name} {error}.") from error
        return Fault(one.name, str(error))


def read(source: Path, settings: DataConfig, track: Track = iter) -> tuple[Images, list[Fault]]:
    """All images of a source in one form, with names and labels, and what could not be used.

    Args:
        source: as for `files_of`.
        settings: how; what they leave open is found from a sample.
        track: wraps the files, a progress bar say.

    Raises:
        UserError: nothing can be read; anything cannot, and `on_error` is stop; or the labels are
            not there.
    """
    recipe = look(source, settings).recipe
    images, names, faults = [], [], []
    for one in frames(source, track):
        image = prepared(one, recipe, source, settings)
        if isinstance(image, Fault):
            faults.append(image)
        else:
            images.append(image)
            names.append(one.name)
    if not images:
        raise nothing(source, faults)
    found = Images(name=str(source), pixels=torch.stack(images), names=np.asarray(names))
    return labelled(found, source, settings.labels), faults


def labelled(images: Images, source: Path, labels: str | None) -> Images:
    """Images with labels from the names of their folders, a table, or the array of a .npz.

    Args:
        images: with names.
        source: where they came from.
        labels: "folders": the first folder of each image's path below the source; the path of a
            .csv with the columns file and label; None: those of a .npz, if it has any.

    Raises:
        UserError: labels are asked for and not there.
    """
    assert images.names is not None
    if labels is None:
        return images if source.suffix.lower() != ".npz" else archived(images, source)
    label_of = labeller(labels)
    words = [label_of(name) for name in images.names.tolist()]
    kinds, numbers = np.unique(words, return_inverse=True)
    return replace(
        images, labels=torch.from_numpy(numbers.astype(np.int64)), label_names=tuple(kinds.tolist())
    )


def labeller(labels: str) -> Callable[[str], str]:
    """What gives the label of an image by its name.

    Args:
        labels: "folders", or the path of a .csv, as for `labelled`.

    Raises:
        UserError: at once, if there is no such table; when called, if an image has no label.
    """
    known = None if labels == "folders" else label_table(Path(labels))

    def label(name: str) -> str:
        if known is None:
            word, missing = name.split("/")[0] if "/" in name else "", "lies in no folder"
        else:
            word = known.get(name, known.get(name.split("#")[0], ""))
            missing = f"has no label in {labels}"
        if not word:
            raise UserError(f"{name} {missing}; correct --labels.")
        return word

    return label


def archived(images: Images, source: Path) -> Images:
    """Images of a .npz with its array `labels`, if it has one that fits."""
    try:
        labels = from_archive(source, "labels")
    except Unreadable as error:
        raise UserError(f"{source}: its array labels {error}.") from error
    if labels is None:
        return images
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{source}: labels are {labels.dtype} of shape {labels.shape}; give {len(images)} "
            "integers, one for each image."
        )
    return replace(images, labels=torch.from_numpy(labels.astype(np.int64)))


def label_table(path: Path) -> dict[str, str]:
    """Labels by file name, from a .csv with the columns file and label.

    Raises:
        UserError: it cannot be read, or has not these columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["file"]: row["label"] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a readable table of labels ({error}).") from error
    except KeyError:
        raise UserError(
            f"{path}: has no columns file and label; add a first line file,label."
        ) from None
