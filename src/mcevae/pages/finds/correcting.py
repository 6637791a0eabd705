"""Changes of a table of finds, as people make them on a page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from mcevae.base.lock import locked
from mcevae.finding.corrections import (
    Change,
    Corrections,
    corrections_of,
    ids_of,
    write_corrections,
)
from mcevae.finding.finder import pose_columns
from mcevae.finding.placing import Placer
from mcevae.pages.finds.board import Board

PATIENCE = 10.0
"""Seconds to wait for another process that changes the corrections."""


class Stale(Exception):
    """Whoever asks for a change has seen other corrections."""

    def __init__(self) -> None:
        super().__init__(
            "the finds were changed meanwhile in another place; look at them as they are now, and "
            "do it again if you still want it"
        )


class Corrector:
    """Changes the table of a board. Each change says which version of the corrections it is of."""

    def __init__(self, board: Board) -> None:
        self.board, self.finds = board, board.finds

    @contextmanager
    def changing(self, version: str) -> Iterator[list[Corrections]]:
        """Give the present corrections in a list; the ones that are appended to it are kept.

        Raises:
            Stale: there are others than whoever asks has seen.
            UserError: they cannot be written.
        """
        path = corrections_of(self.finds.path)
        refusal = f"{path}: another process changes it; try again."
        with self.board.lock, locked(path.with_name(f".{path.name}.lock"), refusal, PATIENCE):
            now = [self.board.corrections]
            if version != now[0].version:
                raise Stale
            yield now
            write_corrections(self.finds.path, now[-1])
            self.board.take(now[-1])

    def step(self, back: bool, version: str) -> dict[str, Any]:
        """Undo the last change, or make the last one again that was undone.

        Raises:
            ValueError: there is no such change.
        """
        with self.changing(version) as kept:
            kept.append(kept[-1].stepped(back=back))
        return self.board.state()

    def delete(self, ids: Sequence[int], track: bool, version: str) -> dict[str, Any]:
        """Delete things, or their whole tracks.

        Raises:
            ValueError: there is no such thing.
        """
        with self.changing(version) as kept:
            kept.append(kept[-1].then(Change(do="delete", ids=self.meant(ids, track))))
        return self.board.state()

    def regroup(self, ids: Sequence[int], track: bool, group: str, version: str) -> dict[str, Any]:
        """Give things, or their whole tracks, another group.

        A single thing gets the pose that suits it best in this group. Of a track poses are empty
        then, since each group has a frame of its own.

        Raises:
            ValueError: there is no such thing or group, or it is theirs already.
        """
        with self.changing(version) as kept:
            meant, code = self.meant(ids, track), self.code_of(group)
            if all(self.finds.row(i)["group"] == code for i in meant):
                raise ValueError(f"this is in group {group} already")
            clusters = np.flatnonzero(self.clusters_of(group)).tolist()
            names = ("cluster", *self.pose_names)
            values = dict.fromkeys(names) | {"cluster": clusters[0] if clusters else None}
            if len(meant) == 1 and self.finds.row(meant[0])["found"]:
                row = self.finds.row(meant[0])
                made = self.placed(self.frame_of(meant[0]), row["x"], row["y"], group, meant)
                values = {name: made[name] for name in names}
            values = {name: values[name] for name in names if name in self.finds.schema.names}
            kept.append(
                kept[-1].then(Change(do="group", ids=meant, values={"group": group, **values}))
            )
        return self.board.state()

    def add(self, index: int, x: float, y: float, group: str, version: str) -> dict[str, Any]:
        """Add a thing near a place of a frame; in a film, as a track of its own.

        Returns:
            What `state` gives, and the id of the thing.

        Raises:
            IndexError: there is no such frame.
            ValueError: there is no such group, or the place is outside of the frame.
        """
        with self.changing(version) as kept:
            self.code_of(group)
            row = self.placed(index, x, y, group)
            row |= {"group": group, "probability": 1.0, "false_finds": 0.0}
            if self.finds.tracked:
                row |= {"track": self.finds.tracks(), "time": int(self.board.time_of(index))}
                row |= {"found": True, "group_probability": 1.0}
            own = {name: value for name, value in row.items() if name in self.finds.schema.names}
            new = self.finds.count + kept[-1].done
            kept.append(kept[-1].then(Change(do="add", values=own)))
        return self.board.state() | {"added": new}

    def placed(
        self, index: int, x: float, y: float, group: str, without: Sequence[int] = ()
    ) -> dict[str, Any]:
        """The row of a thing near a place, as the run sees it."""
        _, others, clusters = self.board.things(index, without)
        with self.board.readable(index) as frame:
            height, width = frame.view.shape[:2]
            if not (0 <= x <= width and 0 <= y <= height):
                raise ValueError(f"the frame has {width} x {height} pixels; choose a place in it")
            scale, only = self.board.tiles.scale(index, frame), self.clusters_of(group)
            return Placer(self.board.finder()).placed(frame, scale, (x, y), only, others, clusters)

    @property
    def pose_names(self) -> tuple[str, ...]:
        """Columns of poses."""
        model = self.board.run.model
        return tuple(pose_columns(torch.eye(3)[None], model.group, self.board.run.shape))

    def code_of(self, group: str) -> int:
        """The number of a group.

        Raises:
            ValueError: there is none of this name.
        """
        if group not in self.finds.code:
            raise ValueError(f"there is no group {group!r:.100}")
        return self.finds.code[group]

    def clusters_of(self, group: str) -> Bool[Tensor, " K"]:
        """The clusters of a group of the run; of another one, those that the table gives it."""
        known = torch.zeros(self.board.run.clusters, dtype=torch.bool)
        for one in self.board.run.collections.entries:
            if one.name == group:
                own = [unit.split(".")[0] for unit in one.units]
                known[[int(unit) for unit in own if unit.isdecimal()]] = True
        if not known.any():
            own = self.finds.cluster[self.finds.group == self.finds.code[group]]
            known[[k for k in {*own.tolist()} if 0 <= k < len(known)]] = True
        return known

    def frame_of(self, i: int) -> int:
        """The number of the frame of a row."""
        if i in self.finds.held.added:
            return self.finds.frame_of(self.finds.held.added[i])
        return int(self.finds.frame[i])

    def meant(self, ids: Sequence[int], track: bool) -> tuple[int, ...]:
        """The rows that are to be changed, each once.

        Raises:
            ValueError: one of them does not exist, or is in no track.
        """
        found: list[int] = []
        for i in ids:
            if not self.finds.is_row(i):
                raise ValueError(f"there is no thing {i} any more")
            number = self.finds.row(i)["track"]
            if track and number is None:
                raise ValueError(f"thing {i} is in no track")
            found += self.finds.in_track(int(number)) if track else [i]
        return ids_of(found)
