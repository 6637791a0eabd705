"""Labels of any kind, as numbers and names. They are used for scores only.

They come from names of folders, from a table (`label_tables`), from a column of the source's own
table, or from an array. An image without a label has the number `MISSING`, and is left out of
scores.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from mcevae.base.config import FilesConfig
from mcevae.base.errors import UserError
from mcevae.base.names import path_of
from mcevae.images.arrays import MISSING, Images
from mcevae.images.label_tables import in_short, plain, read_labels
from mcevae.images.readers.arrays import arrays_in, from_file, names_in
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.reading import Notes

FOLDERS = "folders"
LABELS_OF = {
    **{"images": "labels", "x_train": "y_train", "x_val": "y_val", "x_test": "y_test"},
    **{f"{part}_images": f"{part}_labels" for part in ("train", "val", "test")},
}
"""For the usual names of arrays of images in a .npz, those of the arrays with their labels."""


def labelled(
    images: Images,
    source: Path,
    settings: FilesConfig,
    notes: Notes,
    total: int,
    own: Mapping[str, str] | None = None,
) -> Images:
    """Add labels to images, from folder names, a table, or an array.

    Args:
        images: images with names.
        source: path that the images were read from.
        settings: where labels come from. Without any: the array of labels of a .npz, if it has one.
        notes: get what is said of the labels.
        total: number of images of the source, with those that cannot be used.
        own: as in `labeller`.

    Raises:
        UserError: labels were asked for, and no image has one.
    """
    assert images.names is not None
    given = settings.labels or settings.label_column
    if given is None:
        if source.suffix.lower() != ".npz" or not source.is_file():
            return images
        words = words_in(source, own_labels(source), images, total, notes)
        return images if words is None else with_words(images, words)
    names: list[str] = images.names.tolist()
    if is_array(settings.labels):
        array = words_in(path_of(given), None, images, total, notes)
        words = array or [""] * len(names)
    else:
        label_of = labeller(settings, names, notes, own)
        words = [label_of(name) for name in names]
    check_some(words, names, given)
    without = [name for name, word in zip(names, words, strict=True) if not word]
    if without and not is_array(settings.labels):
        notes.add(
            given,
            f"gives no label to {len(without):,} of {len(names):,} images "
            f"({in_short(without)}), which are left out of scores",
        )
    return with_words(images, words)


def own_labels(path: Path) -> list[str]:
    """The name of the array with the labels of the images of a .npz, or nothing."""
    held = names_in(path)
    beside = [labels for name, labels in LABELS_OF.items() if name in held and labels in held]
    return (["labels"] if "labels" in held else beside)[:1]


def is_array(labels: str | None) -> bool:
    """Whether labels are an array, with one for each image in order."""
    return labels is not None and labels.lower().endswith(".npy")


def labeller(
    settings: FilesConfig,
    names: Iterable[str],
    notes: Notes,
    own: Mapping[str, str] | None = None,
) -> Callable[[str], str]:
    """Make a function that returns the label of an image, given the image's name; "": none.

    Args:
        settings: with labels: "folders", or the path of a table; or with the column of the labels.
        names: of the images, all or a sample of them.
        notes: get which columns of a table are taken, if they were not given.
        own: labels by the names of images, of the column in the source's own table.

    Raises:
        UserError: the table cannot be read, or the labels have no names.
    """
    if settings.labels is None:
        if own is None:
            raise UserError(
                f"--label-column {settings.label_column} is a column of --labels, of --boxes, or "
                "of a STAR or .cs file; give one of them."
            )
        return lambda name: own.get(name, "")
    if is_array(settings.labels):
        raise UserError(
            f"{settings.labels}: has labels without names of images, which a pack needs; give a "
            "table with --labels."
        )
    if settings.labels == FOLDERS:
        return lambda name: name.split("/")[0] if "/" in name else ""
    columns = {name: getattr(settings, name) for name in ("label_column", "file_column")}
    found = read_labels(settings.labels, names, **columns)
    if None in columns.values() and found.columns != ("file", "label"):
        file, label = found.columns
        notes.add(
            settings.labels,
            f"is read with files from column {file} and labels from column {label}; --file-column "
            "and --label-column change that",
        )
    return found


def check_some(words: Sequence[str], names: Sequence[str], labels: str) -> None:
    """Refuse labels that were asked for if no image has one.

    Raises:
        UserError: it is so.
    """
    if not any(words):
        missing = "is in a folder" if labels == FOLDERS else f"has a label in {labels}"
        raise UserError(
            f"no image {missing}, such as {names[0]}; correct --labels or --label-column."
        )


def with_words(
    images: Images, words: Sequence[str], names: tuple[str, ...] | None = None
) -> Images:
    """Add labels to images.

    Args:
        images: without labels.
        words: the label of each image, or "".
        names: all labels of the set; None: those of the words.
    """
    names = kinds_of(words) if names is None else names
    return replace(images, labels=torch.from_numpy(numbered(words, names)), label_names=names)


def kinds_of(words: Iterable[str]) -> tuple[str, ...]:
    """The different labels, sorted: numbers by their size, words by the alphabet."""
    kinds = sorted({word for word in words if word})
    try:
        return tuple(sorted(kinds, key=float))
    except ValueError:
        return tuple(kinds)


def numbered(words: Sequence[str], names: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """The number of each label among the names, `MISSING` where there is none."""
    number = {name: i for i, name in enumerate(names)}
    return np.array([number.get(word, MISSING) for word in words], np.int64)


def words_in(
    path: Path, names: Sequence[str] | None, images: Images, total: int, notes: Notes
) -> list[str] | None:
    """The labels of images in arrays; None if there are none that can be used.

    Args:
        path: of a .npz or .npy.
        names: of arrays in a .npz, one after the other. Arrays that it does not have are left out.
            None: it is a .npy.
        images: the images that can be used, with their places.
        total: number of all images.
        notes: get why labels cannot be used, or how many are missing.

    Raises:
        UserError: the array is damaged, or there is not one label for each image.
    """
    try:
        held = {"": from_file(path)} if names is None else arrays_in(path, names)
    except Unreadable as error:
        if "Python objects" not in str(error):  # damaged, as its images may be
            raise UserError(f"{path}: {error}.") from error
        notes.add(str(path), f"{error}, so these labels are left out")
        return None
    if not held:
        return None
    where = f"{path}: {' and '.join(held)}".removesuffix(": ")
    count = sum(len(array) if array.ndim else 1 for array in held.values())
    if count != total:  # which an array without numbers may claim
        shapes = " and ".join(f"{array.dtype} of shape {array.shape}" for array in held.values())
        raise UserError(
            f"{where}{' are' if names else ' has'} {shapes}; give {total} labels, one for each "
            "image."
        )
    words = [word for array in held.values() for word in words_of(array)]
    own = words if images.places is None else [words[i] for i in images.places.tolist()]
    missing = sum(not word for word in own)
    if missing:
        notes.add(
            where,
            f"has no label for {missing:,} of {len(own):,} images, which are left out of scores",
        )
    return own if missing < len(own) else None


def words_of(labels: np.ndarray) -> list[str]:
    """Labels of any kind as words: text, bytes, numbers, NaN, times, yes and no; "": missing.

    Rows of numbers that are 0 but for one 1 are the place of the 1; other rows are labels as they
    are.
    """
    if labels.ndim == 0:
        labels = labels[None]
    if not labels.size:
        return [""] * len(labels)
    rows = labels.reshape(len(labels), -1)
    if rows.shape[1] == 1:
        return [word_of(label) for label in rows[:, 0].tolist()]
    if rows.dtype.kind in "biuf" and ((rows == 0) | (rows == 1)).all() and (rows.sum(1) == 1).all():
        return [str(place) for place in rows.argmax(1).tolist()]
    return [" ".join(map(word_of, row)) for row in rows.tolist()]


def word_of(label: object) -> str:
    """One label as a word: 3.0 is the same as 3; NaN and empty text are missing."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    if isinstance(label, bytes):
        label = label.decode("utf-8", "backslashreplace")
    return "" if label is None else plain(str(label))
