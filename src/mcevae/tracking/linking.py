"""Finds linked over frames by laptrack, with pose and group in the cost beside the distance.

laptrack solves the linear assignment problem of Jaqaman et al., "Robust single-particle tracking in
live-cell time-lapse sequences", 2008: frame by frame first, and then the pieces over gaps. It takes
any cost of two finds. Here it runs twice: the second time it knows the velocities of the first
tracks, so that finds are expected where things move to.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from mcevae.base.errors import UserError

PLACE, GROUP, POSE = 1.0, 0.7, 0.5
"""Largest costs of place, group and pose."""
UNKNOWN = 0.5
"""Share of the cost of pose if poses cannot be compared."""
FIRST, SURE, OVER_GAPS = 1.25, 0.5, 0.75
"""Cost of a track that begins, and of one that ends: at first, of sure pieces, and over gaps."""
TURN, SCALE = np.radians(45), 0.3
"""Rotation (radians) and logarithm of the scale between two frames that cost as much as another
thing does."""
FITTED = 5
"""Finds before or after one, with itself, that tell its velocity and its group."""
SPREAD = 3.0
"""Links are sure within this many times the distance, from where they are expected, within which
nine of ten finds are."""
TIME, X, Y, CLUSTER, ORDER, ANGLE, LOG_SCALE, MIRRORED, PIECE = range(9)
BEFORE, AFTER, CHANCES = slice(9, 11), slice(11, 13), slice(13, None)
"""Places of numbers in what laptrack calls the coordinates of a find."""


@dataclass(frozen=True, kw_only=True)
class Finds:
    """What linking needs to know of n finds, in the order of time.

    Attributes:
        time: (n,) number of the frame, from 0.
        place: (n, 2) x and y, pixels.
        cluster: (n,).
        order: (n,) of the symmetry of the cluster.
        angle: (n,) radians.
        log_scale: (n,).
        mirrored: (n,).
        chance: (n, K) probability of each cluster.
    """

    time: Int[np.ndarray, " n"]
    place: Float[np.ndarray, "n 2"]
    cluster: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    angle: Float[np.ndarray, " n"]
    log_scale: Float[np.ndarray, " n"]
    mirrored: Bool[np.ndarray, " n"]
    chance: Float[np.ndarray, "n K"]

    def coordinates(self, known: "Known") -> Float[np.ndarray, "n numbers"]:
        """All of it as numbers in a row."""
        names = ("cluster", "order", "angle", "log_scale", "mirrored")
        columns = [self.time, *self.place.T, *(getattr(self, name) for name in names)]
        columns.append(np.full(len(self.time), -1))
        chance = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in known.chance]
        return np.column_stack([*columns, *known.velocity, *chance]).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the finds before and after each of n finds, on its track, say of it.

    Attributes:
        velocity: two of (n, 2), pixels a frame.
        chance: two of (n, K), probability of each cluster.
    """

    velocity: tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]
    chance: tuple[Float[np.ndarray, "n K"], Float[np.ndarray, "n K"]]

    @classmethod
    def alone(cls, finds: Finds) -> "Known":
        """Nothing but what each find says itself."""
        rest = np.zeros_like(finds.place)
        return cls(velocity=(rest, rest), chance=(finds.chance, finds.chance))

    @classmethod
    def along(
        cls, finds: Finds, tracks: list[Int[np.ndarray, " _"]], *, whole: bool = False
    ) -> "Known":
        """What a few finds before and after each one say; all of the track of groups if `whole`."""
        velocity = (np.zeros_like(finds.place), np.zeros_like(finds.place))
        chance = (finds.chance.copy(), finds.chance.copy())
        for rows in tracks:
            for i, row in enumerate(rows):
                for side, some in enumerate(
                    (rows[max(0, i + 1 - FITTED) : i + 1], rows[i : i + FITTED])
                ):
                    since = finds.time[some] - finds.time[some].mean()
                    if len(some) > 1:
                        velocity[side][row] = since @ finds.place[some] / (since @ since)
                    chance[side][row] = finds.chance[rows if whole else some].mean(0)
        return cls(velocity=velocity, chance=chance)


@dataclass(frozen=True)
class Cost:
    """The cost of linking a find to a later one.

    Attributes:
        reach: pixels from where it is expected, a frame later, that cost as much as another group.
    """

    reach: float

    def __call__(self, one: np.ndarray, other: np.ndarray) -> float:
        """0 or more; infinite where the later find is out of reach."""
        frames = other[TIME] - one[TIME]
        wide = frames**0.5
        far = distance(one, other) / (self.reach * wide)
        if far >= 1:
            return np.inf
        half = (len(one) - CHANCES.start) // 2
        like = one[CHANCES][:half] @ other[CHANCES][half:]
        return PLACE * far**2 + GROUP * (1 - like) + POSE * self.pose(one, other, wide)

    @staticmethod
    def pose(one: np.ndarray, other: np.ndarray, wide: float) -> float:
        """Difference of two poses, 0 to 1. Clusters have frames of their own."""
        if one[CLUSTER] != other[CLUSTER]:
            return UNKNOWN
        if one[MIRRORED] != other[MIRRORED]:
            return 1.0
        period = 2 * np.pi / one[ORDER]
        turn = (other[ANGLE] - one[ANGLE] + period / 2) % period - period / 2
        scale = other[LOG_SCALE] - one[LOG_SCALE]
        return min(1.0, (turn / TURN / wide) ** 2 + (scale / SCALE / wide) ** 2)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Pixels from where a find is expected by the velocities of both, the mean."""
    frames = other[TIME] - one[TIME]
    dx, dy = other[X] - one[X], other[Y] - one[Y]
    (bx, by), (ax, ay) = one[BEFORE] * frames, other[AFTER] * frames
    return (np.hypot(dx - bx, dy - by) + np.hypot(dx - ax, dy - ay)) / 2


def same_piece(one: np.ndarray, other: np.ndarray) -> float:
    """Cost that links the finds of each piece again, and no others."""
    return 0.0 if one[PIECE] == other[PIECE] else np.inf


def need_laptrack() -> None:
    """Check that laptrack is installed, before any work is done.

    Raises:
        UserError: it is not.
    """
    try:
        import laptrack  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; pip install 'mcevae[track]'.") from None


def linked(finds: Finds, reach: float, gap: int, least: int = 3) -> list[Int[np.ndarray, " _"]]:
    """Link finds to tracks.

    First every find is linked to one of the frame before, if any is in reach. So much is known of
    velocities and groups that, a second time, only sure links are made; they give pieces of tracks.
    Pieces are then linked over gaps. Short pieces in reach of other finds do not take part: things
    that cross are seldom found well.

    Args:
        finds: of all frames.
        reach: how far a find may be from where it is expected a frame later, pixels.
        gap: frames in a row in which a thing may not be found.
        least: finds of a piece that is not short.

    Returns:
        The rows of each track's finds, in the order of time; tracks in the order of their first.

    Raises:
        UserError: laptrack is not installed.
    """
    need_laptrack()
    wide = Cost(reach)
    alone = finds.coordinates(Known.alone(finds))
    first = _tracks(len(alone), _solve(alone, FIRST, wide))
    numbers = finds.coordinates(Known.along(finds, first))
    sure = Cost(usual(numbers, first, reach))
    pieces = _tracks(len(numbers), _solve(numbers, SURE, sure))
    pieces = [rows for rows in pieces if len(rows) >= least or lonely(finds, rows, reach)]
    if not (gap and pieces):
        return pieces
    numbers = finds.coordinates(Known.along(finds, pieces, whole=True))
    for number, rows in enumerate(pieces):
        numbers[rows, PIECE] = number
    kept = np.sort(np.concatenate(pieces))
    tracks = _tracks(len(kept), _solve(numbers[kept], OVER_GAPS, same_piece, wide, gap))
    return [kept[rows] for rows in tracks]


def usual(
    numbers: Float[np.ndarray, "n numbers"], tracks: list[Int[np.ndarray, " _"]], reach: float
) -> float:
    """How far from where it is expected a find may be, pixels, measured on first tracks."""
    pairs = [(a, b) for rows in tracks for a, b in itertools.pairwise(rows)]
    apart = [distance(numbers[a], numbers[b]) for a, b in pairs]
    if not apart:
        return reach
    return float(np.clip(SPREAD * np.quantile(apart, 0.9), reach / 4, reach))


def lonely(finds: Finds, rows: Int[np.ndarray, " m"], reach: float) -> bool:
    """Whether no other find is in reach of these."""
    for row in rows:
        others = finds.place[finds.time == finds.time[row]]
        if (np.linalg.norm(others - finds.place[row], axis=1) < reach).sum() > 1:
            return False
    return True


def _solve(
    numbers: Float[np.ndarray, "n numbers"],
    unlinked: float,
    metric: Any,
    over_gaps: Any = None,
    gap: int = 0,
) -> list[tuple[int, int]]:
    """Let laptrack link finds: pairs of rows.

    Args:
        numbers: see `Finds.coordinates`, in the order of time.
        unlinked: cost of a track that begins, and of one that ends.
        metric: cost of two finds in frames that follow each other.
        over_gaps: cost of the last and the first find of two pieces. None: gaps stay.
        gap: frames between these, at most.
    """
    from laptrack import LapTrack

    time = numbers[:, TIME].astype(int)
    ends = np.searchsorted(time, np.arange(time.max() + 2))
    frames = [numbers[a:b] for a, b in itertools.pairwise(ends)]
    most = 2 * unlinked
    costs = ("track_start_cost", "track_end_cost", "segment_start_cost", "segment_end_cost")
    settings: dict[str, Any] = {
        "metric": metric,
        "cutoff": most,
        "gap_closing_metric": over_gaps or metric,
        "gap_closing_cutoff": most if over_gaps else False,
        "gap_closing_max_frame_count": gap + 1,
        **dict.fromkeys(costs, unlinked),
    }
    solver = LapTrack(**settings)
    edges = solver.predict(frames).edges()
    return [(int(ends[t] + i), int(ends[later] + j)) for (t, i), (later, j) in edges]


def _tracks(count: int, pairs: list[tuple[int, int]]) -> list[Int[np.ndarray, " _"]]:
    """Rows of finds that are linked, in the order of their first."""
    following = dict(pairs)
    tracks = []
    for row in sorted({*range(count)} - {*following.values()}):
        rows = [row]
        while (found := following.get(rows[-1])) is not None:
            rows.append(found)
        tracks.append(np.array(rows))
    return tracks
