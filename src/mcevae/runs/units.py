"""Units: the clusters of a run, and the parts of those that people have split; names for them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

NAME_LENGTH = 80
HAND = "+"
"""What names of units begin with that people made by hand."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """The clusters of a run, some of them in parts.

    Attributes:
        clusters: number of clusters, K.
        centres: for each split cluster, the z of the centre of each part.
        made: units that people made by hand, "+1" and so on. They have no cluster: they hold only
            the images that people move to them.
    """

    clusters: int
    centres: Mapping[int, Sequence[Sequence[float]]] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def check_centres(self) -> None:
        """Refuse centres that do not belong to clusters, or cannot be compared with z.

        Raises:
            ValueError: there are such centres.
        """
        if not all(0 <= k < self.clusters for k in self.centres):
            raise ValueError("there are centres of clusters that do not exist")
        if any(len(parts) < 2 for parts in self.centres.values()):
            raise ValueError("a split cluster needs at least two centres")
        if len({len(centre) for parts in self.centres.values() for centre in parts}) > 1:
            raise ValueError("centres of split clusters have different lengths")
        if not np.isfinite([x for parts in self.centres.values() for c in parts for x in c]).all():
            raise ValueError("centres of split clusters are not finite")

    @property
    def units(self) -> list[str]:
        """All units, ordered by cluster, and then those made by hand."""
        own = [
            unit
            for k in range(self.clusters)
            for unit in (
                [f"{k}.{i}" for i in range(len(self.centres[k]))] if k in self.centres else [str(k)]
            )
        ]
        return [*own, *self.made]

    def units_of(
        self, cluster: Int[np.ndarray, " n"], z: Float[np.ndarray, "n V"]
    ) -> Int[np.ndarray, " n"]:
        """Find the unit of each image, as an index into `units`.

        Raises:
            ValueError: centres do not have the same length as z.
        """
        place = {unit: i for i, unit in enumerate(self.units)}
        found = np.array([place.get(str(k), -1) for k in range(self.clusters)])[cluster]
        for k, parts in self.centres.items():
            centres = np.asarray(parts, np.float32)
            if centres.shape[1] != z.shape[1]:
                raise ValueError(f"centres have {centres.shape[1]} numbers, z has {z.shape[1]}")
            mine = np.flatnonzero(cluster == k)
            distance = ((z[mine, None] - centres) ** 2).sum(-1)  # (n, parts)
            found[mine] = place[f"{k}.0"] + distance.argmin(1)  # parts follow each other
        return found

    def halves(
        self, unit: str, means: Float[np.ndarray, "2 V"]
    ) -> tuple[list[str], dict[int, Sequence[Sequence[float]]]]:
        """Split a unit in two: the names of both halves, and all centres then.

        Args:
            unit: the unit.
            means: z of the centres of its halves.
        """
        k, _, part = unit.partition(".")
        first, second = ([round(float(value), 5) for value in centre] for centre in means)
        own = [list(centre) for centre in self.centres.get(int(k), [])]
        names = [unit, f"{k}.{len(own)}"] if part else [f"{k}.0", f"{k}.1"]
        if part:
            own[int(part)] = first
            own.append(second)
        else:
            own = [first, second]
        return names, {**self.centres, int(k): own}


def clusters_of(units: Sequence[str]) -> list[int]:
    """The clusters of units, in their order. Units that people made by hand have none."""
    return [int(unit.partition(".")[0]) for unit in units if not unit.startswith(HAND)]


def check_made(units: Sequence[str]) -> None:
    """Refuse names that are not those of units made by hand.

    Raises:
        ValueError: there are such names, or one is there twice.
    """
    if len(set(units)) < len(units) or not all(re.fullmatch(r"\+[1-9]\d{0,8}", u) for u in units):
        raise ValueError("units made by hand have the names +1, +2 and so on")


def check_name(name: str) -> None:
    """Refuse names that a table or page cannot show.

    Raises:
        ValueError: the name is empty, longer than 80 characters, or has line breaks.
    """
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise ValueError(f"a group's name must have 1 to {NAME_LENGTH} printable characters")


def place_of(wanted: str, known: Sequence[str], what: str) -> int:
    """Place of a word in a list.

    Args:
        wanted: the word.
        known: the list.
        what: what the error calls it.

    Raises:
        ValueError: it is not in the list.
    """
    if wanted not in known:
        raise ValueError(f"there is no {what}; there are {', '.join(known)}")
    return known.index(wanted)
