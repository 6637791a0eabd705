"""Shifts are read in pixels of the images as they lie in their files, whatever their sizes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mcevae.base.config import DataConfig
from mcevae.geometry.groups import get_group
from mcevae.geometry.moments import centroid
from mcevae.images.arrays import Images
from mcevae.images.packing import write_pack
from mcevae.images.placement import Fit, in_pixels, placement
from mcevae.images.sources.registry import open_source
from mcevae.models.contract import Model, Output, Terms
from mcevae.predicting.predictor import Predictor
from mcevae.runs.confidence import Calibration
from mcevae.runs.coordinates import Originals, coordinates_of

ANY = Calibration(temperature=1.0, misfits=tuple(float(i) for i in range(101)), n=100)
SIZES = ((32, 32), (96, 96), (101, 57), (57, 101), (40, 90), (203, 150))
"""Heights and widths of images of one run."""
AT = tuple((min(size) / 9, -min(size) / 7) for size in SIZES)
"""Where the thing lies in each of them."""


class Centred(Model[None]):
    """A model that finds the thing of each image at its centroid."""

    def __init__(self) -> None:
        super().__init__()
        self.group, self.background = get_group("se2"), 0.0
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, sample: bool | None = None) -> Output[None]:
        tau = torch.cat([torch.zeros(len(x), 1), centroid(x)], 1)
        return Output(
            posterior=None,
            z_c=torch.zeros(len(x), 2),
            z=torch.zeros(len(x), 1),
            tau=tau,
            element=self.group.exp(tau),
            responsibilities=torch.tensor([[0.9, 0.1]]).expand(len(x), 2),
            canonical=torch.zeros_like(x),
            reconstruction=torch.zeros_like(x),
        )

    def canonical(self, z_c: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError

    def terms(self, model: nn.Module, x: Tensor, batch: Mapping[str, Tensor]) -> Terms:
        raise NotImplementedError


def blob(size: tuple[int, int], x: float, y: float) -> np.ndarray:
    """An image with a thing at (x, y), in pixels from its middle; large images have large ones."""
    down, across = np.ogrid[: size[0], : size[1]]
    distance = (across - (size[1] - 1) / 2 - x) ** 2 + (down - (size[0] - 1) / 2 - y) ** 2
    return (255 * np.exp(-distance / (2 * (min(size) / 12) ** 2))).astype(np.uint8)


def images_of_all_sizes() -> dict[str, np.ndarray]:
    each = zip(SIZES, AT, strict=True)
    return {str(i): blob(size, *at) for i, (size, at) in enumerate(each)}


def found(source: Path, fit: Fit = "pad") -> pd.DataFrame:
    """The table of a prediction, by the names of the images."""
    settings = DataConfig(normalise="none", size=32, background=0.0, fit=fit, flatten="no")
    out = source.with_name(f"{source.name}-{fit}.parquet")
    maker = Predictor(Centred(), settings, (1, 32, 32), ANY, identity="one")
    list(maker(open_source(str(source), settings), "all", out))
    return pd.read_parquet(out).set_index("file")


def save(folder: Path, images: Mapping[str, np.ndarray]) -> Path:
    folder.mkdir()
    for name, image in images.items():
        np.save(folder / f"{name}.npy", image)
    return folder


def shifts(rows: pd.DataFrame) -> np.ndarray:
    return rows[["shift_x_px", "shift_y_px"]].to_numpy()


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_shift_says_where_the_thing_lies_in_its_file(tmp_path: Path, fit: Fit) -> None:
    rows = found(save(tmp_path / "images", images_of_all_sizes()), fit)
    larger = np.array([max(size) / 32 for size in SIZES])[:, None]
    assert (np.abs(shifts(rows) - AT) < 0.06 * larger + 0.05).all()
    assert rows["tau_shift_x_side"].abs().max() < 0.2  # of the model's images, as before


def test_twice_the_size_is_twice_the_shift_and_a_move_by_pixels_is_seen(tmp_path: Path) -> None:
    one = blob((60, 44), 4.0, -3.0)
    images = {
        "one": one,
        "twice": one.repeat(2, 0).repeat(2, 1),
        "moved": np.roll(one, (5, 6), (0, 1)),
    }
    rows = found(save(tmp_path / "images", images))
    first, twice, moved = (shifts(rows.loc[[f"{name}.npy"]])[0] for name in images)
    np.testing.assert_allclose(twice, 2 * first, atol=0.2)
    np.testing.assert_allclose(moved - first, (6, 5), atol=0.2)


def test_packs_remember_the_sizes(tmp_path: Path) -> None:
    folder = save(tmp_path / "images", images_of_all_sizes())
    settings = DataConfig(normalise="none", size=32, background=0.0, flatten="no", isolate="no")
    write_pack(open_source(str(folder), settings), tmp_path / "packed")
    rows = found(tmp_path / "packed").sort_index()
    np.testing.assert_allclose(shifts(rows), shifts(found(folder)), atol=1e-4)


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_pixels_are_the_inverse_of_where_frames_lie(fit: Fit) -> None:
    frames, points = np.array(SIZES), np.random.default_rng(0).normal(size=(len(SIZES), 2))
    inside = in_pixels(points, frames, (20, 33), fit) / frames[:, ::-1]
    for i, frame in enumerate(SIZES):
        back = placement(frame, (20, 33), fit).double().numpy() @ [*inside[i], 1.0]
        np.testing.assert_allclose(back[:2], points[i], atol=1e-5)


def test_images_without_files_have_pixels_of_the_model() -> None:
    group = get_group("se2")
    tau = torch.tensor([[0.5, 0.25, -0.125]])
    pixels = torch.zeros(1, 1, 28, 20, dtype=torch.uint8)
    plain = Originals(shape=(1, 28, 20), fit="pad", sizes=None)
    known = Originals.of([Images(name="x", pixels=pixels)], (1, 28, 20), "pad")
    for one in (plain, known):
        np.testing.assert_allclose(one.read(tau, group), [[np.degrees(0.5), 7, -3.5]], rtol=1e-5)
    large = Originals(shape=(1, 28, 20), fit="pad", sizes=np.array([[28, 20], [280, 200]]))
    support = group.support(rotation_deg=90, shift=0.25)
    widest = large.widest(coordinates_of(group, support, (1, 28, 20)))
    assert [one.half_width for one in widest] == pytest.approx([90, 70, 70])
    assert large.differ and not known.differ
