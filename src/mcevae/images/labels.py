"""Read labels from folder names, from a table or from a .npz. They are used for scores only."""

import csv
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from mcevae.base.errors import UserError
from mcevae.base.files import in_cell, read_text
from mcevae.images.arrays import Images
from mcevae.images.readers.arrays import from_archive
from mcevae.images.readers.frames import Unreadable

MOST_TABLE = 2**26
"""Bytes of a table of labels, at most."""


def labelled(images: Images, source: Path, labels: str | None) -> Images:
    """Add labels to images, from folder names, a table, or the array of a .npz.

    Args:
        images: images with names.
        source: path that the images were read from.
        labels: "folders": the label is the first folder in the image's path below the source. Or
            the path of a .csv with the columns file and label. None: the labels in the .npz, if
            it has any.

    Raises:
        UserError: labels were asked for and are missing.
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
    """Make a function that returns the label of an image, given the image's name.

    Args:
        labels: "folders", or the path of a .csv, as in `labelled`.

    Raises:
        UserError: the table cannot be read. The function raises it if an image has no label.
    """
    known = None if labels == "folders" else label_table(Path(labels))

    def label(name: str) -> str:
        if known is None:
            word, missing = name.split("/")[0] if "/" in name else "", "is not in a folder"
        else:
            file = name.split("#")[0]
            names = (name, in_cell(name), file, in_cell(file))  # as our own tables write them
            word = next((known[one] for one in names if one in known), "")
            missing = f"has no label in {labels}"
        if not word:
            raise UserError(f"{name} {missing}; correct --labels.")
        return word

    return label


def archived(images: Images, source: Path) -> Images:
    """Add the array `labels` of a .npz to its images, if there is one.

    Raises:
        UserError: the array cannot be read, or does not fit the images.
    """
    try:
        labels = from_archive(source, "labels")
    except Unreadable as error:
        raise UserError(f"{source}: its array labels {error}.") from error
    if labels is None:
        return images
    known = checked_labels(labels, len(images), f"{source}: labels")
    return replace(images, labels=torch.from_numpy(known))


def label_table(path: Path) -> dict[str, str]:
    """Read labels by file name from a .csv with the columns file and label.

    Raises:
        UserError: the table cannot be read, or these columns are missing.
    """
    try:
        text = read_text(path, MOST_TABLE, follow=True).removeprefix("\ufeff")
        return {row["file"]: row["label"] for row in csv.DictReader(StringIO(text, newline=""))}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a table of labels ({error}).") from error
    except KeyError:
        raise UserError(
            f"{path}: has no columns file and label; make its first line file,label."
        ) from None


def checked_labels(labels: np.ndarray, count: int, name: str) -> np.ndarray:
    """Check labels and convert them to (n,) int64.

    Args:
        labels: labels as stored.
        count: number of images, n.
        name: name of the labels in the error.

    Raises:
        UserError: there is not exactly one integer for each image.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise UserError(
            f"{name} are {labels.dtype} of shape {labels.shape}; give {count} integers, one for "
            "each image."
        )
    return labels.astype(np.int64)
