"""What people correct in a table of finds: kept beside the table, which stays as it is.

Every change is kept in its order, also those that were undone, so undo and redo work at any later
time. A row of the table has its place in it as its id, from 0; a thing that is added by change j to
a table of n rows has the id n + j.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from mcevae.base.errors import UserError
from mcevae.base.files import digest, read_text, write_text

FORMAT = 1
MOST_CHANGES = 20_000
"""Changes of a table, at most."""
MARK = "corrected"
"""Column of corrected tables that says what was done to a row."""
AS_FOUND, REGROUPED, ADDED = "no", "group", "added"
"""Values of that column."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of a table.

    Attributes:
        do: add a thing, delete rows, or give rows another group.
        ids: rows that are deleted or changed.
        values: columns of the new row, or those that change in all of the rows; None: empty.
    """

    do: Literal["add", "delete", "group"]
    ids: tuple[int, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """All changes of a table.

    Attributes:
        table: fingerprint of the table's file.
        changes: the oldest first.
        done: how many of them hold; the others were undone.
    """

    table: str
    changes: tuple[Change, ...] = ()
    done: int = 0

    @property
    def version(self) -> str:
        """Tells these corrections from others."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=12).hexdigest()

    def to_json(self) -> str:
        """What is kept in the file."""
        return json.dumps({"format": FORMAT, **asdict(self)}, separators=(",", ":"))

    def then(self, change: Change) -> "Corrections":
        """The same corrections and one more. What was undone is forgotten.

        Raises:
            ValueError: there are too many.
        """
        if self.done >= MOST_CHANGES:
            raise ValueError(
                f"the table has {MOST_CHANGES:,} corrections, and no more are kept; write the "
                "corrected table with mcevae convert --to table, and go on with that one"
            )
        return replace(self, changes=(*self.changes[: self.done], change), done=self.done + 1)

    def stepped(self, *, back: bool) -> "Corrections":
        """With the last change undone, or with the last one that was undone made again.

        Raises:
            ValueError: there is no such change.
        """
        done = self.done - 1 if back else self.done + 1
        if not 0 <= done <= len(self.changes):
            raise ValueError(f"there is no change to {'undo' if back else 'redo'}")
        return replace(self, done=done)

    def holding(self, rows: int) -> "Holding":
        """What holds of a table of so many rows."""
        held = Holding()
        for i, change in enumerate(self.changes[: self.done]):
            held.take(change, rows + i)
        return held


@dataclass(kw_only=True)
class Holding:
    """What corrections make of a table.

    Attributes:
        deleted: ids of rows that are gone.
        changed: columns of rows of the table that have other values.
        added: rows that people added, by id.
    """

    deleted: set[int] = field(default_factory=set)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    added: dict[int, dict[str, Any]] = field(default_factory=dict)

    def take(self, change: Change, new: int) -> None:
        """Make one more change; `new` is the id of the thing that it adds, if it adds one."""
        if change.do == "add":
            self.added[new] = {**change.values, MARK: ADDED}
        for i in change.ids:
            if change.do == "delete":
                self.deleted.add(i)
                self.added.pop(i, None)
            elif i in self.added:
                self.added[i] |= change.values
            else:
                self.changed.setdefault(i, {MARK: REGROUPED}).update(change.values)

    def rows(self, table: pa.Table) -> pa.Table:
        """The corrected table: its own rows, then those that were added, with the column `MARK`.

        Raises:
            pa.ArrowException: a value does not suit its column.
        """
        if MARK not in table.schema.names:
            own = pa.array([AS_FOUND] * table.num_rows, pa.string())
            table = table.append_column(MARK, own)
        named = {name for values in self.changed.values() for name in values}
        for name in named & {*table.schema.names}:
            place = table.schema.get_field_index(name)
            values = table[name].to_pylist()
            for i, changes in self.changed.items():
                if name in changes:
                    values[i] = changes[name]
            table = table.set_column(place, name, pa.array(values, table.schema.types[place]))
        kept = np.setdiff1d(np.arange(table.num_rows), [*self.deleted])
        return pa.concat_tables([table.take(pa.array(kept)), self.new_rows(table.schema)])

    def new_rows(self, schema: pa.Schema) -> pa.Table:
        """The rows that were added, with the columns of a table; what they lack is empty."""
        added = [self.added[i] for i in sorted(self.added)]
        return pa.table(
            {
                name: pa.array([row.get(name) for row in added], kind)
                for name, kind in zip(schema.names, schema.types, strict=True)
            },
            schema=schema,
        )


def corrections_of(table: Path) -> Path:
    """The file of the corrections of a table."""
    return table.with_name(f"{table.name}.corrections.json")


def read_corrections(table: Path) -> Corrections:
    """The corrections of a table; without changes if there are none yet.

    Raises:
        UserError: they are damaged, or of another table.
    """
    path = corrections_of(table)
    own = digest(table)
    if not path.exists():
        return Corrections(table=own)
    try:
        known = json.loads(read_text(path))
        changes = tuple(change_of(one) for one in known["changes"])
        found = Corrections(table=known["table"], changes=changes, done=known["done"])
        if known["format"] != FORMAT or not 0 <= found.done <= len(changes) <= MOST_CHANGES:
            raise ValueError("a number is none that it can have")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: is damaged ({error}); put it back from a copy, or delete it to go on without "
            "its corrections."
        ) from error
    if found.table != own:
        raise UserError(
            f"{path}: corrects another table than {table.name} is now; move it away, or put that "
            "table back."
        )
    return found


def change_of(known: Mapping[str, Any]) -> Change:
    """A change as a file has it.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    ids, values = known["ids"], known["values"]
    if known["do"] not in ("add", "delete", "group") or not isinstance(values, dict):
        raise ValueError("a change is none that there is")
    if not all(type(i) is int and i >= 0 for i in ids):
        raise ValueError("the id of a row is none")
    if not all(isinstance(one, str | int | float | bool | None) for one in values.values()):
        raise ValueError("a value is neither a number nor a word")
    return Change(do=known["do"], ids=tuple(ids), values=values)


def write_corrections(table: Path, made: Corrections) -> None:
    """Keep the corrections of a table. If nothing was ever changed, nothing is written.

    Raises:
        UserError: they cannot be written.
    """
    if made.changes:
        write_text(corrections_of(table), made.to_json())


def corrected(table: Path, rows: pa.Table) -> pa.Table:
    """The rows of a table with its corrections; without any, the rows as they are.

    Args:
        table: path of the table.
        rows: all of its rows.

    Raises:
        UserError: the corrections are damaged, or of another table.
    """
    if not corrections_of(table).exists():
        return rows
    held = read_corrections(table).holding(rows.num_rows)
    try:
        return held.rows(rows)
    except (pa.ArrowException, IndexError, TypeError) as error:
        raise UserError(
            f"{corrections_of(table)}: does not suit {table.name} ({error}); delete it to go on "
            "without its corrections."
        ) from error


def ids_of(ids: Iterable[int]) -> tuple[int, ...]:
    """Ids of rows, each once, in order."""
    return tuple(sorted({*ids}))
