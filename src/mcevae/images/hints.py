"""Hints: what a person says of a few images, which then steers clusters.

A table has a column `file` and one or more of `label`, `same` and `different`. The file has this
label; it shows the same kind as the image in the column same, or another kind than the one in the
column different. Images are named as in tables of the run; in a set without names, by their number
(id). Images that are said to be alike, in one way or another, are one component.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, Int64
from torch import Tensor

from mcevae.base.names import path_of
from mcevae.images.arrays import NO_HINT, Hints, Images, joined, require
from mcevae.images.label_tables import paths_of, plain, rows_of, unended
from mcevae.images.labels import kinds_of, word_of

FILE, LABEL, SAME, DIFFERENT = "file", "label", "same", "different"
SAYING = (LABEL, SAME, DIFFERENT)
"""Columns that say something of the file."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What one cell of a table says.

    Attributes:
        row: number of its row, from 1 for the line of names.
        place: of the image.
        about: label, same or different.
        word: the label; "" for pairs.
        other: place of the other image of a pair; -1 for labels.
    """

    row: int
    place: int
    about: str
    word: str = ""
    other: int = -1


class Places:
    """Finds images by what a table calls them.

    Args:
        table: path of the table, for errors.
        names: of the images; None: they have none, and are known by their places.
        places: of the images in their source.
        cells: what the table calls images; only these are looked for.
    """

    def __init__(
        self,
        table: Path,
        names: Sequence[str] | None,
        places: Int[np.ndarray, " n"],
        cells: Sequence[str],
    ) -> None:
        self.table, self.named = table, names is not None
        self.known: dict[str, set[int]] = {}
        wanted = {form for cell in cells for form in paths_of(cell)}
        if names is None:
            self.known = {str(place): {place} for place in places.tolist()}
            return
        self.example = names[0]
        for name, place in zip(names, places.tolist(), strict=True):
            parts = name.split("/")
            for first in range(len(parts)):
                end = "/".join(parts[first:])
                for form in {end, unended(end)} & wanted:
                    # A whole name goes before the end of another one.
                    key = f"/{form}" if form == name else form
                    self.known.setdefault(key, set()).add(place)

    def __call__(self, cell: str, row: int) -> int:
        """Find the place of an image.

        Args:
            cell: what the table calls it.
            row: of the table.

        Raises:
            UserError: there is no such image, or several.
        """
        keys = [key for form in paths_of(cell) for key in (f"/{form}", form)]
        found = next((self.known[key] for key in keys if key in self.known), set[int]())
        names = "names of images, such as {}" if self.named else "numbers of images, from 0 on"
        require(
            len(found) == 1,
            f"{self.table}: row {row} is about {cell!r:.80}, which is "
            f"{'the name of several images' if found else 'no image that can be used'}; give "
            f"{names.format(self.example if self.named else '')}.",
        )
        return next(iter(found))


class Components:
    """Images that are alike by what was said, joined one after another (union-find)."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def of(self, place: int) -> int:
        """The image that stands for a component."""
        self.parent.setdefault(place, place)
        while self.parent[place] != place:
            self.parent[place] = place = self.parent[self.parent[place]]
        return place

    def join(self, one: int, other: int) -> None:
        """Say that two images are alike."""
        self.parent[self.of(one)] = self.of(other)


def read_hints(path: str, parts: Sequence[Images]) -> list[Images]:
    """Read a table of hints, and give them to the images.

    Args:
        path: of the table.
        parts: images with their places; together they are all images of a source.

    Returns:
        The same images with `hints`.

    Raises:
        UserError: the table cannot be read, names an image that is not there, or contradicts
            itself.
    """
    table = path_of(path)
    every = [one.names for one in parts if one.names is not None]
    names = np.concatenate(every).tolist() if every else None
    places = np.concatenate([one.places for one in parts if one.places is not None])
    return given(table, list(said_in(table, names, places)), parts)


def said_in(
    table: Path, names: Sequence[str] | None, places: Int[np.ndarray, " n"]
) -> Iterator[Said]:
    """What a table says, cell by cell.

    Args:
        table: its path.
        names, places: as for `Places`.

    Raises:
        UserError: the table cannot be read, or names an image that is not there.
    """
    rows = rows_of(table, "hints")
    columns = [plain(cell).lower() for cell in rows[0]] if rows else []
    require(
        columns.count(FILE) == 1 and any(columns.count(name) == 1 for name in SAYING),
        f"{table}: its first line must name the column {FILE} and one or more of "
        f"{', '.join(SAYING)}, each once.",
    )
    at = {name: columns.index(name) for name in (FILE, *SAYING) if name in columns}

    def cell(row: list[str], name: str) -> str:
        return row[at[name]].strip() if name in at and at[name] < len(row) else ""

    asked = [cell(row, name) for row in rows[1:] for name in (FILE, SAME, DIFFERENT)]
    find = Places(table, names, places, asked)
    for number, row in enumerate(rows[1:], 2):
        if not any(told := {name: cell(row, name) for name in SAYING}.values()):
            continue
        place = find(cell(row, FILE), number)
        for about, word in zip(SAYING, told, strict=True):
            if word and about == LABEL:
                if label := plain(word):
                    yield Said(row=number, place=place, about=about, word=label)
            elif word:
                other = find(word, number)
                yield Said(row=number, place=place, about=about, other=other)


def given(table: Path, said: Sequence[Said], parts: Sequence[Images]) -> list[Images]:
    """Give hints to images.

    Args:
        table: path of the table, for errors.
        said: what it says.
        parts: images with their places.

    Raises:
        UserError: nothing is said, or it contradicts itself.
    """
    require(bool(said), f"{table}: says nothing of any image; give a label, or a pair.")
    known = Components()
    for one in said:
        known.of(one.place)
        if one.about == SAME:
            known.join(one.place, one.other)
    words = labels_of(table, said, known)
    names = kinds_of(words.values())
    number = {name: i for i, name in enumerate(names)}
    component = {root: number[word] for root, word in words.items()}
    pairs: set[tuple[int, int]] = set()
    for one in said:
        if one.about == DIFFERENT:
            roots = [known.of(place) for place in (one.place, one.other)]
            a, b = (component.setdefault(r, len(names) + extra(component, names)) for r in roots)
            require(
                a != b,
                f"{table}: row {one.row} says that two images differ, but by other rows they are "
                "alike; correct one of these rows.",
            )
            pairs.add((min(a, b), max(a, b)))
    for place in list(known.parent):
        component.setdefault(known.of(place), len(names) + extra(component, names))
    of = {place: component[known.of(place)] for place in list(known.parent)}
    return [hinted(one, of, names, tuple(sorted(pairs))) for one in parts]


def extra(component: Mapping[int, int], names: Sequence[str]) -> int:
    """How many components without a label have a number already."""
    return len({one for one in component.values() if one >= len(names)})


def labels_of(table: Path, said: Sequence[Said], known: Components) -> dict[int, str]:
    """The label of each component that has one.

    Args:
        table: path of the table, for errors.
        said: what it says.
        known: the components.

    Raises:
        UserError: a component has two labels.
    """
    words: dict[int, str] = {}
    rows: dict[int, int] = {}
    for one in said:
        if one.about == LABEL:
            root = known.of(one.place)
            before = words.setdefault(root, one.word)
            require(
                before == one.word,
                f"{table}: row {one.row} says {one.word!r:.40} of what is {before!r:.40} by row "
                f"{rows.get(root, one.row)}; correct one of these rows.",
            )
            rows.setdefault(root, one.row)
    return words


def hinted(
    images: Images,
    of: Mapping[int, int],
    names: tuple[str, ...],
    apart: tuple[tuple[int, int], ...],
) -> Images:
    """Images with the components of those places that have one."""
    assert images.places is not None
    own = [of.get(place, NO_HINT) for place in images.places.tolist()]
    return replace(images, hints=Hints(names=names, of=torch.tensor(own), apart=apart))


def to_front(train: Images, *others: Images) -> tuple[Images, ...]:
    """Move all images with hints to the front of the training images.

    What was said of an image is known, so it is not one that scores may count.

    Args:
        train: training images.
        others: the other parts.

    Returns:
        All parts, without the hints of the other parts, which have none left.

    Raises:
        UserError: nothing is left of a part.
    """
    if train.hints is None:
        return (train, *others)
    moved, left = [train.subset(train.hints.rows())], list[Images]()
    for place, part in enumerate(others):
        assert part.hints is not None
        rest = (part.hints.of == NO_HINT).nonzero()[:, 0]
        require(
            len(rest) > 0,
            f"{train.name}: has no images without hints left for validation and test; give more "
            "images, or fewer hints.",
        )
        if not any(part is other for other in others[:place]):  # as with split "all"
            moved.append(part.subset(part.hints.rows()))
        left.append(replace(part.subset(rest), hints=None))
    own = (train.hints.of == NO_HINT).nonzero()[:, 0]
    return (joined([*moved, train.subset(own)]), *left)


def of_labels(labels: Sequence[object], images: Images) -> Images:
    """Images with hints that were given as one label for each, or None.

    Args:
        labels: of the images; None, NaN or "": there is none.
        images: the images.

    Raises:
        UserError: there is not one for each image, or no image has one.
    """
    require(
        len(labels) == len(images),
        f"hints: there are {len(labels)} for {len(images)} images; give one for each, None where "
        "nothing is known.",
    )
    words = list(map(word_of, labels))
    require(any(words), "hints: no image has one; give a label for some, or leave them out.")
    names = kinds_of(words)
    number = {name: i for i, name in enumerate(names)}
    of: Int64[Tensor, " n"] = torch.tensor([number.get(word, NO_HINT) for word in words])
    return replace(images, hints=Hints(names=names, of=of, apart=()))
