"""Labels of images, for scores alone: from folders, a table, or the arrays of a .npz."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mcevae.base.errors import UserError
from mcevae.images.arrays import Images
from mcevae.images.readers.arrays import from_archive
from mcevae.images.readers.frames import Unreadable


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
    known = checked_labels(labels, len(images), f"{source}: labels")
    return replace(images, labels=torch.from_numpy(known))


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


def checked_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Labels as (n,) int64.

    Args:
        labels: as they are stored.
        count: of the images, n.
        name: what the error calls them.

    Raises:
        UserError: they are not one integer for each image.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} are {labels.dtype} of shape {labels.shape}; give {count} integers, one for "
            "each image."
        )
    return labels.astype(np.int64)
