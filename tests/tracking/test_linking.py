"""Finds linked over frames: crossings, gaps, births and deaths."""

import sys

import numpy as np
import pytest

from mcevae.base.errors import UserError
from mcevae.tracking.linking import Finds, linked

FRAMES = 24


def finds(
    paths: np.ndarray, cluster: list[int], angle: np.ndarray, seen: np.ndarray | None = None
) -> tuple[Finds, np.ndarray]:
    """Finds of things, and which thing each is.

    Args:
        paths: (things, frames, 2).
        cluster: of each thing.
        angle: (things, frames) degrees.
        seen: (things, frames); None: always.
    """
    count, frames = paths.shape[:2]
    time, thing = (one.ravel() for one in np.mgrid[:frames, :count])
    kept = np.ones(len(time), bool) if seen is None else seen[thing, time]
    time, thing = time[kept], thing[kept]
    kind = np.array(cluster)[thing]
    made = Finds(
        time=time,
        place=paths[thing, time],
        cluster=kind,
        order=np.ones(len(time), int),
        angle=np.radians(angle[thing, time]),
        log_scale=np.zeros(len(time)),
        mirrored=np.zeros(len(time), bool),
        chance=np.eye(3)[kind] * 0.9 + 0.1 / 3,
    )
    return made, thing


def bounce() -> np.ndarray:
    """Two things that come near, and go back to where they came from: (2, frames, 2)."""
    t = np.arange(FRAMES)
    apart = 1 + 3 * np.abs(t - FRAMES / 2)
    return np.stack([np.stack([5.0 * t, 60 + s * apart], 1) for s in (-0.5, 0.5)])


def cross() -> np.ndarray:
    """Two things that pass through each other."""
    t = np.arange(FRAMES)
    along = 3.0 * (t - FRAMES / 2) + 0.5
    return np.stack([np.stack([5.0 * t, 60 + s * along / 2], 1) for s in (-1, 1)])


def pure(made: Finds, thing: np.ndarray, gap: int = 5) -> list[set[int]]:
    """Which things are in each track."""
    return [set(thing[rows].tolist()) for rows in linked(made, 14.0, gap)]


@pytest.mark.parametrize("paths", [cross(), bounce()], ids=["cross", "bounce"])
def test_groups_tell_which_way_things_went(paths: np.ndarray) -> None:
    still = np.zeros((2, FRAMES))
    assert pure(*finds(paths, [0, 1], still)) == [{0}, {1}]


def test_poses_tell_which_way_things_of_one_group_went() -> None:
    lean = np.array([[-80.0], [80.0]]).repeat(FRAMES, 1)
    assert pure(*finds(bounce(), [0, 0], lean)) == [{0}, {1}]


def test_velocities_tell_which_way_alike_things_went_while_they_were_hidden() -> None:
    seen = np.ones((2, FRAMES), bool)
    seen[:, 9:16] = False
    assert pure(*finds(cross(), [0, 0], np.zeros((2, FRAMES)), seen), gap=7) == [{0}, {1}]


def test_gaps_are_bridged_as_far_as_is_allowed() -> None:
    seen = np.ones((2, FRAMES), bool)
    seen[0, 10:14] = False  # hidden while they cross
    made = finds(cross(), [0, 1], np.zeros((2, FRAMES)), seen)
    assert pure(*made, gap=4) == [{0}, {1}]
    assert len(pure(*made, gap=3)) == 3


def test_things_come_and_go() -> None:
    t = np.arange(FRAMES)
    paths = np.stack([np.stack([4.0 * t, 20.0 + 80 * k + 0 * t], 1) for k in range(3)])
    seen = np.ones((3, FRAMES), bool)
    seen[1, :8], seen[2, 15:] = False, False
    made, thing = finds(paths, [0, 1, 2], np.zeros((3, FRAMES)), seen)
    tracks = linked(made, 14.0, 3)
    assert {(made.time[r][0], made.time[r][-1], *set(thing[r])) for r in tracks} == {
        *((0, FRAMES - 1, 0), (8, FRAMES - 1, 1), (0, 14, 2))
    }


def test_without_laptrack_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "laptrack", None)
    with pytest.raises(UserError, match=r"pip install 'mcevae\[track\]'"):
        linked(finds(cross(), [0, 1], np.zeros((2, FRAMES)))[0], 14.0, 3)
