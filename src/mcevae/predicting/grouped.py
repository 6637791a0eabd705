"""Columns of a table that people decide: the group of each image, whether it is kept, tags."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from mcevae.base.config import DataConfig
from mcevae.runs.collections import Collections


def grouped(
    collections: Collections, of: Int[np.ndarray, " n"], names: Sequence[str] | None
) -> dict[str, pa.Array]:
    """The columns group, kept and tags. The last two: only if people decided anything.

    Args:
        collections: groups of the run.
        of: collection of each image, as `Collections.assign` finds it.
        names: of each image. None: they have none.
    """
    columns = {"group": pa.array([collections.entries[i].name for i in of], pa.string())}
    if collections.judges:
        junk: Bool[np.ndarray, " n"] = collections.junk_in(of, names)
        columns["kept"] = pa.array(~junk)
        told = ["; ".join(collections.decisions.of(name).tags) for name in names or [""] * len(of)]
        columns["tags"] = pa.array(told, pa.string())
    return columns


def for_source(
    collections: Collections | None, source: str, data: DataConfig
) -> Collections | None:
    """The groups as they hold for a source: what was said of single images is of the run's own.

    Args:
        collections: groups of the run. None: there are none.
        source: path or name of the source.
        data: data settings of the run.
    """
    own = source == data.source or Path(source).resolve() == Path(data.source or "").resolve()
    if collections is None or own:
        return collections
    return collections.of_other_images()
