"""Find things in large frames: digits that touch or not, and particles in a noisy micrograph.

    python benchmarks/scenes.py --folder FOLDER --data FOLDER

Scenes have MNIST test digits, 20 in 256 x 256 pixels within 90 degrees, noise 0.1; either without
overlap of their boxes, or each second one with a box that overlaps another by 10 to 30 %. And
micrographs: 80 particles in 1024 x 1024 pixels in any direction, signal to noise 0.1, on an uneven
background. And 60 symbols in 512 x 512, in any direction, mirrored by chance, magnified by 1 / 1.3
to 1.3; their run has the group sim2 with mirror images. The runs that find them are trained on
single things with `FITS`, unless FOLDER has them. Three seeds. `speed` has seconds of a micrograph
on two threads. The place of a thing is the centroid of what it shows; a find is right within 3
pixels. The group is right if it is that of most things of this kind (best one-to-one match of
clusters and kinds over all seeds). Poses are compared after each cluster's frame is aligned.

Beside it, on the scenes of the first seed: scikit-image's `match_template` with the largest
template of each cluster at all rotations, non-maximum suppression, and the threshold that gives it
the best F1 on these scenes (pip install scikit-image). Processor seconds are those of one thread,
since other programs on the machine do not count there. Writes results/scenes.json and
docs/images/finding.png; --speed measures `speed` alone. `scenes_learned.py` adds what is learned
from such frames without boxes.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import RESULTS, in_folder, write_results
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter
from scipy.optimize import linear_sum_assignment
from sets_common import moved, to_uint8
from sets_drawn import CHIRAL, glyphs, noise

from mcevae import Run, get_group, load, open_run, warp
from mcevae.finding.bank import bank_of, turns_of
from mcevae.finding.explaining import STEP
from mcevae.finding.finder import Finder
from mcevae.finding.frames import frames_in_memory
from mcevae.finding.settings import FindConfig
from mcevae.geometry.groups import reflect
from mcevae.images.readers.reading import Reading
from mcevae.reproduce.protocols import placed

FITS = {
    "digits": "mnist --limit 10000 --rotation 90 --shift 0.1 --epochs 40",
    "particles": "particles.npy --rotation 180 --shift 0.1 --clusters 12 --epochs 40",
    "symbols": "symbols.npy --group sim2 --mirror --rotation 180 --shift 0.1 --scale 1.4 "
    "--clusters 10 --epochs 40",
}
"""Source and flags of `mcevae fit` for each run."""
KINDS = {
    "digits": "digits",
    "overlap": "digits",
    "micrograph": "particles",
    "symbols": "symbols",
}
"""The run that finds the things of each kind of scene."""
SEEDS, SCENES = (0, 1, 2), 5
NEAR = 3.0
PARTICLES, TRAINED = 6600, 6000
RATIO = 0.1
SYMBOL, EACH = 40, 240
SMALLER, LARGER, SHIFTED = 0.75, 1.3, 0.08
"""Size of symbols in their boxes, how much larger or smaller they may be, and shifts in sides."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "finding.png"


@dataclass(kw_only=True)
class Scene:
    """A frame, and what is in it.

    Attributes:
        frame: (H, W).
        place: (n, 2) x and y of each thing.
        kind: (n,).
        angle: (n,) degrees.
        scale: (n,) magnification; None: all have one.
        mirrored: (n,) whether each is a mirror image; None: none is.
    """

    frame: np.ndarray
    place: np.ndarray
    kind: np.ndarray
    angle: np.ndarray
    scale: np.ndarray | None = None
    mirrored: np.ndarray | None = None


class Drawn(NamedTuple):
    """A picture of a thing, its kind, and its pose: degrees, magnification, mirror image."""

    picture: np.ndarray
    kind: int
    angle: float
    scale: float = 1.0
    mirrored: bool = False


def digits(part: str = "test") -> Callable[[np.random.Generator], Drawn]:
    """What draws a digit of the test images, or of those for training, within 90 degrees."""
    images = getattr(load("mnist"), part)
    assert images.labels is not None
    pixels, labels = images.pixels.float() / 255, images.labels

    def draw(rng: np.random.Generator) -> Drawn:
        which, angle = int(rng.integers(len(pixels))), rng.uniform(-90, 90)
        turn = get_group("so2").exp(torch.tensor([[math.radians(angle)]]).float())
        turned = warp(pixels[which : which + 1], turn)[0, 0].numpy()
        return Drawn(turned, int(labels[which]), angle)

    return draw


@cache
def particles() -> Callable[[np.random.Generator], Drawn]:
    """What draws a particle without noise; the run was trained on others of the same kinds."""
    clean = noise(0, 1e9, PARTICLES)
    assert clean.elements is not None
    angles = torch.atan2(clean.elements[:, 1, 0], clean.elements[:, 0, 0]).rad2deg().numpy()

    def draw(rng: np.random.Generator) -> Drawn:
        which = int(rng.integers(TRAINED, PARTICLES))
        return Drawn(clean.images[which], int(clean.labels[which]), float(angles[which]))

    return draw


@cache
def symbols() -> Callable[[np.random.Generator], Drawn]:
    """What draws a symbol in any direction, larger or smaller, and mirrored by chance."""
    drawn = glyphs(CHIRAL)

    def draw(rng: np.random.Generator) -> Drawn:
        kind, angle = int(rng.integers(len(CHIRAL))), rng.uniform(-180, 180)
        scale, flipped = math.exp(rng.uniform(-1, 1) * math.log(LARGER)), bool(rng.integers(2))
        turn = placed(np.array([angle]), rng.uniform(-SHIFTED, SHIFTED, (1, 2)))
        turn[:, :2, :2] *= scale * SMALLER
        element = reflect(turn, torch.tensor([flipped]))
        picture = moved(drawn, torch.tensor([kind]), element, SYMBOL)[0, 0]
        return Drawn(picture, kind, angle, scale, flipped)

    return draw


def grey(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bytes with the noise of scenes of symbols."""
    return to_uint8(255 * frame + rng.normal(0, 8, frame.shape))


def spots(
    rng: np.random.Generator, side: int, size: int, count: int, overlap: float
) -> list[tuple[int, int]]:
    """Corners of boxes. With an overlap each second one covers 10 % or more of another."""
    found: list[tuple[int, int]] = []
    while len(found) < count:
        x, y = rng.integers(0, side - size + 1, 2).tolist()
        shares = [max(0, size - abs(x - a)) * max(0, size - abs(y - b)) / size**2 for a, b in found]
        largest = max(shares, default=0)
        wanted = overlap and len(found) % 2
        if largest <= overlap and (not wanted or largest >= 0.1):
            found.append((x, y))
    return found


def scene(
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator], Drawn],
    side: int,
    count: int,
    overlap: float = 0.0,
) -> Scene:
    """A frame without noise: the brightest of things that overlap."""
    frame = np.zeros((side, side), np.float32)
    places = []
    things = [draw(rng) for _ in range(count)]
    size = things[0].picture.shape[0]
    across = np.arange(size) + 0.5
    for (x, y), (picture, *_) in zip(spots(rng, side, size, count, overlap), things, strict=True):
        own = frame[y : y + size, x : x + size]
        np.maximum(own, picture, out=own)
        total = picture.sum()
        places.append((x + picture.sum(0) @ across / total, y + picture.sum(1) @ across / total))
    _, kind, angle, scale, flipped = map(list, zip(*things, strict=True))
    return Scene(
        frame=frame,
        place=np.array(places),
        kind=np.array(kind),
        angle=np.array(angle),
        scale=np.array(scale),
        mirrored=np.array(flipped),
    )


def scenes_of(kind: str, seed: int) -> Iterator[Scene]:
    """The scenes of a seed: digits, overlap, micrograph or symbols."""
    rng = np.random.default_rng(seed + 100)
    if kind == "micrograph":
        made = scene(rng, particles(), 1024, 80)
        spread = noise(0, 1e9, PARTICLES).images.std()
        down, across = np.mgrid[:1024, :1024] / 1024
        uneven = 3 * spread * (np.sin(3 * across) + 2 * (down - 0.5) ** 2 + across * down)
        made.frame += uneven + rng.normal(0, spread / math.sqrt(RATIO), made.frame.shape)
        yield made
        return
    if kind == "symbols":
        made = scene(rng, symbols(), 512, 60)
        made.frame = grey(made.frame, rng)
        yield made
        return
    draw = digits()
    for _ in range(SCENES):
        made = scene(rng, draw, 256, 20, 0.3 if kind == "overlap" else 0.0)
        made.frame += rng.normal(0, 0.1, made.frame.shape).astype(np.float32)
        yield made


def linear(
    angle: np.ndarray, scale: np.ndarray | None = None, mirrored: np.ndarray | None = None
) -> np.ndarray:
    """The 2 x 2 parts of poses: degrees, magnification and mirror images, (n,) each."""
    turn = torch.zeros(len(angle), 3, 3, dtype=torch.float64)
    turn[:] = placed(angle, np.zeros((len(angle), 2)))
    turn = turn * torch.tensor(np.ones(len(angle)) if scale is None else scale)[:, None, None]
    flipped = np.zeros(len(angle), bool) if mirrored is None else mirrored
    return reflect(turn, torch.tensor(flipped))[:, :2, :2].numpy()


class Tally:
    """Counts of right and wrong finds, over scenes."""

    def __init__(self) -> None:
        self.found = self.there = self.right = 0
        self.pairs: list[tuple[int, int, float, np.ndarray]] = []

    def add(
        self,
        one: Scene,
        place: np.ndarray,
        cluster: np.ndarray,
        angle: np.ndarray,
        scale: np.ndarray | None = None,
        mirrored: np.ndarray | None = None,
    ) -> None:
        """Add the finds of a scene."""
        apart = np.linalg.norm(place[:, None] - one.place[None], axis=2)
        finds, things = linear_sum_assignment(np.minimum(apart, 2 * NEAR))
        good = apart[finds, things] <= NEAR
        self.found, self.there = self.found + len(place), self.there + len(one.place)
        self.right += int(good.sum())
        poses = linear(angle, scale, mirrored)
        true = linear(one.angle, one.scale, one.mirrored)
        for i, j in zip(finds[good], things[good], strict=True):
            frame = np.linalg.inv(poses[i]) @ true[j]  # the same for all of a cluster
            self.pairs.append((int(cluster[i]), int(one.kind[j]), float(apart[i, j]), frame))

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / max(self.found + self.there, 1)

    def scores(self) -> dict[str, float]:
        """F1, share of right groups, and median error of poses where the group is right."""
        clusters, kinds, apart, frames = map(np.array, zip(*self.pairs, strict=True))
        table = np.zeros((clusters.max() + 1, kinds.max() + 1))
        np.add.at(table, (clusters, kinds), 1)
        of = dict(zip(*linear_sum_assignment(-table), strict=True))
        right = np.array([of.get(c) == k for c, k in zip(clusters, kinds, strict=True)])
        errors = []
        for cluster in np.unique(clusters):
            own = frames[(clusters == cluster) & right]
            if len(own) > 2:
                errors.append(against(own))
        turned, grown, same = np.concatenate(errors or [np.full((1, 3), math.nan)]).T
        return {
            "f1": round(self.f1, 4),
            "precision": round(self.right / max(self.found, 1), 4),
            "recall": round(self.right / self.there, 4),
            "group_right": round(float(right.mean()), 4),
            "place_median_px": round(float(np.median(apart)), 3),
            "rotation_median_deg": round(float(np.nanmedian(turned)), 2),
            "scale_median_percent": round(float(100 * np.nanmedian(grown)), 2),
            "mirrored_right": round(float(np.nanmean(same)), 4),
        }


def against(frames: np.ndarray) -> np.ndarray:
    """Errors of poses against that of a cluster which is nearest to all others, as the frame.

    Args:
        frames: (n, 2, 2) of the canonical frame that each thing says.

    Returns:
        (n, 3): degrees, logarithm of the magnification, and 1 where mirror images are right. The
        first two are NaN where these are wrong.
    """
    between = np.linalg.inv(frames)[:, None] @ frames[None]
    sign = np.linalg.det(between)
    turned = np.degrees(
        np.arctan2(between[..., 1, 0] - between[..., 0, 1], between[..., 0, 0] + between[..., 1, 1])
    )
    turned, grown = np.abs(turned), np.abs(np.log(np.abs(sign))) / 2
    wrong = sign < 0
    row = (np.where(wrong, 180, turned) + 100 * grown).mean(1).argmin()
    turned, grown = (np.where(wrong[row], math.nan, one[row]) for one in (turned, grown))
    return np.stack([turned, grown, ~wrong[row]], 1)


def searched(finder: Finder, kind: str, seed: int, tally: Tally) -> tuple[float, float]:
    """Find the things of a seed's scenes; processor seconds and wall seconds of a megapixel."""
    processor = wall = pixels = 0.0
    for one in scenes_of(kind, seed):
        values = one.frame if kind == "symbols" else one.frame.astype(np.float32)
        (frame,) = frames_in_memory(values[None], Reading())
        started = time.process_time(), time.perf_counter()
        rows = finder.find(frame)
        processor += time.process_time() - started[0]
        wall += time.perf_counter() - started[1]
        pixels += one.frame.size / 1e6
        names = ("x", "y", "cluster", "rotation_deg", "scale", "mirrored")
        column = {
            name: rows[name].to_numpy(zero_copy_only=False)
            for name in names
            if name in rows.column_names
        }
        place = np.stack([column.pop("x"), column.pop("y")], 1).reshape(-1, 2)
        tally.add(
            one,
            place,
            column["cluster"],
            column["rotation_deg"],
            column.get("scale"),
            column.get("mirrored"),
        )
    return processor / pixels, wall / pixels


def rival(finder: Finder, kind: str) -> dict[str, Any]:
    """Scores of `match_template` on the scenes of the first seed."""
    try:
        from skimage.feature import match_template  # pyright: ignore[reportMissingImports]
    except ImportError:
        return {"left_out": "scikit-image is not installed"}
    run, step = finder.run, 15 if kind == "micrograph" else 10
    widths = dict(
        zip(
            run.model.group.coordinates,
            run.settings.support.half_widths(run.model.group),
            strict=True,
        )
    )
    bank = bank_of(finder.templates, turns_of(run.model.group, widths, math.radians(step)), each=1)
    cluster = finder.templates.cluster[bank.template].numpy()
    angle = torch.atan2(bank.element[:, 1, 0], bank.element[:, 0, 0]).rad2deg().numpy()
    size = bank.pictures.shape[-1]
    peaks, started = [], time.process_time()
    for one in scenes_of(kind, SEEDS[0]):
        best, which = np.full(one.frame.shape, -1.0), np.zeros(one.frame.shape, int)
        for i, picture in enumerate(bank.pictures[:, 0].numpy()):
            score = match_template(one.frame, picture, pad_input=True)
            better = score > best
            best[better], which[better] = score[better], i
        peaks.append((one, *suppressed(best, which, size)))
    seconds = time.process_time() - started
    best_scores, best_f1 = {}, -1.0
    for least in np.linspace(0.1, 0.9, 33):
        tally = Tally()
        for one, place, entry, score in peaks:
            kept = score > least
            tally.add(one, place[kept], cluster[entry[kept]], angle[entry[kept]])
        if tally.f1 > best_f1 and tally.pairs:
            best_f1, best_scores = tally.f1, tally.scores() | {"threshold": round(float(least), 3)}
    pixels = sum(one.frame.size for one, *_ in peaks) / 1e6
    rate = {"processor_seconds_per_megapixel": round(seconds / pixels, 2)}
    return best_scores | rate | {"rotation_step_deg": step}


def suppressed(
    best: np.ndarray, which: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Non-maximum suppression: places, entries of the bank and scores."""
    y, x = np.nonzero(best == maximum_filter(best, round(0.6 * size)))
    return np.stack([x, y], 1) + 0.5, which[y, x], best[y, x]


def trained(folder: Path, name: str, fit: str | None = None) -> Run:
    """A run on single things, trained unless it is there; `fit` are source and flags, if new."""
    if name == "particles" and not (folder / "particles.npy").exists():
        np.save(folder / "particles.npy", noise(0, RATIO, PARTICLES).images[:TRAINED])
    if name == "symbols" and not (folder / "symbols.npy").exists():
        rng, draw = np.random.default_rng(0), symbols()
        drawn = [draw(rng).picture for _ in range(EACH * len(CHIRAL))]
        np.save(folder / "symbols.npy", grey(np.stack(drawn), rng))
    if not (folder / name / "report.html").exists():
        words = (fit or FITS[name]).replace(f"{name}.npy", str(folder / f"{name}.npy")).split()
        command = [sys.executable, "-m", "mcevae", "fit", *words, "--out", str(folder / name)]
        subprocess.run(command, check=True)
    return open_run(folder / name, "cpu")


def picture(finders: dict[str, Finder]) -> None:
    """Draw a scene of each kind with its finds, and what is left over of the digits."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (kind, name) in zip(
        axes, (("overlap", "digits"), ("micrograph", "particles")), strict=True
    ):
        one = next(scenes_of(kind, SEEDS[0]))
        (frame,) = frames_in_memory(one.frame[None].astype(np.float32), Reading())
        rows = finders[name].find(frame).to_pylist()
        axis.imshow(one.frame, cmap="gray")
        for row in rows:
            colour = f"C{row['cluster'] % 10}"
            left, top, width, height = (row[f"box_{i}"] for i in ("x", "y", "width", "height"))
            x, y = [left, left + width, left + width, left, left], [top, top]
            axis.plot(x, [*y, top + height, top + height, top], color=colour, lw=1)
            turn = math.radians(row["rotation_deg"] - 90)
            reach = 0.4 * max(width, height)
            tip = (row["x"] + reach * math.cos(turn), row["y"] + reach * math.sin(turn))
            axis.plot([row["x"], tip[0]], [row["y"], tip[1]], color=colour, lw=1)
        axis.set_axis_off()
        axis.set_title(f"{len(rows)} finds of {len(one.place)} things")
    figure.savefig(PICTURE, dpi=70, pil_kwargs={"optimize": True})


def speed(finder: Finder) -> dict[str, Any]:
    """Seconds of a micrograph on two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    processor, wall = searched(finder, "micrograph", SEEDS[0], Tally())
    torch.set_num_threads(threads)
    return {
        "threads": 2,
        "groups": len(finder.templates.energy),
        "rotations": round(360 / math.degrees(STEP)),
        "processor_seconds_per_megapixel": round(processor, 2),
        "wall_seconds_per_megapixel": round(wall, 2),
        "load_of_machine": [round(one, 1) for one in os.getloadavg()],
    }


def main() -> None:
    """Train, find, compare, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", action="store_true", help="measure the row `speed` alone")
    arguments = in_folder(parser)
    before = json.loads((RESULTS / "scenes.json").read_text())
    kept = {name: before[name] for name in before if name not in ("command", "machine")}
    names = ["particles"] if arguments.speed else list(FITS)
    finders = {name: Finder(trained(arguments.folder, name), FindConfig()) for name in names}
    found: dict[str, Any] = {}
    if not arguments.speed:
        found = {"fits": FITS, "seeds": SEEDS, "scenes": scenes(finders)}
        picture(finders)
    content = kept | found | {"speed": speed(finders["particles"])}
    write_results("scenes", content, "python benchmarks/scenes.py --folder FOLDER --data FOLDER")


def scenes(finders: dict[str, Finder]) -> dict[str, Any]:
    """Scores of each kind of scene, those of all seeds together and of each."""
    rows = {}
    for kind, name in KINDS.items():
        tally, costs = Tally(), []
        seeds = []
        for seed in SEEDS:
            own = Tally()
            costs.append(searched(finders[name], kind, seed, own))
            seeds.append(own.scores())
            tally.found, tally.there = tally.found + own.found, tally.there + own.there
            tally.right, tally.pairs = tally.right + own.right, tally.pairs + own.pairs
        rows[kind] = {
            **tally.scores(),
            "seeds": seeds,
            "processor_seconds_per_megapixel": round(float(np.median(costs, 0)[0]), 2),
        }
        if kind != "symbols":
            rows[kind]["match_template_first_seed"] = rival(finders[name], kind)
        print(kind, rows[kind], flush=True)
    return rows


if __name__ == "__main__":
    main()
