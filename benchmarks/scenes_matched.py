"""What scikit-image's `match_template` finds in scenes, for comparison; see `scenes.py`."""

import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from scenes_made import Scene, scenes_of
from scenes_scored import Tally
from scipy.ndimage import maximum_filter

from mcevae.finding.bank import bank_of, turns_of
from mcevae.finding.finder import Finder


def rival(finder: Finder, kind: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Scores of `match_template` on the scenes of all seeds, and of each seed."""
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
    size = bank.pictures.shape[-1]
    peaks: dict[int, list[Peaks]] = {seed: [] for seed in seeds}
    started = time.process_time()
    for seed, own in peaks.items():
        for one in scenes_of(kind, seed):
            best, which = np.full(one.frame.shape, -1.0), np.zeros(one.frame.shape, int)
            for i, picture in enumerate(bank.pictures[:, 0].numpy()):
                score = match_template(one.frame, picture, pad_input=True)
                better = score > best
                best[better], which[better] = score[better], i
            own.append(Peaks(one, *suppressed(best, which, size)))
    seconds = time.process_time() - started
    every = [one for own in peaks.values() for one in own]
    cluster = finder.templates.cluster[bank.template].numpy()
    angle = torch.atan2(bank.element[:, 1, 0], bank.element[:, 0, 0]).rad2deg().numpy()
    least = max(
        np.linspace(0.1, 0.9, 33).tolist(), key=lambda one: above(one, every, cluster, angle).f1
    )
    pixels = sum(one.scene.frame.size for one in every) / 1e6
    return {
        **above(least, every, cluster, angle).scores(),
        "seeds": [above(least, own, cluster, angle).scores() for own in peaks.values()],
        "threshold": round(least, 3),
        "processor_seconds_per_megapixel": round(seconds / pixels, 2),
        "rotation_step_deg": step,
    }


class Peaks(NamedTuple):
    """Where templates match a scene best: places, entries of the bank, and scores."""

    scene: Scene
    place: np.ndarray
    entry: np.ndarray
    score: np.ndarray


def above(least: float, peaks: list[Peaks], cluster: np.ndarray, angle: np.ndarray) -> Tally:
    """The tally of the peaks above a threshold; clusters and angles are those of the bank."""
    tally = Tally()
    for one in peaks:
        kept = one.score > least
        tally.add(one.scene, one.place[kept], cluster[one.entry[kept]], angle[one.entry[kept]])
    return tally


def suppressed(
    best: np.ndarray, which: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Non-maximum suppression: places, entries of the bank and scores."""
    y, x = np.nonzero(best == maximum_filter(best, round(0.6 * size)))
    return np.stack([x, y], 1) + 0.5, which[y, x], best[y, x]
