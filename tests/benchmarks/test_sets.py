"""The made sets: what they promise, and that their true poses are the poses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sets_drawn
import torch
from PIL import Image
from quality_rows import ROWS
from scoring import balanced_accuracy
from sets import SETS, cells
from sets_common import Made, poses, with_truth, write
from sets_digits import affnist_like, fashion_circle, mnist_u, unequal
from sets_drawn import few_noisy, mirrored, noise, symbols30, uneven, wafers
from sets_letters import capitals
from sets_varied import VARIED
from tables import QUALITY

from mcevae.base.config import BUILT_IN
from mcevae.base.errors import UserError
from mcevae.geometry.groups import Aff2
from mcevae.geometry.groups import mirrored as mirrored_poses
from mcevae.geometry.warp import centres, warp
from mcevae.images.arrays import ImageSet
from mcevae.images.loading import load
from mcevae.models.config import Config
from mcevae.runs.data import prepare_for


def digits() -> ImageSet:
    """A few digits of the bundled set."""
    mini = load("mnist-mini")
    assert mini.test is not None
    return replace(mini, train=mini.train.subset(slice(60)), test=mini.test.subset(slice(12)))


def small_uneven(seed: int) -> Made:
    """`uneven`, where its font is installed."""
    try:
        return uneven(seed, 21)
    except UserError as error:
        pytest.skip(str(error))


def few_unequal(seed: int) -> Made:
    """`unequal` with few digits."""
    return unequal(seed, load("mnist-mini"), 100)


MADE: dict[str, tuple[Callable[[int], Made], tuple[int, ...], type, int, int]] = {
    "uneven": (small_uneven, (21, 80, 80, 3), np.uint8, 8, 3),
    "symbols30": (lambda seed: symbols30(seed, 2), (60, 56, 56, 3), np.uint8, 30, 8),
    "mirrored": (lambda seed: mirrored(seed, 7), (70, 40, 40), np.uint8, 10, 10),
    "noise": (lambda seed: noise(seed, 0.3, 70), (70, 48, 48), np.float32, 12, 10),
    "few-noisy": (lambda seed: few_noisy(seed, 28), (28, 32, 32), np.float32, 4, 4),
    "wafers": (lambda seed: wafers(seed, 28), (28, 32, 32), np.uint8, 4, 4),
    "capitals": (lambda seed: capitals(seed, 52), (52, 28, 28), np.uint8, 26, 7),
    "mnist-u": (lambda seed: mnist_u(seed, digits()), (72, 50, 50), np.uint8, 10, 12),
    "affnist": (lambda seed: affnist_like(seed, digits()), (72, 40, 40), np.uint8, 10, 12),
    "circle": (lambda seed: fashion_circle(seed, digits()), (72, 40, 40), np.uint8, 10, 12),
    "unequal": (few_unequal, (280, 28, 28), np.uint8, 10, 40),
}
"""How a small one is made, and its shape, type, number of kinds and number of test images."""


@pytest.mark.parametrize("name", MADE)
def test_a_set_is_as_promised_and_depends_on_its_seed_alone(name: str) -> None:
    make, shape, dtype, kinds, test = MADE[name]
    one, again, other = make(0), make(0), make(1)
    assert (one.images.shape, one.images.dtype, one.test) == (shape, dtype, test)
    assert set(one.labels.tolist()) == set(range(kinds))
    assert one.elements is not None and again.elements is not None
    assert (one.images == again.images).all() and (one.labels == again.labels).all()
    assert torch.equal(one.elements, again.elements)
    assert (one.images != other.images).any()


def back(made: Made) -> np.ndarray:
    """Images moved back by their true poses, (N, values) floats, where no shift brings a border."""
    assert made.elements is not None
    images = torch.from_numpy(made.images).float()
    images = images[:, None] if made.images.ndim == 3 else images.movedim(-1, 1)
    line = centres(images.shape[-1], images)
    seen = torch.hypot(line, line[:, None]) < 0.84
    return warp(images, Aff2().inverse(made.elements))[..., seen].flatten(1).numpy()


@pytest.mark.parametrize(
    ("make", "least"),
    [
        (lambda: symbols30(0, 6), 0.9),
        (lambda: mirrored(0, 12), 0.9),
        (lambda: noise(0, 1e4, 120), 0.95),
        (lambda: wafers(0, 40), 0.7),
    ],
)
def test_moved_back_by_their_true_poses_images_of_a_kind_are_alike(
    make: Callable[[], Made], least: float
) -> None:
    made = make()
    images = back(made)
    for kind in range(int(made.labels.max()) + 1):
        assert np.corrcoef(images[made.labels == kind])[0].min() > least, kind


def test_about_half_of_the_mirrored_images_are_mirrored() -> None:
    elements = poses(np.random.default_rng(0), 400, rotation=180, shift=0.1, mirror=True)
    sign = torch.linalg.det(elements)
    assert torch.allclose(sign.abs(), torch.ones(400), atol=1e-5)
    assert 150 < (sign < 0).sum() < 250


@pytest.mark.parametrize("make", [mnist_u, affnist_like, fashion_circle])
def test_no_ink_leaves_the_frame(make: Callable[[int, ImageSet], Made]) -> None:
    source = digits()
    assert source.test is not None
    made = make(0, source)
    assert made.elements is not None
    before = torch.cat((source.train.pixels, source.test.pixels)).double().sum((1, 2, 3))
    area = torch.linalg.det(made.elements[:, :2, :2]).double()
    after = torch.from_numpy(made.images).double().sum((1, 2))
    assert torch.allclose(after, before * area, rtol=0.08)


def test_the_commonest_digit_is_fifty_times_as_frequent_as_the_rarest() -> None:
    counts = np.bincount(few_unequal(0).labels)
    assert (counts.max(), counts.min()) == (100, 2)


def test_true_poses_come_back_beside_their_images(tmp_path: Path) -> None:
    made = symbols30(0, 3)
    assert made.elements is not None
    write(made, tmp_path / "one.npz")
    config = Config().changed(data={"source": str(tmp_path / "one.npz")})
    data = with_truth(prepare_for(config), tmp_path / "one.npz")
    truth = {image.tobytes(): pose for image, pose in zip(made.images, made.elements, strict=True)}
    assert len(data.test) == made.test and len(data.validation) > 1
    for part in (data.train, data.validation, data.test):
        assert part.elements is not None and len(part.elements) == len(part)
        for image, element in zip(part.images.pixels, part.elements, strict=True):
            assert torch.equal(truth[image.movedim(0, -1).numpy().tobytes()], element)
    with np.load(tmp_path / "one-truth.npz") as found:
        element, angle = found["element_test"], np.radians(found["angle_test"])
        assert np.allclose(element[:, 1, 0], np.sin(angle), atol=1e-5)
        assert np.allclose(element[:, :2, 2] * 56, found["shift_test"])


def test_mirrored_poses_are_written_and_can_be_compared(tmp_path: Path) -> None:
    made = mirrored(0, 4)
    assert made.elements is not None
    write(made, tmp_path / "one.npz")
    data = prepare_for(Config().changed(data={"source": str(tmp_path / "one.npz")}))
    elements = with_truth(data, tmp_path / "one.npz").test.elements
    assert elements is not None
    with np.load(tmp_path / "one-truth.npz") as found:
        flipped = np.concatenate((found["mirrored_train"], found["mirrored_test"]))
        assert (flipped == (torch.linalg.det(made.elements) < 0).numpy()).all()
        assert (mirrored_poses(elements).numpy() == found["mirrored_test"]).all()


def test_cells_are_read_from_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCEVAE_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"labels\.csv"):
        cells(0)
    (tmp_path / "cells").mkdir()
    for i in range(14):
        Image.new("RGB", (56, 56), (i, 0, 0)).save(tmp_path / "cells" / f"{i}.png")
    rows = [f"{i}.png,{'red' if i % 2 else 'white'}" for i in range(14)]
    (tmp_path / "cells" / "labels.csv").write_text("\n".join(["file,label", *rows]))
    made = cells(0)
    assert made.images.shape == (14, 56, 56, 3) and made.test == 2
    assert (made.images[:, 0, 0, 0] % 2 != made.labels).all()  # red is 0, white 1


def test_without_the_font_of_the_pictures_one_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sets_drawn, "EMOJI", "no-such-font.ttf")
    with pytest.raises(UserError, match="install fonts-noto-color-emoji"):
        uneven(0, 8)


def test_a_rare_kind_counts_as_much_as_a_common_one() -> None:
    known, names = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1])
    clusters = torch.tensor([0, 0, 0, 0, 1, 0, 2])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1])  # cluster 2 has no name
    assert balanced_accuracy(known, names, clusters, labels) == pytest.approx((1 + 1 / 3) / 2)


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_settings_that_fit_their_set_and_figures_that_tables_know(name: str) -> None:
    row = ROWS[name]
    source = Config().changed(**row.settings).data.source
    assert source in BUILT_IN or source in SETS
    assert row.targets.keys() <= QUALITY.keys()
    if name in SETS:
        assert source in (name, *BUILT_IN)


@pytest.mark.parametrize(
    ("name", "kinds"), [("galaxies", 4), ("rods", 5), ("two-tone", 3), ("colours", 6), ("parts", 6)]
)
def test_sets_that_vary_within_their_kinds(name: str, kinds: int) -> None:
    made = VARIED[name](0)
    assert made.images.dtype == np.uint8 and np.unique(made.labels).tolist() == list(range(kinds))
    assert np.array_equal(made.images, VARIED[name](0).images)
    assert made.images.std((1, 2)).min() > 1  # each image shows something
