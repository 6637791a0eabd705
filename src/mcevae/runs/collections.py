"""What people make of the clusters: groups with names, merged from clusters or split off them.

A group is one or more units; a unit is a cluster, "3", or a part of a split one, "3.1". Parts of a
cluster are told apart by z: an image belongs to the part with the nearest centre.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans

from mcevae.base.errors import DAMAGE, UserError
from mcevae.base.files import write_text

FILE = "groups.json"
FORMAT = 1
NAME_LENGTH = 80
SEED = 0
"""Of the two means that split a cluster."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that belong together, and what people call them."""

    name: str
    units: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Curation:
    """Groups of all clusters of a run.

    Attributes:
        clusters: K.
        groups: every unit is in one of them.
        centres: of the split clusters, one list of z for each part.
    """

    clusters: int
    groups: tuple[Group, ...]
    centres: Mapping[int, Sequence[Sequence[float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        units = [unit for group in self.groups for unit in group.units]
        if not 1 <= self.clusters <= len(units):
            raise ValueError(f"groups of {len(units)} units cannot be of {self.clusters} clusters")
        if not all(0 <= k < self.clusters for k in self.centres):
            raise ValueError("centres are of clusters that there are not")
        if sorted(units) != sorted(self.units):
            raise ValueError(f"groups hold the units {', '.join(units)}; each must be in one group")
        for group in self.groups:
            check_name(group.name)
        names = [group.name for group in self.groups]
        if len(set(names)) < len(names):
            raise ValueError(f"two groups of {', '.join(names)} have one name; merge or rename")
        if any(len(parts) < 2 for parts in self.centres.values()):
            raise ValueError("a split cluster has at least two centres")
        if len({len(centre) for parts in self.centres.values() for centre in parts}) > 1:
            raise ValueError("centres of split clusters have different lengths")
        if not np.isfinite([x for parts in self.centres.values() for c in parts for x in c]).all():
            raise ValueError("centres of split clusters are not finite")

    @classmethod
    def plain(cls, clusters: int) -> "Curation":
        """One group for each of K clusters, called by its number."""
        return cls(
            clusters=clusters,
            groups=tuple(Group(name=str(k), units=(str(k),)) for k in range(clusters)),
        )

    @property
    def units(self) -> list[str]:
        """All units, in the order of their clusters."""
        return [
            unit
            for k in range(self.clusters)
            for unit in (
                [f"{k}.{i}" for i in range(len(self.centres[k]))] if k in self.centres else [str(k)]
            )
        ]

    def assign(
        self, cluster: Int[np.ndarray, " n"], z: Float[np.ndarray, "n V"]
    ) -> Int[np.ndarray, " n"]:
        """The group of each image, an index into `groups`.

        Raises:
            ValueError: centres are of another length than z.
        """
        home = {unit: i for i, group in enumerate(self.groups) for unit in group.units}
        found = np.array([home.get(str(k), -1) for k in range(self.clusters)])[cluster]
        for k, parts in self.centres.items():
            centres = np.asarray(parts, np.float32)
            if centres.shape[1] != z.shape[1]:
                raise ValueError(f"centres have {centres.shape[1]} numbers, z has {z.shape[1]}")
            mine = np.flatnonzero(cluster == k)
            distance = ((z[mine, None] - centres) ** 2).sum(-1)  # (n, parts)
            homes = np.array([home[f"{k}.{i}"] for i in range(len(centres))])
            found[mine] = homes[distance.argmin(1)]
        return found

    def renamed(self, group: int, name: str) -> "Curation":
        """With another name for a group."""
        changed = replace(self._at(group), name=name.strip())
        return replace(self, groups=(*self.groups[:group], changed, *self.groups[group + 1 :]))

    def merged(self, groups: Sequence[int]) -> "Curation":
        """With some groups made one, which keeps the first one's name and place."""
        doubles = sorted({group for group in groups if groups.count(group) > 1})
        if doubles:
            raise ValueError(f"group {self._at(doubles[0]).name} is given twice; give each once")
        if len(groups) < 2:
            raise ValueError("a merge needs at least two groups")
        first = self._at(groups[0])
        others = [self._at(group) for group in groups[1:]]
        one = replace(first, units=first.units + tuple(u for other in others for u in other.units))
        kept = [one if i == groups[0] else g for i, g in enumerate(self.groups)]
        return replace(
            self, groups=tuple(g for i, g in enumerate(kept) if i not in set(groups[1:]))
        )

    def split(
        self, group: int, cluster: Int[np.ndarray, " n"], z: Float[np.ndarray, "n V"]
    ) -> "Curation":
        """With a group taken apart: into its units, or its only unit in two by z (two means).

        Args:
            group: which.
            cluster: of all images.
            z: of all images.
        """
        old = self._at(group)
        before, after = self.groups[:group], self.groups[group + 1 :]
        if len(old.units) > 1:
            parts = tuple(Group(name=f"{old.name} {unit}", units=(unit,)) for unit in old.units)
            return replace(self, groups=before + parts + after)
        unit = "".join(old.units)  # the only one
        k, _, part = unit.partition(".")
        mine = z[self.assign(cluster, z) == group]
        if len(np.unique(mine, axis=0)) < 2:
            raise ValueError(f"group {old.name} has no two images that differ in z")
        means = KMeans(2, random_state=SEED).fit(mine).cluster_centers_
        rounded = [[round(float(value), 5) for value in centre] for centre in means]
        centres = [list(centre) for centre in self.centres.get(int(k), [])]
        if not part:
            names = [f"{k}.0", f"{k}.1"]
            centres = rounded
        else:
            names = [unit, f"{k}.{len(centres)}"]
            centres[int(part)] = rounded[0]
            centres.append(rounded[1])
        parts = tuple(
            Group(name=f"{old.name} {letter}", units=(name,))
            for letter, name in zip("ab", names, strict=True)
        )
        return replace(
            self, groups=before + parts + after, centres={**self.centres, int(k): centres}
        )

    def named(self, name: str) -> int:
        """The group of a name, an index into `groups`.

        Raises:
            ValueError: there is none.
        """
        names = [group.name for group in self.groups]
        if name not in names:
            raise ValueError(f"there is no group {name}; there are {', '.join(names)}")
        return names.index(name)

    def _at(self, group: int) -> Group:
        if not 0 <= group < len(self.groups):
            raise ValueError(f"there is no group {group}; there are 0 to {len(self.groups) - 1}")
        return self.groups[group]

    def to_json(self) -> str:
        """As the label file has it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    def write(self, run: Path) -> None:
        """Keep it in a run's folder, where `mcevae predict` finds it."""
        write_text(run / FILE, self.to_json())

    @classmethod
    def read(cls, run: Path, clusters: int) -> "Curation":
        """The groups of a run with K clusters; `plain` ones if people made none.

        Raises:
            UserError: as `kept`, or they are of a run with other clusters.
        """
        found = cls.kept(run) or cls.plain(clusters)
        if found.clusters != clusters:
            raise UserError(
                f"{run / FILE}: does not fit this run ({found.clusters} clusters, not {clusters}); "
                "move it away."
            )
        return found

    @classmethod
    def kept(cls, run: Path) -> "Curation | None":
        """The groups that people made of a run's clusters, None if they made none.

        Raises:
            UserError: the file is damaged.
        """
        path = run / FILE
        try:
            values = json.loads(path.read_text("utf-8"))
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']}, this version reads {FORMAT}")
            return cls(
                clusters=int(values["clusters"]),
                groups=tuple(
                    Group(name=str(one["name"]), units=tuple(map(str, one["units"])))
                    for one in values["groups"]
                ),
                centres={
                    int(k): [[float(value) for value in centre] for centre in parts]
                    for k, parts in values["centres"].items()
                },
            )
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            raise UserError(
                f"{path}: does not fit this run ({error}); mend it, or move it away."
            ) from error


def check_name(name: str) -> None:
    """Refuse names that no table or page could show.

    Raises:
        ValueError: empty, longer than 80 characters, or with line breaks.
    """
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise ValueError(f"a group's name has 1 to {NAME_LENGTH} printable characters")
