"""Find the rows of a table that a `Choice` means."""

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from mcevae.base.choosing import Choice
from mcevae.runs.collections import Collections


def check(choice: Choice, collections: Collections) -> None:
    """Refuse names that the run does not know.

    Raises:
        ValueError: there is no such group or selection.
        SettingError: as for `Choice.ranges`.
    """
    for name in (*choice.keep, *choice.without):
        collections.named(name)
    known = collections.decisions.selections
    if choice.selection is not None and choice.selection not in known:
        there = f"there are {', '.join(known)}" if known else "none was kept yet"
        raise ValueError(f"there is no selection {choice.selection}; {there}")
    _ = choice.ranges


def chosen_in(choice: Choice, rows: pa.Table, collections: Collections) -> Bool[np.ndarray, " n"]:
    """Which rows of a table are chosen.

    Args:
        choice: what people asked for.
        rows: as `mcevae predict` writes them, with the columns group, kept, tags and trust.
        collections: groups of the run.

    Raises:
        ValueError: there is no such column of numbers.
    """
    chosen = np.ones(len(rows), bool)
    group = np.array(rows["group"].to_pylist(), object)
    if choice.keep:
        chosen &= np.isin(group, choice.keep)
    if choice.without:
        chosen &= ~np.isin(group, choice.without)
    if choice.junk != "too":
        chosen &= rows["kept"].to_numpy() == (choice.junk == "no")
    if choice.names_images:
        chosen &= by_name(choice, rows["file"].to_pylist(), collections)
    for name, (low, high) in choice.ranges.items():
        values = numbers_of(rows, name)
        chosen &= (values >= low) & (values <= high)
    return ~chosen if choice.invert else chosen


def by_name(choice: Choice, names: list[str], collections: Collections) -> Bool[np.ndarray, " n"]:
    """Which images have the tags, the selection and the text."""
    said, text = collections.decisions, (choice.text or "").casefold()
    among = None if choice.selection is None else {*said.selections[choice.selection]}
    return np.array(
        [
            {*choice.tags} <= {*said.of(name).tags}
            and (among is None or name in among)
            and text in name.casefold()
            for name in names
        ],
        bool,
    )


def numbers_of(rows: pa.Table, name: str) -> np.ndarray:
    """A column of numbers.

    Raises:
        ValueError: there is none with this name.
    """
    numbers = [
        one.name
        for one in rows.schema
        if pa.types.is_floating(one.type) or pa.types.is_integer(one.type)
    ]
    if name not in numbers:
        raise ValueError(
            f"there is no column of numbers {name:.80}; there are {', '.join(numbers)}"
        )
    return rows[name].to_numpy()
