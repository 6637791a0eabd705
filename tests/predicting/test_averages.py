"""Averages at full resolution: known poses give back the picture, whatever the images look like."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.images.placement import placement
from mcevae.images.readers.frames import Frame
from mcevae.images.recipe import Recipe, padded, resized
from mcevae.images.sources.memory import MemorySource
from mcevae.images.splits import Splits
from mcevae.models.contract import Model, Output, Terms
from mcevae.predicting import kept_sums
from mcevae.predicting.average_files import check_out, write_averages
from mcevae.predicting.averages import Average, averages_of
from mcevae.predicting.kept_sums import averages_in, page_sums
from mcevae.predicting.sums import sum_up
from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun

SMALL = Recipe(normalise="none", levels=None, channels=1, background=0.0, fit="pad", shape=(32, 32))
"""What the model sees: images of 32 x 32, in grey."""


class Known(Model[None]):
    """A model that knows cluster and pose of each image."""

    def __init__(self, images: Sequence[Tensor], clusters: Tensor, elements: Tensor) -> None:
        super().__init__()
        self.place = {image.numpy().tobytes(): i for i, image in enumerate(images)}
        self.clusters, self.elements = clusters, elements
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, sample: bool | None = None) -> Output[None]:
        at = torch.tensor([self.place[image.numpy().tobytes()] for image in to_bytes(x)])
        pictures = torch.zeros_like(x)
        return Output(
            posterior=None,
            z_c=torch.zeros(len(x), 2),
            z=torch.zeros(len(x), 1),
            tau=torch.zeros(len(x), 3),
            element=self.elements[at],
            responsibilities=torch.eye(2)[self.clusters[at]],
            canonical=pictures,
            reconstruction=pictures,
        )

    def canonical(self, z_c: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError

    def terms(self, model: nn.Module, x: Tensor, batch: Mapping[str, Tensor]) -> Terms:
        raise NotImplementedError


def thing(side: int = 96) -> Tensor:
    """A picture (1, H, W) without symmetry, with stripes of 4 pixels that 32 pixels cannot show."""
    down, across = torch.meshgrid(*(torch.linspace(-1, 1, side),) * 2, indexing="ij")

    def blob(x: float, y: float, size: float) -> Tensor:
        return torch.exp(-(((across - x) / size) ** 2 + ((down - y) / size) ** 2))

    stripes = 0.3 * torch.sin(torch.arange(side) * math.pi / 2) * blob(0.1, 0.1, 0.3)
    return (0.8 * blob(0.3, -0.2, 0.15) + 0.6 * blob(-0.2, 0.3, 0.25) + stripes + 0.1).clamp(0, 1)[
        None
    ]


def posed(
    picture: Tensor, count: int, *, mirror: bool = False, rotation: float = 180.0
) -> tuple[list[np.ndarray], Tensor]:
    """Frames (H, W, C) of a picture in random poses, and the poses."""
    group = get_group("se2", mirror=mirror)
    support = group.support(rotation_deg=rotation, shift=0.06)
    elements = group.sample(count, support, generator=torch.Generator().manual_seed(0))
    moved = warp(picture[None], elements, mode="bicubic", background=0.1)
    return list(moved.movedim(1, -1).numpy()), elements


def summed(
    frames: list[np.ndarray],
    elements: Tensor,
    clusters: Tensor | None = None,
    recipe: Recipe = SMALL,
    groups: Collections | None = None,
    **settings: Any,
) -> list[Average]:
    """Averages of frames whose poses are known."""
    source = MemorySource([Frame(str(i), one) for i, one in enumerate(frames)], DataConfig())
    images = [recipe(frame) for frame in source.stack]
    clusters = torch.zeros(len(frames), dtype=torch.long) if clusters is None else clusters
    groups = groups or Collections.plain(2)
    sums = sum_up(Known(images, clusters, elements), source, recipe, groups, **settings)
    made = averages_of(sums, groups, reach=math.pi, mirror=True)
    return [one for one in made if one is not None]


def inside(side: int) -> np.ndarray:
    """The disc that all rotations keep, less a margin for shifts."""
    at = np.linspace(-1, 1, side)
    return np.hypot(at[:, None], at) < 0.8


def clipped(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [frame.clip(0, 1) for frame in frames]


@pytest.mark.parametrize("mirror", [False, True])
def test_noiseless_images_give_the_picture_back(mirror: bool) -> None:
    """Within 0.01 in the mean and 0.06 at most, of a picture from 0 to 1, stripes included."""
    picture = thing()
    frames, elements = posed(picture, 60, mirror=mirror)
    one, empty = summed(clipped(frames), elements)
    gap = np.abs(one.picture - picture[0].numpy())[inside(96)]
    assert gap.mean() < 0.01 and gap.max() < 0.06
    assert one.images == 60 and one.counts == (30, 30) and empty.images == 0
    assert one.correlation is not None and empty.correlation is None
    assert one.resolutions[0] is not None and one.resolutions[0] < 3
    assert "60 images, 96 x 96 pixels" in one.in_words()
    wrong, _ = summed(clipped(frames), elements.flip(0))
    assert np.abs(wrong.picture - picture[0].numpy())[inside(96)].mean() > 0.05


def test_halves_are_made_in_turn_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [np.full((32, 32), value, np.float32) for value in np.linspace(0, 1, 11)]
    still = torch.eye(3).repeat(11, 1, 1)
    for batch, pixels in ((256, 2**21), (3, 2**21), (4, 1)):
        monkeypatch.setattr("mcevae.predicting.sums.BATCH", batch)
        monkeypatch.setattr("mcevae.predicting.sums.MOVED_PIXELS", pixels)
        one, _ = summed(frames, still)
        assert one.counts == (6, 5)
        assert one.even[16, 16] == pytest.approx(np.mean(np.linspace(0, 1, 11)[::2]), abs=1e-5)
        assert one.odd[16, 16] == pytest.approx(np.mean(np.linspace(0, 1, 11)[1::2]), abs=1e-5)


def test_edges_of_moved_images_do_not_darken_the_average() -> None:
    frames, elements = posed(torch.full((1, 48, 48), 0.7), 40)
    plain = [np.full_like(frame, 0.7) for frame in frames]
    one, _ = summed([frame + 1e-3 * i for i, frame in enumerate(plain)], elements)
    assert np.abs(one.picture - 0.72)[inside(48)].max() < 0.01


def test_colours_stay_although_the_model_sees_grey() -> None:
    tint = torch.tensor([1.0, 0.6, 0.2])[:, None, None]
    frames, elements = posed(thing(), 24)
    coloured = [frame.clip(0, 1) * tint[:, 0, 0].numpy() for frame in frames]
    one, _ = summed([(255 * frame).round().astype(np.uint8) for frame in coloured], elements)
    expected = (thing() * tint).movedim(0, -1).numpy()
    assert one.picture.shape == (96, 96, 3)
    assert np.abs(one.picture - expected)[inside(96)].mean() < 0.01


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_unequal_sizes_come_to_the_median_of_their_group(fit: Any) -> None:
    """Frames are 61 wide and 40 high, times 1, 1.5 and 2: the median is 92 x 60."""
    recipe = replace(SMALL, fit=fit)
    picture = thing(92 if fit == "pad" else 60)
    wide, elements = posed(picture, 30)
    frames = []
    for i, frame in enumerate(wide):
        image = torch.from_numpy(frame.clip(0, 1)).movedim(-1, 0)
        image = padded(image, (60, 92), 0.1)
        width, height = ((61, 40), (92, 60), (122, 80))[i % 3]
        frames.append(resized(image, (height, width), "pad").movedim(0, -1).numpy())
    one, _ = summed(frames, elements, recipe=recipe)
    assert one.picture.shape == picture.shape[1:]
    assert "(images of 61 x 40 to 122 x 80 were scaled)" in one.in_words()
    gap = np.abs(one.picture - picture[0].numpy())[inside(len(one.picture))]
    assert gap.mean() < 0.03
    (size,) = {one.picture.shape for one in summed(frames, elements, recipe=recipe, one_size=True)}
    assert size == picture.shape[1:]


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("frame", [(61, 40), (40, 60), (33, 33), (100, 57)])
def test_points_of_a_frame_land_where_placement_says(frame: tuple[int, int], fit: Any) -> None:
    height, width = frame
    down = (torch.arange(height) + 0.5) / height - 0.5
    across = (torch.arange(width) + 0.5) / width - 0.5
    for shape in ((32, 32), (150, 150)):
        x, y = 0.1, -0.05
        dot = torch.exp(-((across - x) ** 2 + (down[:, None] - y) ** 2) / 2 / 0.08**2)[None]
        image = padded(resized(dot, shape, fit), shape, 0.0)[0]
        unit = max(shape)
        rows = (torch.arange(shape[0]) + 0.5 - shape[0] / 2) / unit
        columns = (torch.arange(shape[1]) + 0.5 - shape[1] / 2) / unit
        seen = torch.stack([(image.sum(0) * columns).sum(), (image.sum(1) * rows).sum()])
        expected = placement(frame, shape, fit) @ torch.tensor([x, y, 1.0])
        assert torch.allclose(seen / image.sum(), expected[:2], atol=2e-3)


def test_intensities_are_those_of_the_files() -> None:
    still = torch.eye(3).repeat(6, 1, 1)
    values = np.linspace(-5, 32, 6, dtype=np.float32)
    frames = [value + np.eye(40, dtype=np.float32) for value in values]
    recipe = replace(SMALL, normalise="set", levels=(-6.0, 34.0))
    one, _ = summed(frames, still, recipe=recipe)
    assert one.picture[20, 3] == pytest.approx(values.mean(), abs=1e-3)
    deep = [np.full((40, 40), 1000 * i, np.uint16) for i in range(6)]
    one, _ = summed(deep, still)
    assert one.picture[20, 20] == pytest.approx(2500 / 65535, abs=1e-5)


def test_groups_that_were_merged_are_brought_into_one_frame() -> None:
    """The second cluster has its frame turned by 70 degrees, shifted and mirrored."""
    picture = thing()
    frames, elements = posed(picture, 60)
    other = get_group("se2").from_parameters(torch.tensor([math.radians(70), 0.05, -0.03]))
    other = reflect(other, torch.tensor(True))
    clusters = (torch.arange(60) % 3 == 0).long()
    turned = torch.where(clusters[:, None, None] == 1, elements @ other, elements)
    groups = Collections.plain(2).merged([1, 0]).renamed(0, "both")
    (one,) = summed(clipped(frames), turned, clusters, groups=groups)
    assert one.name == "both" and one.units == ("1", "0") and one.images == 60
    gap = np.abs(one.picture - picture[0].numpy())[inside(96)]
    assert gap.mean() < 0.015


def test_averages_are_shown_in_the_frames_that_people_turned() -> None:
    """A quarter turn to the right, then left and right exchanged; the other group stays."""
    frames, elements = posed(thing(), 40)
    clusters = (torch.arange(40) < 10).long()
    groups = Collections.plain(2)
    plain, other = summed(clipped(frames), elements, clusters, groups=groups)
    turned, still = summed(
        clipped(frames), elements, clusters, groups=groups.turned(0, 90).flipped(0)
    )
    gap = np.abs(turned.picture - np.fliplr(np.rot90(plain.picture, -1)))[inside(96)]
    assert gap.mean() < 0.005 and (still.picture == other.picture).all()
    assert turned.resolutions[0] == pytest.approx(plain.resolutions[0], rel=0.05)


def test_averages_shrink_rather_than_fill_the_memory() -> None:
    frames, elements = posed(thing(), 8)
    one, _ = summed(clipped(frames), elements, most_bytes=2 * 2 * 2 * 4 * 48 * 48)
    assert one.picture.shape == (48, 48)


# Files


def made(colours: bool = False) -> list[Average]:
    frames, elements = posed(thing(40), 12)
    tint = np.array([1, 0.5, 0.2], np.float32) if colours else 1
    pictures = [(255 * frame.clip(0, 1) * tint).astype(np.uint8) for frame in frames]
    return summed(pictures, elements, torch.arange(12) % 2)


@pytest.mark.parametrize("ending", [".mrcs", ".tif", ".npy"])
def test_stacks_hold_averages_halves_and_tables(ending: str, tmp_path: Path) -> None:
    out, averages = tmp_path / f"a{ending}", made()
    written = write_averages(averages, out)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    read = {".mrcs": read_mrc, ".tif": read_tiff, ".npy": np.load}[ending]
    assert np.array_equal(read(out), np.stack([one.picture for one in averages]))
    assert np.array_equal(read(tmp_path / f"a-odd{ending}"), np.stack([o.odd for o in averages]))
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [(row["group"], row["images"], row["even"]) for row in rows] == [
        ("0", "6", "3"),
        ("1", "6", "3"),
    ]
    rings = list(csv.DictReader((tmp_path / "a-correlation.csv").read_text().splitlines()))
    assert len(rings) == 2 * 20 and float(rings[0]["frequency_per_px"]) == 1 / 40


def read_mrc(path: Path) -> np.ndarray:
    import mrcfile

    assert mrcfile.validate(path)
    with mrcfile.open(path) as file:
        assert file.is_image_stack()
        return np.array(file.data)


def read_tiff(path: Path) -> np.ndarray:
    import tifffile

    return tifffile.imread(path)


def test_colours_are_kept_or_refused(tmp_path: Path) -> None:
    averages = made(colours=True)
    write_averages(averages, tmp_path / "a.tif")
    assert read_tiff(tmp_path / "a.tif").shape == (2, 40, 40, 3)
    with pytest.raises(UserError, match="hold no colours or channels; give an"):
        write_averages(averages, tmp_path / "a.mrcs")
    assert not (tmp_path / "a.mrcs").exists()


def test_a_folder_holds_pictures_and_only_those_of_the_last_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    averages = made()
    write_averages([replace(one, name=f"a/../{one.name}") for one in averages], out)
    (out / "notes.txt").write_text("mine")
    assert len(list(out.glob("*.png"))) == len(list((out / "even").glob("*.png"))) == 2
    write_averages(averages[:1], out)
    assert [path.name for path in out.glob("*.png")] == ["000-0.png"]
    assert (out / "notes.txt").exists() and not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("name", "said"), [("a.jpg", "not written as .jpg"), ("old.npy", "exists"), ("full", "exists")]
)
def test_bad_outs_are_refused_before_work(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "old-even.npy").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(UserError, match=said):
        check_out(tmp_path / name, overwrite=False)
    if name != "a.jpg":
        check_out(tmp_path / name, overwrite=True)


# Runs


def test_pages_keep_their_sums_until_something_changes(
    opened: TrainedRun, small_data: Splits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = replace(opened, folder=tmp_path)
    run.calibration = opened.calibration
    run.identity = "one"
    sums = page_sums(run, small_data)
    groups = run.collections
    found = [one for one in averages_in(sums, run, groups) if one]
    assert sum(one.images for one in found) == 600
    monkeypatch.setattr(kept_sums, "sum_up", None)
    kept = page_sums(run, small_data)
    for unit, own in kept.units.items():
        assert torch.equal(own.total, sums.units[unit].total)
        assert own.counts == sums.units[unit].counts and own.sizes == sums.units[unit].sizes
    cluster, z = np.arange(8) % 4, np.random.default_rng(0).normal(size=(8, 3))
    parts = groups.split(0, cluster, z)
    assert averages_in(kept, run, parts)[:2] == [None, None]
    assert averages_in(kept, run, groups.merged([2, 1]))[1] is not None
    before = averages_in(kept, run, groups)[0]
    after = averages_in(kept, run, groups.turned(0, 180))[0]
    assert before and after and np.allclose(after.picture, np.rot90(before.picture, 2), atol=1e-3)
