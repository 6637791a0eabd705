"""Follow digits through films, and sort paths into kinds.

    python benchmarks/tracks.py --folder FOLDER --data FOLDER

Films have 100 frames of 256 x 256 pixels, noise 0.1, with 10 MNIST test digits that drift, bounce
off the edges, swing within 85 degrees, and cross (`films.py`). The run that finds them is trained
on single digits with `FIT`, unless FOLDER has it. HOTA is given by places (similarity
1 - distance / 14 pixels, half of a digit's box) and by boxes (intersection over union). Group,
rotation and place are scored as in `scenes.py`, for the finds of each frame and for the tracks.
Paths are 600 of five kinds, moved, turned, scaled and mirrored by chance; K = 5 is given, and then
found. Three seeds each; method and constants were chosen on films 0 to 5 and paths 10 and 11.

Beside it, on the same finds: trackpy, by nearest places only, with the range and memory, of those
in `RANGES` and `MEMORIES`, that give it the best HOTA on these films (pip install trackpy). Writes
results/tracks.json and docs/images/tracks.png.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from common import in_folder, write_results
from films import KINDS, Things, by_boxes, by_distance, film, frames_of, hota, paths
from matplotlib.figure import Figure
from scenes import trained
from scenes_made import Scene
from scenes_scored import NEAR, Tally
from scipy.optimize import linear_sum_assignment

from mcevae import Run
from mcevae.finding.finder import Finder
from mcevae.finding.frames import frames_in_memory
from mcevae.finding.settings import FindConfig
from mcevae.images.readers.reading import Reading
from mcevae.tracking.film import Film, finds_in
from mcevae.tracking.kinds import kinds_of
from mcevae.tracking.settings import TrackConfig
from mcevae.tracking.tracks import tracks_of

FIT = "mnist --limit 10000 --rotation 90 --shift 0.1 --minutes 5"
SEEDS = (6, 7, 8)
ZERO = 14.0
"""Pixels at which places are not alike at all."""
RANGES, MEMORIES = (5, 8, 14), (0, 3, 8, 15)
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "tracks.png"


def things_of(rows: pa.Table, track: np.ndarray) -> Things:
    """Rows of a table as things, with these numbers of tracks."""
    column = {name: rows[name].to_numpy() for name in rows.column_names if name[:3] != "cha"}
    box = [column[f"box_{name}"] for name in ("x", "y", "width", "height")]
    return Things(
        time=column["time"],
        track=track,
        place=np.stack([column["x"], column["y"]], 1),
        box=np.stack(box, 1),
        kind=column["cluster"],
        angle=column["rotation_deg"],
    )


def scored(truth: Things, found: Things) -> dict[str, Any]:
    """HOTA by places, and by boxes."""
    return {
        "by_places": hota(truth, found, list(by_distance(truth, found, ZERO))),
        "by_boxes": hota(truth, found, list(by_boxes(truth, found))),
    }


def counted(tally: Tally, truth: Things, found: Things) -> None:
    """Add all frames of a film to a tally."""
    blank = np.zeros((1, 1))
    for rows, others in frames_of(truth, found):
        there = Scene(
            frame=blank, place=truth.place[rows], kind=truth.kind[rows], angle=truth.angle[rows]
        )
        tally.add(there, found.place[others], found.kind[others], found.angle[others])


def rates(truth: Things, table: pa.Table, found: Things) -> tuple[np.ndarray, np.ndarray]:
    """Errors of velocity (pixels a frame) and turning (degrees a frame) of rows that are right."""
    velocity = np.stack([table["velocity_x"].to_numpy(), table["velocity_y"].to_numpy()], 1)
    turning = table["turning_deg"].to_numpy()
    moves, turns = np.zeros_like(truth.place), np.zeros(len(truth.time))
    for number in np.unique(truth.track):
        own = truth.track == number
        moves[own] = np.gradient(truth.place[own], axis=0)
        turns[own] = np.gradient(truth.angle[own])
    apart, turned = [], []
    for rows, others in frames_of(truth, found):
        far = np.linalg.norm(truth.place[rows][:, None] - found.place[others][None], axis=2)
        i, j = linear_sum_assignment(np.minimum(far, 2 * NEAR))
        good = far[i, j] <= NEAR
        a, b = rows[i[good]], others[j[good]]
        apart.append(np.linalg.norm(moves[a] - velocity[b], axis=1))
        turned.append(np.abs(turns[a] - turning[b]))
    return np.concatenate(apart), np.concatenate(turned)


def found_in(run: Run, seed: int) -> tuple[Things, Film, float]:
    """What is in a film, its finds, and the processor seconds of a frame."""
    frames, truth = film(seed)
    finder = Finder(run, FindConfig())
    started = time.process_time()
    parts = [
        finds_in(finder, t, frame) for t, frame in enumerate(frames_in_memory(frames, Reading()))
    ]
    return truth, Film.of(finder, parts), (time.process_time() - started) / len(frames)


def mean(rows: list[dict[str, Any]], by: str) -> dict[str, float]:
    """The mean of the scores of all seeds."""
    return {name: round(float(np.mean([row[by][name] for row in rows])), 4) for name in rows[0][by]}


def films(run: Run, kept: list[tuple[Things, Film, float]]) -> dict[str, Any]:
    """Scores of the tracks of all films."""
    seeds, finds, tracks, errors = [], Tally(), Tally(), []
    seconds = []
    for truth, one, _ in kept:
        started = time.process_time()
        table = tracks_of(one, TrackConfig())
        seconds.append(time.process_time() - started)
        found = things_of(table, table["track"].to_numpy())
        seeds.append(scored(truth, found))
        counted(finds, truth, things_of(one.rows, np.arange(len(one))))
        counted(tracks, truth, found)
        errors.append(rates(truth, table, found))
    velocity, turning = (np.median(np.concatenate(one)) for one in zip(*errors, strict=True))
    return {
        "by_places": mean(seeds, "by_places"),
        "by_boxes": mean(seeds, "by_boxes"),
        "seeds": seeds,
        "finds": finds.scores(),
        "rows_of_tracks": tracks.scores(),
        "velocity_error_median_px_per_frame": round(float(velocity), 3),
        "turning_error_median_deg_per_frame": round(float(turning), 3),
        "processor_seconds_finding_a_frame": round(float(np.median([s for *_, s in kept])), 3),
        "processor_seconds_linking_a_film": round(float(np.median(seconds)), 2),
    }


def rival(kept: list[tuple[Things, Film, float]]) -> dict[str, Any]:
    """Scores of trackpy on the places of the same finds."""
    try:
        import trackpy  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {"left_out": "trackpy is not installed"}
    trackpy.quiet()
    tried = []
    for reach in RANGES:
        for memory in MEMORIES:
            seeds = []
            for truth, one, _ in kept:
                places = one.rows.select(["x", "y", "time"]).to_pandas()
                linked = trackpy.link(places, reach, memory=memory, t_column="time")
                track = linked.sort_index()["particle"].to_numpy()
                long = np.bincount(track)[track] >= TrackConfig().least
                rows = one.rows.filter(pa.array(long))
                number = np.unique(track[long], return_inverse=True)[1]
                seeds.append(scored(truth, things_of(rows, number)))
            means = {by: mean(seeds, by) for by in ("by_places", "by_boxes")}
            tried.append({**means, "search_range": reach, "memory": memory})
    return max(tried, key=lambda one: one["by_places"]["hota"])


def sorted_paths() -> dict[str, Any]:
    """Accuracy of the kinds of paths: K given; and K found, with the share of each kind's own."""
    given, found = [], []
    for seed in SEEDS:
        some, kind = paths(seed)
        for own, rows in (
            (kinds_of(some, len(KINDS)), given),
            (kinds_of(some, "auto"), found),
        ):
            table = np.zeros((own.max() + 1, len(KINDS)), int)
            np.add.at(table, (own, kind), 1)
            i, j = linear_sum_assignment(-table)
            rows.append(
                {
                    "accuracy": round(float(table[i, j].sum() / len(kind)), 4),
                    "purity": round(float(table.max(1).sum() / len(kind)), 4),
                    "kinds": len(table),
                }
            )
    accuracy = round(float(np.mean([row["accuracy"] for row in given])), 4)
    return {"accuracy": accuracy, "seeds": given, "kinds_found": found}


def picture(run: Run, kept: list[tuple[Things, Film, float]]) -> None:
    """Draw a frame with the tracks so far, and some paths of each kind."""
    frames, _ = film(SEEDS[0])
    table, now = tracks_of(kept[0][1], TrackConfig()), 60
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(frames[now], cmap="gray", vmin=0, vmax=1)
    for number in range(table["track"].to_numpy().max() + 1):
        rows = table.filter(pc.equal(table["track"], number))  # pyright: ignore
        x, y, t = (rows[name].to_numpy() for name in ("x", "y", "time"))
        past, colour = (t <= now) & (t > now - 40), f"C{rows['cluster'][0].as_py() % 10}"
        if t[0] <= now <= t[-1]:
            left.plot(x[past], y[past], color=colour, lw=1.5)
            left.text(x[past][-1] + 8, y[past][-1] - 8, str(number), color=colour, fontsize=9)
    left.set_axis_off()
    left.set_title(f"Frame {now}, and where its things were in the 40 frames before")
    some, _ = paths(SEEDS[0])
    kind = kinds_of(some, len(KINDS))
    for k in range(len(KINDS)):
        for column, i in enumerate(np.flatnonzero(kind == k)[:7]):
            own = some[i] - some[i].mean(0)
            own = own / np.abs(own).max()
            right.plot(own[:, 0] + 2.4 * column, own[:, 1] + 2.4 * k, color=f"C{k}", lw=0.9)
    right.set_aspect("equal")
    right.set_axis_off()
    right.set_title("Paths of each kind that was found")
    figure.savefig(PICTURE, dpi=75, pil_kwargs={"optimize": True})


def main() -> None:
    """Train, follow, compare, and store."""
    arguments = in_folder(argparse.ArgumentParser(description=__doc__))
    run = trained(arguments.folder, "film-digits", FIT)
    kept = [found_in(run, seed) for seed in SEEDS]
    content = {
        "fit": FIT,
        "seeds": SEEDS,
        "films": films(run, kept),
        "trackpy": rival(kept),
        "paths": sorted_paths(),
    }
    print(content)
    picture(run, kept)
    write_results("tracks", content, "python benchmarks/tracks.py --folder FOLDER --data FOLDER")


if __name__ == "__main__":
    main()
