"""Members: which images a run's collections hold, and which images are junk."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mcevae.runs.decisions import Decisions
from mcevae.runs.units import Units, place_of


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Units that belong together, the name of the collection, and whether people call it junk."""

    name: str
    units: tuple[str, ...]
    junk: bool = False

    @property
    def id(self) -> str:
        """Its first unit. It stays when the collection is renamed, or others are merged into it."""
        return self.units[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON values; junk only if it is."""
        return {k: v for k, v in asdict(self).items() if k != "junk" or v}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Collection":
        """Read JSON values, as `to_dict` makes them.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are no collection.
        """
        units = tuple(map(str, values["units"]))
        return cls(name=str(values["name"]), units=units, junk=values.get("junk", False) is True)


@dataclass(frozen=True, kw_only=True)
class Members(Units):
    """Collections of the units of a run, and what people said about single images.

    Attributes:
        clusters, centres, made: see `Units`.
        entries: the collections; every unit is in exactly one of them.
        decisions: what people said about single images.
    """

    entries: tuple[Collection, ...]
    decisions: Decisions = field(default_factory=Decisions)

    def assign(
        self,
        cluster: Int[np.ndarray, " n"],
        z: Float[np.ndarray, "n V"],
        names: Sequence[str] | None = None,
    ) -> Int[np.ndarray, " n"]:
        """Find the collection of each image, as an index into `entries`.

        Args:
            cluster, z: of each image.
            names: of each image in the run's source, for what people said about single images.
                None: they are other images.

        Raises:
            ValueError: centres do not have the same length as z.
        """
        home = {unit: i for i, entry in enumerate(self.entries) for unit in entry.units}
        found = np.array([home[unit] for unit in self.units])[self.units_of(cluster, z)]
        for i, name in self._spoken_of(names):
            unit = self.decisions.of(name).unit
            if unit is not None:
                found[i] = home[unit]
        return found

    def junk_in(
        self, of: Int[np.ndarray, " n"], names: Sequence[str] | None = None
    ) -> Bool[np.ndarray, " n"]:
        """Whether each image is junk: what people said of it, or else of its collection.

        Args:
            of: collection of each image, as `assign` finds it.
            names: as for `assign`.
        """
        found = np.array([entry.junk for entry in self.entries])[of]
        for i, name in self._spoken_of(names):
            own = self.decisions.of(name).junk
            found[i] = found[i] if own is None else own
        return found

    @property
    def judges(self) -> bool:
        """Whether people called anything junk, or said anything about single images."""
        return bool(self.decisions.marks) or any(entry.junk for entry in self.entries)

    def named(self, name: str) -> int:
        """Find a collection by its name, as an index into `entries`.

        Raises:
            ValueError: no collection has this name.
        """
        return place_of(name, [entry.name for entry in self.entries], f"group {name}")

    def identified(self, id: str) -> int:
        """Find a collection by its id, as an index into `entries`.

        Raises:
            ValueError: no collection has this id.
        """
        ids = [entry.id for entry in self.entries]
        return place_of(id, ids, f"group with the id {id:.40}")

    def _spoken_of(self, names: Sequence[str] | None) -> Iterable[tuple[int, str]]:
        """Images of which something was said, with their places: a table may have millions."""
        marks = self.decisions.marks
        return ((i, one) for i, one in enumerate(names or ()) if one in marks) if marks else ()

    def _at(self, index: int) -> Collection:
        if not 0 <= index < len(self.entries):
            raise ValueError(f"there is no group {index}; there are 0 to {len(self.entries) - 1}")
        return self.entries[index]
