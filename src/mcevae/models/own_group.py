"""A Lie group of your own, given by its generators. This module imports no tensors.

`mcevae fit --group slant.toml` reads a file such as

    name = "slant"

    [[generators]]
    coordinate = "slant"
    unit = "1"
    half_width = 0.5
    matrix = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]

with one table for each generator. A pose is M = exp(sum_i tau_i G_i), which acts on points
(x, y, 1) with x to the right, y down, the image centre as origin and the image side as unit of
length. The settings of a run hold all of this, so that the run does not need the file any more.
"""

import math
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import tyro

from mcevae.base.config import ensure
from mcevae.base.errors import DAMAGE, UserError

if TYPE_CHECKING:
    from mcevae.geometry.groups import MatrixGroup

GroupName = Literal["so2", "se2", "sim2", "aff2"]
Unit = Literal["rad", "side", "log", "1"]
Matrix = tuple[tuple[float, float, float], ...]

NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
TAKEN = ("rotation", "shift_x", "shift_y", "log_scale", "stretch", "shear", "probability", "z")
"""Coordinates of the named groups, and other columns of the tables."""
MOST_GENERATORS = 6
"""The affine group has 6, and every other group lies in it."""
LEAST_MOTION, MOST_MOTION = 1e-4, 5.0
"""Limits of the half-width times the largest matrix entry. Below, nothing moves that could be seen,
and numbers get too small to compute with; beyond, things leave their images completely."""
MOST_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class Generator:
    """One direction in which a group moves images.

    Attributes:
        coordinate: name of its coordinate of the pose, in tables and figures.
        matrix: G, 3 rows of 3 numbers, the last row zero.
        half_width: largest coordinate in each direction, 0.01 to 10.
        unit: of the coordinate; rad is shown in degrees, side in pixels; "1" is a plain number.
    """

    coordinate: str
    matrix: Matrix
    half_width: float
    unit: Unit = "1"

    def __post_init__(self) -> None:
        own = self.coordinate
        check_name("coordinate", own)
        ensure(
            own not in TAKEN and not own.startswith("tau"),
            f"coordinate {own!r} has a name that mcevae uses itself; choose another name",
        )
        ensure(
            0.01 <= self.half_width <= 10,
            f"half_width of {own} is {self.half_width}; use 0.01 to 10, and scale the matrix",
        )
        last = self.matrix[-1]
        ensure(not any(last), f"the last row of the matrix of {own} is {last}; use zeros")
        largest = max(abs(entry) for row in self.matrix for entry in row) * self.half_width
        ensure(
            LEAST_MOTION <= largest <= MOST_MOTION,
            f"half_width of {own} times the largest entry of its matrix is {largest:g}; "
            f"use {LEAST_MOTION:g} to {MOST_MOTION:g}",
        )

    @classmethod
    def from_dict(cls, values: Any) -> "Generator":
        """Make a generator from plain values, as they come from TOML or JSON.

        Raises:
            ValueError: an entry is missing or unknown, or has a wrong type or value.
        """
        check_entries("a generator", values, cls)
        own, unit, width = values["coordinate"], values.get("unit", "1"), values["half_width"]
        rows, units = as_tuples(values["matrix"]), get_args(Unit)
        check_name("coordinate", own)
        known = isinstance(unit, str) and unit in units
        ensure(known, f"unit of {own} is {unit!r}; use one of {', '.join(units)}")
        ensure(is_number(width), f"half_width of {own} is {width!r}; use 0.01 to 10")
        ensure(is_matrix(rows), f"matrix of {own} is {rows!r}; use 3 rows of 3 numbers")
        return cls(**{**values, "matrix": rows})


@dataclass(frozen=True, kw_only=True)
class OwnGroup:
    """A group given by its generators.

    Attributes:
        name: name in messages and files; small letters, digits and underscores.
        generators: 1 to 6, linearly independent. Their brackets G_i G_j - G_j G_i must lie in their
            span; `build` checks it.
    """

    name: str
    generators: tuple[Generator, ...]

    def __post_init__(self) -> None:
        check_name("name", self.name)
        ensure(
            self.name not in get_args(GroupName),
            f"name {self.name!r} belongs to another group; choose another name",
        )
        count = len(self.generators)
        ensure(
            1 <= count <= MOST_GENERATORS,
            f"there are {count} generators; give 1 to {MOST_GENERATORS}",
        )
        names = [generator.coordinate for generator in self.generators]
        ensure(len(set(names)) == count, f"coordinates are {names}; give each its own name")

    @classmethod
    def from_dict(cls, values: Any) -> "OwnGroup":
        """Make a group from plain values, as they come from TOML or JSON.

        Raises:
            ValueError: an entry is missing or unknown, or has a wrong value.
        """
        check_entries("the group", values, cls)
        tables = values["generators"]
        ensure(isinstance(tables, list | tuple), f"generators is {tables!r}; use tables")
        check_name("name", values["name"])
        return cls(name=values["name"], generators=tuple(map(Generator.from_dict, tables)))

    @classmethod
    def read(cls, path: Path) -> "OwnGroup":
        """Read a group from a TOML file; the top of this module shows an example.

        Raises:
            UserError: the file cannot be read, or its generators do not make a group.
        """
        if not path.is_file():
            raise UserError(f"{path}: no such file; give one with generators, or a group's name.")
        try:
            with path.open("rb") as file:
                text = file.read(MOST_BYTES + 1)
            ensure(len(text) <= MOST_BYTES, f"has more than {MOST_BYTES} bytes; give a short one")
            group = cls.from_dict(tomllib.loads(text.decode("utf-8")))
        except DAMAGE as error:
            raise UserError(f"{path}: {str(error).rstrip('.')}.") from error
        try:
            group.build()
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        return group

    def build(self) -> "MatrixGroup":
        """Build the group.

        Raises:
            UserError: the generators are linearly dependent, or not closed under the bracket.
        """
        from mcevae.geometry.groups import GeneratorGroup

        try:
            return GeneratorGroup(
                [generator.matrix for generator in self.generators],
                name=self.name,
                coordinates=[generator.coordinate for generator in self.generators],
                units=[generator.unit for generator in self.generators],
                half_widths=[generator.half_width for generator in self.generators],
            )
        except ValueError as error:
            raise UserError(f"group {self.name}: {error}") from error


def check_name(what: str, name: Any) -> None:
    """Check that a name is short and plain, because tables and pages show it.

    Raises:
        ValueError: it is not.
    """
    ensure(
        isinstance(name, str) and NAME.fullmatch(name) is not None,
        f"{what} is {name!r}; use 1 to 30 small letters, digits and underscores, a letter first",
    )


def check_entries(what: str, values: Any, kind: type[OwnGroup] | type[Generator]) -> None:
    """Check that a table has all entries that a class needs, and no others.

    Raises:
        ValueError: an entry is missing or unknown.
    """
    ensure(isinstance(values, dict), f"{what} is {values!r}; use a table")
    known = [field.name for field in fields(kind)]
    for entry in values:
        ensure(entry in known, f"{what} has an entry {entry!r}; use {', '.join(known)}")
    for entry in known:
        ensure(entry in values or entry == "unit", f"{what} has no {entry}; add it")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; True and False do not count as numbers."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_triple(value: Any) -> bool:
    """Return whether a value is a tuple with three entries."""
    return isinstance(value, tuple) and len(value) == 3


def is_matrix(rows: Any) -> bool:
    """Return whether a value is three tuples of three numbers each."""
    return (
        is_triple(rows)
        and all(map(is_triple, rows))
        and all(is_number(entry) for row in rows for entry in row)
    )


def as_tuples(value: Any) -> Any:
    """Turn nested lists into nested tuples."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def chosen(group: Any) -> "GroupName | OwnGroup":
    """Find the group that a user names, or gives as a TOML file or a table of generators.

    Args:
        group: "so2", "se2", "sim2", "aff2", the path of a .toml file, an `OwnGroup`, or a dict for
            `OwnGroup.from_dict`.

    Raises:
        UserError: it is something else, or the file or table does not describe a group.
    """
    if isinstance(group, OwnGroup) or (isinstance(group, str) and group in get_args(GroupName)):
        return group  # pyright: ignore[reportReturnType]
    if isinstance(group, str | Path) and Path(group).suffix == ".toml":
        return OwnGroup.read(Path(group))
    if isinstance(group, dict):
        try:
            return OwnGroup.from_dict(group)
        except DAMAGE as error:
            raise UserError(f"group: {error}.") from error
    raise UserError(
        f"group is {str(group)!r}; use {', '.join(get_args(GroupName))}, or a .toml file with "
        "generators."
    )


def group_of(setting: "GroupName | OwnGroup", *, mirror: bool = False) -> "MatrixGroup":
    """Return the group that a setting describes.

    Args:
        setting: the name of a group, or its generators.
        mirror: whether to add reflections; only for groups with a name.

    Raises:
        UserError: the generators do not make a group.
    """
    from mcevae.geometry.groups import get_group

    return get_group(setting, mirror=mirror) if isinstance(setting, str) else setting.build()


FLAG = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="{so2,se2,sim2,aff2}|FILE.toml",
    instance_from_str=lambda words: chosen(words[0]),
    is_instance=lambda value: isinstance(value, str | OwnGroup),
    str_from_instance=lambda group: [group if isinstance(group, str) else group.name],
)
"""How the command line reads `--group`."""
