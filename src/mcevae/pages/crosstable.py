"""How two runs sort the images that both have: groups that correspond, and images that disagree."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score

from mcevae.base.errors import UserError
from mcevae.pages.gallery import Gallery
from mcevae.runs.metrics import counted
from mcevae.runs.run import TrainedRun

CHOOSING = ("source", "split", "limit", "window", "kept", "blocks", "data_seed")
"""Settings on which the number of an image in the table depends."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two groups that correspond, of the runs A and B, or one that has no counterpart.

    Attributes:
        a, b: their names. None: there is none.
        both: number of images in both.
        only_a, only_b: number of images in one of them alone.
    """

    a: str | None
    b: str | None
    both: int
    only_a: int
    only_b: int


@dataclass(frozen=True, kw_only=True)
class CrossTable:
    """n images that the runs A and B both have, and their groups in each.

    Attributes:
        key: column by which the images were told to be the same, file or id.
        ids: (n,) numbers of the images in A, and in B.
        names: of the groups of A, the largest first; and of those of B, in the order of their
            counterparts, then those that have none. They have at least one of the images.
        of: (n,) groups of the images in A, and in B, as indices into `names`.
        confidence: (n,) of the images in A, and in B.
    """

    key: str
    ids: tuple[Int[np.ndarray, " n"], ...]
    names: tuple[tuple[str, ...], ...]
    of: tuple[Int[np.ndarray, " n"], ...]
    confidence: tuple[Float[np.ndarray, " n"], ...]

    def __len__(self) -> int:
        """Count the images."""
        return len(self.of[0])

    @cached_property
    def counts(self) -> Int[np.ndarray, "A B"]:
        """Number of images in each group of A and each of B."""
        return counted(*self.of)

    @cached_property
    def matches(self) -> dict[int, int]:
        """The group of B that corresponds to a group of A, for those that have a counterpart."""
        return matched(self.counts)

    @property
    def agreement(self) -> float:
        """Share of the images that lie in groups that correspond, 0 to 1."""
        return sum(int(self.counts[pair]) for pair in self.matches.items()) / len(self)

    @property
    def nmi(self) -> float:
        """Normalised mutual information of the groups of A and B, 0 to 1."""
        return float(normalized_mutual_info_score(*self.of))

    def pairs(self) -> list[Pair]:
        """The groups that correspond, those with most images first; then those without any."""
        own, other = self.counts.sum(1).tolist(), self.counts.sum(0).tolist()
        a, b = self.names
        both = {pair: int(self.counts[pair]) for pair in self.matches.items()}
        found = [
            Pair(a=a[i], b=b[j], both=n, only_a=own[i] - n, only_b=other[j] - n)
            for (i, j), n in sorted(both.items(), key=lambda one: -one[1])
        ]
        for i in sorted({*range(len(a))} - {*self.matches}, key=lambda i: -own[i]):
            found.append(Pair(a=a[i], b=None, both=0, only_a=own[i], only_b=0))
        for j in sorted({*range(len(b))} - {*self.matches.values()}, key=lambda j: -other[j]):
            found.append(Pair(a=None, b=b[j], both=0, only_a=0, only_b=other[j]))
        return found

    def disagreements(self) -> list[tuple[int, int]]:
        """Groups of A and B that share images, but do not correspond; those with most first."""
        shared = [(int(i), int(j)) for i, j in np.argwhere(self.counts)]
        apart = [(i, j) for i, j in shared if self.matches.get(i) != j]
        return sorted(apart, key=lambda pair: -self.counts[pair])

    def images(self, i: int, j: int) -> Int[np.ndarray, " m"]:
        """Which images are in group i of A and j of B; those first of which both runs are sure."""
        found = np.flatnonzero((self.of[0] == i) & (self.of[1] == j))
        sure = np.minimum(*(one[found] for one in self.confidence))
        return found[np.argsort(-sure, kind="stable")]


def matched(counts: Int[np.ndarray, "A B"]) -> dict[int, int]:
    """Match rows with columns one to one so that they share most images (Kuhn, 1955).

    Those that share none are left out.
    """
    rows, columns = linear_sum_assignment(counts, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {i: j for i, j in pairs if counts[i, j]}


def crossed(a: pa.Table, b: pa.Table, key: str) -> CrossTable | None:
    """Join the tables of two runs by a column that names images. None: no image is in both."""
    keys = (one[key].to_numpy() for one in (a, b))
    if key == "file":
        keys = (one.astype(str) for one in keys)
    _, *places = np.intersect1d(*keys, return_indices=True)
    if not len(places[0]):
        return None
    joined = [one.take(place) for one, place in zip((a, b), places, strict=True)]
    found = [np.unique(one["group"].to_numpy().astype(str), return_inverse=True) for one in joined]
    counts = counted(found[0][1], found[1][1])
    first = np.argsort(-counts.sum(1), kind="stable").tolist()
    matches = matched(counts)
    second = [matches[i] for i in first if i in matches]
    rest = np.argsort(-counts.sum(0), kind="stable").tolist()
    orders = (first, second + [j for j in rest if j not in second])
    named = zip(found, orders, strict=True)
    return CrossTable(
        key=key,
        ids=tuple(one["id"].to_numpy() for one in joined),
        names=tuple(tuple(names[order].tolist()) for (names, _), order in named),
        of=tuple(np.argsort(order)[of] for (_, of), order in zip(found, orders, strict=True)),
        confidence=tuple(one["confidence"].to_numpy().astype(float) for one in joined),
    )


def repeated(table: pa.Table, key: str) -> int:
    """Number of images whose key another one has as well; only the first one of each is joined."""
    return len(table) - len(table[key].unique())


def cross(
    runs: tuple[TrainedRun, TrainedRun], galleries: tuple[Gallery, Gallery]
) -> tuple[CrossTable, tuple[pa.Table, pa.Table]]:
    """Find the images that two runs both have: by the names of files, else by their numbers.

    Args:
        runs: A and B.
        galleries: their images.

    Returns:
        The cross table, and the tables of all images of both runs, with their present groups.

    Raises:
        UserError: no images can be told to be the same.
    """
    a, b = runs
    tables = galleries[0].table(a.collections), galleries[1].table(b.collections)
    both = f"{a.folder} and {b.folder}"
    key = "file" if all("file" in one.column_names for one in tables) else "id"
    data = a.settings.data, b.settings.data
    differ = [one for one in CHOOSING if getattr(data[0], one) != getattr(data[1], one)]
    if key == "id" and differ:
        raise UserError(
            f"{both}: their images have no names, and the runs differ in {', '.join(differ)}, so "
            "nobody knows which images are the same; compare runs of one source, or of files."
        )
    found = crossed(*tables, key)
    if found is None:
        raise UserError(f"{both}: have no image in common; compare runs of the same files.")
    return found, tables
