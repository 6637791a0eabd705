"""Columns of a table that people decide: the group of each image, whether it is kept, tags.

And those beside them: of the runs before, and of the source.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from mcevae.base.config import DataConfig
from mcevae.images.sources.contract import Part
from mcevae.runs.collections import Collections
from mcevae.runs.parents import Parent, columns


def grouped(
    collections: Collections, of: Int[np.ndarray, " n"], names: Sequence[str] | None
) -> dict[str, pa.Array]:
    """The columns group, kept and tags. The last two: only if people decided anything.

    Args:
        collections: groups of the run.
        of: collection of each image, as `Collections.assign` finds it.
        names: of each image. None: they have none.
    """
    made = {"group": pa.array([collections.entries[i].name for i in of], pa.string())}
    if collections.judges:
        junk: Bool[np.ndarray, " n"] = collections.junk_in(of, names)
        made["kept"] = pa.array(~junk)
        told = ["; ".join(collections.decisions.of(name).tags) for name in names or [""] * len(of)]
        made["tags"] = pa.array(told, pa.string())
    return made


def for_source(
    collections: Collections | None, source: str, data: DataConfig
) -> Collections | None:
    """The groups as they hold for a source: what was said of single images is of the run's own.

    Args:
        collections: groups of the run. None: there are none.
        source: path or name of the source.
        data: data settings of the run.
    """
    if collections is None or is_own(source, data):
        return collections
    return collections.of_other_images()


def is_own(source: str, data: DataConfig) -> bool:
    """Whether a source is that of a run, whose data settings are given."""
    return source == data.source or Path(source).resolve() == Path(data.source or "").resolve()


def levelled(parents: Sequence[Parent], part: Part, first: int) -> Mapping[str, pa.Array]:
    """Columns with the groups that the images of a part had in the runs before.

    Args:
        parents: of the run.
        part: the images.
        first: number of the first image.
    """
    return columns(parents, part.places_from(first)) if parents else {}


def with_columns(rows: pa.Table, more: Mapping[str, np.ndarray | pa.Array]) -> pa.Table:
    """Add columns to a table, behind the number and the name of the image."""
    for place, (name, values) in enumerate(more.items(), 2):
        rows = rows.add_column(place, name, pa.array(values))
    return rows
