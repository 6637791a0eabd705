"""Tracks as a table: one group each, places and poses without jumps, a row for every frame."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int

from mcevae.finding.finder import BOX, pose_columns
from mcevae.geometry.groups import mirrored, proper_part, reflect
from mcevae.tracking.film import Film
from mcevae.tracking.kinds import kinds_of
from mcevae.tracking.linking import linked
from mcevae.tracking.settings import TrackConfig
from mcevae.tracking.smoothing import smooth_places, smooth_poses, unrolled

REACH = 0.5
"""How far a thing may be from where it is expected, in its sizes, if nothing is said."""
DOUBT = 0.1
"""Probability that a single find says nothing of its group: without it one frame could outvote all
others."""
PLACE = 0.15
"""A find this far from the line through its neighbours counts a quarter, in sizes of a thing."""
OF_FIND = ("file", "frame", "probability", "false_finds", "score", "amplitude")


def tracks_of(film: Film, settings: TrackConfig) -> pa.Table:
    """Link the finds of a film to tracks.

    Columns: track (number, by the first frame), time (frame of the film, from 0), found (whether
    there is a find in this frame; between two finds rows are filled in), x and y, velocity_x and
    velocity_y (pixels a frame), group and cluster (of the whole track), group_probability, the pose
    as `Finder.rows` has it, turning_deg (degrees a frame) and growth (of the logarithm of the
    scale, a frame) where the group has them, the box, and of the find in this frame its file,
    frame, probability, false_finds, score and amplitude; they are null where there is none. With
    `kinds` also kind, null of tracks that are too short to have one.

    Args:
        film: the finds.
        settings: how they are linked.

    Raises:
        UserError: laptrack is not installed, or tracks are too few for the kinds.
    """
    parts = []
    if len(film):
        order = np.argsort(film.column("time"), kind="stable")
        film = Film(**{**vars(film), "rows": film.rows.take(pa.array(order)).combine_chunks()})
        reach = settings.reach or REACH * film.size
        teller = Teller(film, settings.smooth)
        for rows in linked(film.finds(), reach, settings.gap, settings.least):
            if len(rows) >= settings.least:
                parts.append(teller.rows(rows, len(parts)))
    table = pa.concat_tables(parts) if parts else nothing(film)
    if settings.kinds is None:
        return table
    kinds = kinds_of([*paths(table)], settings.kinds, handed=settings.handed)
    kind = kinds[table["track"].to_numpy()]
    return table.append_column("kind", pa.array(kind.astype(np.int32), mask=kind < 0))


def nothing(film: Film) -> pa.Table:
    """A table of tracks without rows: what is told of a made-up find, cut to none."""
    groups, clusters = len(film.groups), len(film.order)
    lists = {
        "linear": [1.0, 0.0, 0.0, 1.0],
        "chance": [1 / clusters] * clusters,
        "group_chance": [1 / groups] * groups,
    }
    made = {}
    for name, kind in zip(film.rows.schema.names, film.rows.schema.types, strict=True):
        value = lists.get(name, "" if pa.types.is_string(kind) else 0)
        made[name] = pa.array([value if not pa.types.is_boolean(kind) else False], kind)
    one = Film(**{**vars(film), "rows": pa.table(made)})
    return Teller(one, 1.0).rows(np.array([0]), 0)[:0]


class Teller:
    """Tells of tracks, row by row."""

    def __init__(self, film: Film, width: float) -> None:
        """Take out of the table what all tracks need.

        Args:
            film: the finds, in the order of time.
            width: frames over which places and poses are smoothed.
        """
        self.film, self.width = film, width
        self.time, self.places, self.poses = film.column("time"), film.places, film.poses
        self.cluster, self.chance = film.column("cluster"), film.column("chance")
        self.group_chance = film.column("group_chance")
        self.boxes = np.stack([film.column(name) for name in BOX], 1).astype(np.float64)

    def rows(self, finds: Int[np.ndarray, " m"], number: int) -> pa.Table:
        """The rows of a track, see `tracks_of`.

        Args:
            finds: rows of its finds, in the order of time.
            number: of the track.
        """
        film, times = self.film, self.time[finds]
        at = np.arange(times[0], times[-1] + 1)
        index = np.searchsorted(times, at)  # the find in each frame, or the next one
        found = times[index] == at
        chances = decided(self.group_chance[finds])
        group = int(chances.argmax())
        cluster = self.cluster_in(finds, group)
        places, velocity = smooth_places(
            torch.from_numpy(times).double(),
            torch.from_numpy(self.places[finds]),
            torch.from_numpy(at).double(),
            self.width,
            PLACE * film.size,
        )
        columns: dict[str, pa.Array | np.ndarray] = {
            "track": np.full(len(at), number, np.int32),
            "time": at.astype(np.int32),
            "found": found,
            **{name: places[:, i].numpy() for i, name in enumerate("xy")},
            **{f"velocity_{name}": velocity[:, i].numpy() for i, name in enumerate("xy")},
            "group": pa.array([film.groups[group]] * len(at), pa.string()),
            "cluster": np.full(len(at), cluster, np.int32),
            "group_probability": np.full(len(at), chances[group], np.float32),
            **self.posed(finds, cluster, at),
        }
        offset = self.boxes[finds] - np.pad(self.places[finds], ((0, 0), (0, 2)))
        box = offset[index] + np.pad(places.numpy(), ((0, 0), (0, 2)))
        columns |= {name: box[:, i].astype(np.float32) for i, name in enumerate(BOX)}
        own = film.rows.select(OF_FIND).take(pa.array(finds[index], mask=~found))
        columns |= {name: own[name] for name in OF_FIND}
        return pa.table(columns)

    def cluster_in(self, finds: Int[np.ndarray, " m"], group: int) -> int:
        """The cluster of a track: the likeliest of those whose finds are mostly of its group."""
        chances = np.log(doubted(self.chance[finds])).sum(0)
        own = self.group_chance[finds].argmax(1) == group
        seen = np.isin(np.arange(len(chances)), self.cluster[finds[own]])
        return int(np.where(seen, chances, -np.inf).argmax() if seen.any() else chances.argmax())

    def posed(
        self, finds: Int[np.ndarray, " m"], cluster: int, at: Int[np.ndarray, " T"]
    ) -> dict[str, np.ndarray]:
        """Columns of the poses and their rates, from the finds of the track's cluster.

        Poses of other clusters are in other frames, and tell nothing here.
        """
        film, group = self.film, self.film.group
        own = finds[self.cluster[finds] == cluster]
        own = own if len(own) else finds
        poses = self.poses[own]
        flipped = bool(mirrored(poses).float().mean() > 0.5)
        alike = mirrored(poses) == flipped
        poses, own = proper_part(poses[alike]), own[alike.numpy()]
        poses = unrolled(poses, film.order[cluster], group)
        smooth, rate = smooth_poses(
            torch.from_numpy(self.time[own]).double(),
            poses,
            torch.from_numpy(at).double(),
            self.width,
            group,
        )
        smooth = reflect(smooth, torch.full((len(smooth),), flipped))
        columns = pose_columns(smooth, group, film.shape)
        rates = dict(zip(group.coordinates, rate.T, strict=True))
        if "rotation" in rates:
            columns["turning_deg"] = rates["rotation"].rad2deg().numpy()
        if "log_scale" in rates:
            columns["growth"] = rates["log_scale"].numpy()
        return columns


def doubted(chance: Float[np.ndarray, "m K"]) -> Float[np.ndarray, "m K"]:
    """Probabilities that leave room for doubt."""
    return (1 - DOUBT) * chance.astype(np.float64) + DOUBT / chance.shape[1]


def decided(chance: Float[np.ndarray, "m K"]) -> Float[np.ndarray, " K"]:
    """Probability of each group by all finds of a track: logarithms are added."""
    total = np.log(doubted(chance)).sum(0)
    share = np.exp(total - total.max())
    return share / share.sum()


def paths(table: pa.Table) -> Iterator[Float[np.ndarray, "T 2"]]:
    """The places of each track of a table, in the order of their numbers."""
    number = table["track"].to_numpy()
    places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], 1)
    if len(places):
        yield from np.split(places, np.flatnonzero(np.diff(number)) + 1)
