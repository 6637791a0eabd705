"""The finds of a film: what `mcevae find` tells of each thing, and what linking needs beside it."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mcevae.finding.finder import Finder, Tell
from mcevae.finding.frames import Large
from mcevae.finding.keeping import Kept
from mcevae.finding.things import Things
from mcevae.geometry.groups import MatrixGroup, mirrored, proper_part
from mcevae.runs.run import TrainedRun
from mcevae.tracking.linking import Finds

OWN = ("time", "linear", "chance", "group_chance")
"""Columns that finds of films have beside those of `Finder.rows`."""


def finds_in(
    finder: Finder,
    time: int,
    frame: Large,
    tell: Tell | None = None,
    kept: Kept | None = None,
) -> pa.Table:
    """The things of a frame of a film.

    Args:
        finder: finds them.
        time: number of the frame in the film, from 0.
        frame: the frame.
        tell, kept: as for `Finder.find`.

    Returns:
        The columns of `Finder.rows`, and time; linear: rows of the 2 x 2 part of the pose; chance:
        probability of each cluster; group_chance: that of each of the run's groups.

    Raises:
        Unreadable, UserError: as for `Finder.find`.
    """

    def look(frame: Large, things: Things, place: Tensor, expected: Tensor) -> pa.Table:
        rows = finder.rows(frame, things, place, expected)
        pose = finder.run.frames.poses(things.element, things.cluster, things.z)
        more = {
            "linear": pose[:, :2, :2].reshape(-1, 4),
            "chance": things.chance,
            "group_chance": group_chance(finder.run, things),
        }
        rows = rows.append_column("time", pa.array(np.full(len(things), time, np.int32)))
        for name, values in more.items():
            flat = pa.array(values.numpy().astype(np.float32).ravel())
            rows = rows.append_column(
                name, pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            )
        return rows

    return finder.measured(frame, tell, kept, look)[0]


def group_chance(run: TrainedRun, things: Things) -> Float[Tensor, "n groups"]:
    """The probability of each group: the sum over the clusters that are in it."""
    collections = run.collections
    made = torch.zeros(len(things), len(collections.entries))
    z = things.z.numpy()
    for k, chance in enumerate(things.chance.T):
        of = collections.assign(np.full(len(things), k), z)
        made.scatter_add_(1, torch.from_numpy(of).long()[:, None], chance[:, None])
    return made


@dataclass(frozen=True, kw_only=True)
class Film:
    """All finds of a film, in the order of time.

    Attributes:
        rows: n finds, as `finds_in` gives them.
        group: of the poses.
        order: of the symmetry of each cluster.
        shape: (C, H, W) of the model's images.
        groups: names of the run's groups.
        size: of a thing, pixels of the frames.
    """

    rows: pa.Table
    group: MatrixGroup
    order: tuple[int, ...]
    shape: tuple[int, int, int]
    groups: tuple[str, ...]
    size: float

    @classmethod
    def of(cls, finder: Finder, parts: list[pa.Table]) -> "Film":
        """The film whose frames have these finds."""
        run = finder.run
        symmetry = run.symmetry
        return cls(
            rows=pa.concat_tables(parts).combine_chunks(),
            group=run.model.group,
            order=symmetry.order if symmetry else (1,) * run.clusters,
            shape=run.shape,
            groups=tuple(entry.name for entry in run.collections.entries),
            size=finder.size,
        )

    def __len__(self) -> int:
        """Count the finds."""
        return self.rows.num_rows

    def column(self, name: str) -> np.ndarray:
        """A column of the finds: (n,), or (n, numbers) of lists."""
        found = self.rows[name].combine_chunks()
        if pa.types.is_fixed_size_list(found.type):
            return found.flatten().to_numpy().reshape(len(self), found.type.list_size)
        return found.to_numpy(zero_copy_only=False)

    @property
    def places(self) -> Float[np.ndarray, "n 2"]:
        """x and y of the finds, pixels."""
        return np.stack([self.column("x"), self.column("y")], 1).astype(np.float64)

    @property
    def poses(self) -> Float[Tensor, "n 3 3"]:
        """Poses of the finds, without shifts."""
        made = torch.eye(3, dtype=torch.float64).repeat(len(self), 1, 1)
        made[:, :2, :2] = torch.tensor(self.column("linear"), dtype=torch.float64).view(-1, 2, 2)
        return made

    @property
    def orders(self) -> Int[np.ndarray, " n"]:
        """Order of the symmetry of each find's cluster."""
        return np.array(self.order)[self.column("cluster")]

    def finds(self) -> Finds:
        """What linking needs to know."""
        poses, names = self.poses, self.group.coordinates
        known = self.group.to_parameters(proper_part(poses)).numpy()
        parameters = dict(zip(names, known.T, strict=True))
        nothing = np.zeros(len(self))
        return Finds(
            time=self.column("time").astype(np.int64),
            place=self.places,
            cluster=self.column("cluster").astype(np.int64),
            order=self.orders,
            angle=parameters.get("rotation", nothing),
            log_scale=parameters.get("log_scale", nothing),
            mirrored=mirrored(poses).numpy(),
            chance=self.column("chance").astype(np.float64),
        )
