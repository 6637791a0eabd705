"""What a run found, in words, from the table of its images: the last lines of `mcevae fit`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from pyarrow import parquet

from mcevae.base.names import in_utf8
from mcevae.predicting.rounds import MAD, ODD


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a run found in its images.

    Attributes:
        sizes: number of images of each group that has any.
        empty: number of groups without images.
        odd: share of the images that are like no group.
    """

    sizes: tuple[int, ...]
    empty: int
    odd: float

    def in_words(self) -> str:
        """Write one sentence, such as "10 groups, sizes 90 to 120; 3 % of the images are like no
        group."."""
        small, large = min(self.sizes), max(self.sizes)
        count = f"{len(self.sizes)} group{'s' if len(self.sizes) > 1 else ''}"
        sizes = f"of {small:,} images" if small == large else f"sizes {small:,} to {large:,}"
        empty = f", and {self.empty} without images" if self.empty else ""
        share = 100 * self.odd
        odd = (
            f"{share:.1f} % of the images are like no group" if share else "each image is like one"
        )
        return f"{count}, {sizes}{empty}; {odd}."


def unlike(misfit: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Tell which images are like no group: they are drawn far worse than others of their group.

    Their modified z-score in their group is larger than `ODD`, see `predicting.rounds`.

    The logarithm of the misfit is compared with its median in the group, in median absolute
    deviations.

    Args:
        misfit: how far each image is from its reconstruction, at least 0.
        group: of each image.
    """
    level = np.log(np.maximum(misfit, 1e-6))
    found = np.zeros(len(level), bool)
    for one in np.unique(group):
        mine = group == one
        apart = level[mine] - np.median(level[mine])
        found[mine] = apart > ODD * MAD * max(float(np.median(np.abs(apart))), 1e-9)
    return found


def found_in(table: Path, groups: Sequence[str]) -> Found:
    """Read what a run found from images.parquet.

    Args:
        table: the table.
        groups: names of all groups.
    """
    with in_utf8(table) as known:
        rows = parquet.read_table(known, columns=["group", "unlike"])
    names, counts = np.unique(rows["group"].to_numpy(), return_counts=True)
    return Found(
        sizes=tuple(counts.tolist()),
        empty=len(set(groups) - set(names.tolist())),
        odd=float(rows["unlike"].to_numpy().mean()),
    )


def next_steps(run: Path, source: str, *, trained: bool) -> list[str]:
    """What people may want to do next, each with its command.

    Args:
        run: folder of the run.
        source: its images.
        trained: whether it has a network.
    """
    steps = [
        f"Look at the groups, name and merge them: mcevae serve {run}",
        f"Sort new images: mcevae predict {run} SOURCE --out table.parquet",
    ]
    if not trained:
        steps.append(f"Train a network, with the same other flags: mcevae fit {source} --out RUN")
    return steps
