"""Frames far larger than memory should hold: read in windows, each thing found once."""

import numpy as np
import torch

from mcevae.finding.finder import LARGEST, MARGIN, Finder
from mcevae.finding.frames import Large
from mcevae.finding.settings import FindConfig
from mcevae.finding.templates import Templates
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.views import View
from mcevae.run import Run
from tests.finding.test_find import PLACES, run, scene, templates  # noqa: F401  fixtures

FACTOR = 14
"""Pixels of the frame in one of the scene that it is made from."""


def test_a_frame_of_30000_pixels_is_read_in_windows_and_each_thing_is_found_once(
    run: Run,  # noqa: F811
    templates: Templates,  # noqa: F811
) -> None:
    small, _ = scene(templates, PLACES)
    rng = np.random.default_rng(1)
    low = rng.normal(np.median(small), 0.02, (2143, 215)).clip(0, 1).astype(np.float32)
    corners = [(0, 0), (700, 40), (1100, 80), (2143 - 128, 215 - 128)]  # y, x
    for top, left in corners:
        low[top : top + 128, left : left + 128] = small
    most: list[int] = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        most.append((rows.stop - rows.start) * (columns.stop - columns.start))
        y, x = (np.arange(one.start, one.stop) // FACTOR for one in (rows, columns))
        return low[np.ix_(y, x)]

    shape = (2143 * FACTOR, 215 * FACTOR)
    assert shape[0] > 30_000
    frame = Large(file="huge", number=0, view=View(shape=shape, read=read), reading=Reading())
    finder = Finder(run, FindConfig(size=28 * FACTOR))
    rows = finder.find(frame)
    assert max(most) <= (LARGEST + 2 * MARGIN * finder.size + 2) ** 2
    assert len(most) > 5 and max(most) < shape[0] * shape[1] / 5
    true = torch.tensor([[x + left, y + top] for top, left in corners for x, y in PLACES]) * FACTOR
    found = torch.from_numpy(np.stack([rows["x"].to_numpy(), rows["y"].to_numpy()], 1))
    apart = torch.cdist(true.double(), found.double())
    assert len(found) == len(true)
    assert apart.amin(1).max() < 2 * FACTOR and apart.amin(0).max() < 2 * FACTOR
