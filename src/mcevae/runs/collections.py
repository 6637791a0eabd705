"""Collections: a run's clusters after people have named, merged or split them.

A collection has one or more units. A unit is a cluster, such as "3", or a part of a split cluster,
such as "3.1". The parts of a cluster differ in z: an image belongs to the part with the nearest
centre.

On screen and in groups.json a collection is called a group. In code a group is a Lie group.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import MOST_TEXT, read_text, write_text
from mcevae.base.lock import locked
from mcevae.runs.decisions import Decisions
from mcevae.runs.members import Collection, Members
from mcevae.runs.units import HAND, check_made, check_name
from mcevae.runs.upright import AS_FOUND, Upright

FILE = "groups.json"
FORMAT = 1
PATIENCE = 10.0
"""Seconds to wait for another process that changes the groups."""
SEED = 0
"""Seed of the k-means with two means that splits a cluster."""


@dataclass(frozen=True, kw_only=True)
class Collections(Members):
    """All collections of a run. Every cluster is in them.

    Attributes:
        clusters, centres, made: see `Units`.
        entries, decisions: see `Members`.
        uprights: how people turned the frames of units; of others nobody did.
    """

    uprights: Mapping[str, Upright] = field(default_factory=dict)

    def __post_init__(self) -> None:
        units = [unit for collection in self.entries for unit in collection.units]
        if not 1 <= self.clusters <= len(units):
            raise ValueError(
                f"groups have {len(units)} units, too few for {self.clusters} clusters"
            )
        self.check_centres()
        check_made(self.made)
        if sorted(units) != sorted(self.units):
            raise ValueError(f"groups hold the units {', '.join(units)}; each must be in one group")
        names = [collection.name for collection in self.entries]
        for name in names:
            check_name(name)
            if names.count(name) > 1:
                raise ValueError(f"two groups are called {name}; merge them, or rename one")
        if not set(self.uprights) <= set(units):
            raise ValueError(f"units {', '.join(self.uprights)} are turned, but not all exist")
        homes = {mark.unit for mark in self.decisions.marks.values()} - {None}
        if not homes <= set(units):
            raise ValueError("images are moved to a group that does not exist")

    @classmethod
    def plain(cls, clusters: int) -> "Collections":
        """Make one collection for each of K clusters. Its name is the cluster's number."""
        return cls(
            clusters=clusters,
            entries=tuple(Collection(name=str(k), units=(str(k),)) for k in range(clusters)),
        )

    def of_other_images(self) -> "Collections":
        """The same collections without what people said about single images, and their names."""
        return replace(self, decisions=Decisions())

    def judged(self, index: int, junk: bool) -> "Collections":
        """Call a collection junk, or keep it. Returns changed collections.

        Raises:
            ValueError: there is no such collection.
        """
        changed = replace(self._at(index), junk=junk)
        return replace(self, entries=(*self.entries[:index], changed, *self.entries[index + 1 :]))

    def renamed(self, index: int, name: str) -> "Collections":
        """Rename a collection. Returns changed collections.

        Raises:
            ValueError: there is no such collection, or the name is not allowed or in use.
        """
        changed = replace(self._at(index), name=name.strip())
        return replace(self, entries=(*self.entries[:index], changed, *self.entries[index + 1 :]))

    def added(self, name: str) -> "Collections":
        """Make a collection by hand, the last one. It holds the images that are moved to it.

        Raises:
            ValueError: the name is not allowed or in use.
        """
        unit = f"{HAND}{1 + max((int(made) for made in self.made), default=0)}"
        new = Collection(name=name.strip(), units=(unit,))
        return replace(self, entries=(*self.entries, new), made=(*self.made, unit))

    def said(self, decisions: Decisions) -> "Collections":
        """Say something else about single images. Collections made by hand go with their last one.

        Raises:
            ValueError: images are moved to a unit that does not exist.
        """
        held = {mark.unit for mark in decisions.marks.values()}
        empty = [one for one in self.entries if {*one.units} <= {*self.made} - held]
        units = {unit for one in empty for unit in one.units}
        return replace(
            self,
            entries=tuple(one for one in self.entries if one not in empty),
            made=tuple(unit for unit in self.made if unit not in units),
            uprights={unit: turn for unit, turn in self.uprights.items() if unit not in units},
            decisions=decisions,
        )

    def merged(self, indices: Sequence[int]) -> "Collections":
        """Merge collections into one, with the name and place of the first. Returns all.

        Raises:
            ValueError: fewer than two are given, one is given twice, or one does not exist.
        """
        doubles = sorted({index for index in indices if indices.count(index) > 1})
        if doubles:
            raise ValueError(f"group {self._at(doubles[0]).name} is given twice; give each once")
        if len(indices) < 2:
            raise ValueError("a merge needs at least two groups")
        first, *others = (self._at(index) for index in indices)
        units = first.units + tuple(unit for other in others for unit in other.units)
        kept = [
            replace(entry, units=units) if i == indices[0] else entry
            for i, entry in enumerate(self.entries)
            if i not in indices[1:]
        ]
        return replace(self, entries=tuple(kept))

    def split(
        self, index: int, cluster: Int[np.ndarray, " n"], z: Float[np.ndarray, "n V"]
    ) -> "Collections":
        """Split a collection into its units. If it has only one unit, split that in two by z.

        K-means with two means finds the two halves.

        Args:
            index: index of the collection.
            cluster: cluster of each image.
            z: variation of each image.

        Raises:
            ValueError: there is no such collection, or its images do not differ in z, or people
                moved all of them there.
        """
        old = self._at(index)
        before, after = self.entries[:index], self.entries[index + 1 :]
        if len(old.units) > 1:
            parts = tuple(
                replace(old, name=f"{old.name} {unit}", units=(unit,)) for unit in old.units
            )
            return replace(self, entries=before + parts + after)
        unit = "".join(old.units)  # the only one
        if unit in self.made:
            raise ValueError(
                f"group {old.name} was made by hand; choose some of its images, and move them"
            )
        mine = z[self.assign(cluster, z) == index]
        if len(np.unique(mine, axis=0)) < 2:
            raise ValueError(f"group {old.name} cannot be split: no two of its images differ in z")
        means = KMeans(2, random_state=SEED).fit(mine).cluster_centers_
        names, centres = self.halves(unit, means)
        parts = tuple(
            replace(old, name=f"{old.name} {letter}", units=(name,))
            for letter, name in zip("ab", names, strict=True)
        )
        kept = {name: turn for name, turn in self.uprights.items() if name != unit}
        inherited = dict.fromkeys(names, self.uprights[unit]) if unit in self.uprights else {}
        return replace(
            self,
            entries=before + parts + after,
            centres=centres,
            uprights=kept | inherited,
            decisions=self.decisions.split(unit, names[0]),
        )

    def upright(self, index: int) -> Upright:
        """How the frame of a collection is turned: that of its first unit.

        Raises:
            ValueError: there is no such collection.
        """
        return self.uprights.get(self._at(index).units[0], AS_FOUND)

    def turned(self, index: int, degrees: float) -> "Collections":
        """Turn what is drawn of a collection clockwise. Its units are turned alike.

        Raises:
            ValueError: there is no such collection, or the angle is not finite.
        """
        return self._set(index, lambda now: now.turned(degrees))

    def set_upright(self, index: int, degrees: float) -> "Collections":
        """Turn a collection to this angle from the frame that the model found.

        If it has several units, the first is turned to this angle, and the others as much as it.

        Raises:
            ValueError: as for `turned`.
        """
        return self.turned(index, degrees - self.upright(index).degrees)

    def flipped(self, index: int) -> "Collections":
        """Exchange left and right in what is drawn of a collection.

        Raises:
            ValueError: there is no such collection.
        """
        return self._set(index, Upright.mirrored)

    def _set(self, index: int, how: Callable[[Upright], Upright]) -> "Collections":
        """Change the turns of all units of a collection; those that turn nothing are left out."""
        old = self._at(index)
        if {*old.units} <= {*self.made}:
            raise ValueError(
                f"group {old.name} was made by hand, and has no frame of its own: its images keep "
                "the frames of their clusters"
            )
        own = {unit: how(self.uprights.get(unit, AS_FOUND)) for unit in old.units}
        turns = {**self.uprights, **own}
        return replace(self, uprights={unit: g for unit, g in turns.items() if g != AS_FOUND})

    @cached_property
    def version(self) -> str:
        """Fingerprint of the collections. Any change gives another one."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()

    def to_json(self) -> str:
        """The content of groups.json."""
        content = {
            "format": FORMAT,
            "clusters": self.clusters,
            "groups": [entry.to_dict() for entry in self.entries],
            "centres": self.centres,
        }
        if self.made:
            content["made"] = self.made
        if self.uprights:
            content["uprights"] = {unit: asdict(turn) for unit, turn in self.uprights.items()}
        if self.decisions != Decisions():
            content["decisions"] = self.decisions.to_dict()
        return json.dumps(content, indent=1) + "\n"

    def write(self, run: Path) -> None:
        """Save the collections in a run's folder, where `mcevae predict` reads them.

        Raises:
            ValueError: they are too long to be read again.
        """
        text = self.to_json()
        if len(text) > MOST_TEXT:  # JSON that `json` writes is ASCII
            raise ValueError(
                f"decisions would fill more than {MOST_TEXT:,} bytes; choose fewer images"
            )
        write_text(run / FILE, text)

    @staticmethod
    @contextmanager
    def locked(run: Path) -> Iterator[None]:
        """While the body runs, no other process changes the collections of this run.

        Whoever changes them reads them within this context as well, so that no change is lost.

        Raises:
            UserError: another process holds them for long, or the folder cannot be written to.
        """
        busy = f"{run / FILE}: is being changed by another process; try again."
        with locked(run / f".{FILE}.lock", busy, PATIENCE):
            yield

    @classmethod
    def read(cls, run: Path, clusters: int) -> "Collections":
        """Read the collections of a run with K clusters; `plain` ones if none were saved.

        Raises:
            UserError: groups.json is damaged, or was made for another number of clusters.
        """
        found = cls.kept(run) or cls.plain(clusters)
        if found.clusters != clusters:
            raise UserError(
                f"{run / FILE}: does not fit this run ({found.clusters} clusters, not {clusters}); "
                "move it away."
            )
        return found

    @classmethod
    def kept(cls, run: Path) -> "Collections | None":
        """Read the saved collections of a run. None: none were saved.

        Raises:
            UserError: the file is damaged.
        """
        path = run / FILE
        try:
            return cls.from_dict(json.loads(read_text(path)))
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            raise UserError(
                f"{path}: does not fit this run ({error}); correct it, or move it away."
            ) from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Collections":
        """Read collections from JSON values, as `to_json` writes them.

        Raises:
            Exception: one of the types in `DAMAGE`: the values are not collections.
        """
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
        return cls(
            clusters=int(values["clusters"]),
            entries=tuple(Collection.from_dict(one) for one in values["groups"]),
            centres={
                int(k): [[float(value) for value in centre] for centre in parts]
                for k, parts in values["centres"].items()
            },
            made=tuple(map(str, values.get("made", ()))),
            uprights={
                str(unit): Upright.from_dict(turn)
                for unit, turn in values.get("uprights", {}).items()
            },
            decisions=Decisions.from_dict(values.get("decisions", {})),
        )
