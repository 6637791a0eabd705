"""Every source, split and posed set gives what it says, and says what is wrong with a file."""

import gzip
import hashlib
import importlib.util
import itertools
import os
import re
import struct
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
import torch

from mcevae.base.config import BUILT_IN
from mcevae.base.errors import UserError
from mcevae.geometry.groups import get_group
from mcevae.geometry.warp import warp
from mcevae.images import datasets
from mcevae.images.arrays import Images
from mcevae.images.datasets import DATASETS, as_images
from mcevae.images.loading import load, prepare
from mcevae.images.posing import pose
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import split_images

ROOT = Path(__file__).parents[2]
MINI_SHA256 = "1e69420d546ce587b9fb07b6d2eafc89ce39cc8c539be4352f4e4eb1fafe84a4"
rng = np.random.default_rng(0)


def bytes_of(*shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def numbered(count: int, start: int = 0) -> Images:
    """Images whose label is their number, so that splits can be told apart."""
    return Images(
        name="numbered",
        pixels=torch.zeros(count, 1, 16, 16, dtype=torch.uint8),
        labels=torch.arange(start, start + count),
    )


def labels(images: Images) -> list[int]:
    assert images.labels is not None
    return images.labels.tolist()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An MCEVAE_DATA folder, with a cache folder of its own for downloads."""
    monkeypatch.setenv("MCEVAE_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path


def save_mnist_like(path: Path, side: int = 28) -> dict[str, np.ndarray]:
    arrays = {
        "x_train": bytes_of(12, side, side),
        "y_train": np.arange(12) % 10,
        "x_test": bytes_of(4, side, side),
        "y_test": np.arange(4),
    }
    np.savez(path, **arrays)
    return arrays


# Named sets


def test_mnist_mini_is_the_bundled_sample():
    mini = load("mnist-mini")
    assert mini.test is not None
    assert (len(mini.train), len(mini.test), mini.train.shape) == (10_000, 2_000, (1, 28, 28))
    digest = hashlib.sha256()
    for part in (mini.train, mini.test):
        assert part.labels is not None and part.label_names == tuple("0123456789")
        digest.update(part.pixels.numpy().tobytes() + part.labels.numpy().astype("u1").tobytes())
    assert digest.hexdigest() == MINI_SHA256
    assets = ROOT / "src" / "mcevae" / "assets"
    assert (assets / "mnist-mini.npz").stat().st_size < 3e6
    assert "CC BY-SA" in DATASETS["mnist-mini"].licence
    assert "ShareAlike 3.0" in (assets / "mnist-mini.LICENSE.md").read_text()


@pytest.mark.skipif(
    not Path(os.environ.get("MCEVAE_DATA", ""), "mnist.npz").is_file(), reason="needs full MNIST"
)
def test_mnist_mini_holds_the_first_images_of_mnist():
    mini, full = load("mnist-mini"), load("mnist")
    assert mini.test and full.test
    assert (len(full.train), len(full.test)) == (60_000, 10_000)
    for small, whole in [(mini.train, full.train), (mini.test, full.test)]:
        assert torch.equal(small.pixels, whole.pixels[: len(small)])
        assert labels(small) == labels(whole)[: len(small)]


def test_the_script_writes_the_same_bytes_twice(folder, monkeypatch):
    arrays = save_mnist_like(folder / "mnist.npz")
    spec = importlib.util.spec_from_file_location("script", ROOT / "scripts/make_mnist_mini.py")
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in ("a.npz", "b.npz"):
        out = str(folder / name)
        monkeypatch.setattr("sys.argv", ["script", "--out", out, "--train", "5", "--test", "2"])
        script.main()
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()
    with np.load(folder / "a.npz") as made:
        np.testing.assert_array_equal(made["x_train"], arrays["x_train"][:5])
        np.testing.assert_array_equal(made["y_test"], arrays["y_test"][:2])


def test_digits_are_enlarged_to_16_pixels():
    digits = load("digits")
    assert digits.test is not None
    assert (len(digits.train), len(digits.test), digits.train.shape) == (1437, 360, (1, 16, 16))
    assert digits.train.pixels.max() > 240 and digits.train.pixels.dtype == torch.uint8
    assert set(labels(digits.train)) == set(labels(digits.test)) == set(range(10))
    assert torch.equal(digits.train.pixels, load("digits").train.pixels)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_data_folder_is_read_first(name, folder):
    arrays = save_mnist_like(folder / f"{name}.npz")
    source = load(name)
    assert source.test is not None and source.train.label_names is not None
    assert source.train.name == name and len(source.train.label_names) == 10
    np.testing.assert_array_equal(source.train.pixels[:, 0], arrays["x_train"])
    np.testing.assert_array_equal(source.test.labels, arrays["y_test"])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.array([None, 1], dtype=object),
            "holds Python objects (dtype object), which could run code; save an array of numbers",
        ),
        (np.zeros((3, 16, 16), np.int64), "images are int64; use uint8, or floats from 0 to 1."),
        (np.zeros((3, 16, 16), bool), "images are bool; use uint8"),
        (np.zeros((16, 16), np.uint8), "images have shape (16, 16); use (n, H, W)"),
        (np.zeros((1, 2, 3, 4, 5), np.uint8), "images have shape (1, 2, 3, 4, 5); use"),
        (np.zeros((0, 16, 16), np.uint8), "holds 0 images; give at least 3."),
        (np.zeros((3, 16, 16, 17), np.uint8), "images have 17 channels (last axis); use 1 to 16."),
        (np.zeros((3, 16, 16, 0), np.uint8), "images have 0 channels (last axis); use 1 to 16."),
        (np.zeros((3, 15, 16), np.uint8), "images are 15 x 16; resize to sides of 16 to 256."),
        (np.zeros((3, 16, 257), np.uint8), "images are 16 x 257; resize to sides of 16 to 256."),
        (np.full((3, 16, 16), np.nan), "images hold NaN or infinity; replace it."),
        (np.full((3, 16, 16), np.inf), "images hold NaN or infinity; replace it."),
        (np.full((3, 16, 16), -0.5), "images run from -0.5 to -0.5; scale them to 0 to 1."),
        (np.full((3, 16, 16), 255.0), "images run from 255 to 255; scale them to 0 to 1."),
    ],
)
def test_unfit_arrays_of_a_named_set_are_refused_in_one_sentence(array, message, folder):
    np.savez(folder / "mnist.npz", x_train=array, x_test=array)
    with pytest.raises(UserError, match=re.escape(message)):
        load("mnist")


def test_parts_of_a_named_set_have_images_of_one_shape(folder):
    np.savez(folder / "mnist.npz", x_train=bytes_of(5, 16, 16), x_test=bytes_of(2, 16, 18))
    with pytest.raises(UserError, match=re.escape("mnist: x_train has images of (1, 16, 16)")):
        load("mnist")


def test_a_data_folder_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("MCEVAE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"MCEVAE_DATA is .*nowhere.*; correct or unset it\."):
        load("mnist")


# Downloads, from a stand-in for the network


@pytest.fixture
def network(folder, monkeypatch):
    """Files by URL; pooch fetches from here, and fails as without a network for any other URL."""
    files: dict[str, bytes] = {}

    def fetch(url, output_file, pooch):
        if url not in files:
            raise requests.ConnectionError("no route")
        Path(output_file).write_bytes(files[url])

    monkeypatch.setattr("pooch.core.choose_downloader", lambda url, progressbar=False: fetch)
    return files


def test_mnist_is_downloaded_once(folder, network, monkeypatch):
    arrays = save_mnist_like(folder / "elsewhere.npz")
    network[datasets.MNIST_URL] = content = (folder / "elsewhere.npz").read_bytes()
    monkeypatch.setattr(datasets, "MNIST_SHA256", hashlib.sha256(content).hexdigest())
    np.testing.assert_array_equal(load("mnist").train.pixels[:, 0], arrays["x_train"])
    network.clear()
    assert len(load("mnist").train) == 12


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_no_network_says_what_to_do(name, network):
    with pytest.raises(UserError, match=rf"ConnectionError.*put {name}.npz in a folder and set MC"):
        load(name)


def test_a_wrong_digest_is_refused_and_not_kept(folder, network):
    network[datasets.MNIST_URL] = b"something else"
    with pytest.raises(UserError, match=r"its SHA-256 is wrong; try again, or put mnist.npz"):
        load("mnist")
    assert not any(path.is_file() for path in (folder / "cache").rglob("*"))


def test_fashion_mnist_is_read_from_idx_files(network, monkeypatch):
    arrays = [bytes_of(12, 28, 28), bytes_of(12) % 10, bytes_of(4, 28, 28), bytes_of(4) % 10]
    digests = {}
    for file, array in zip(datasets.FASHION_SHA256, arrays, strict=True):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        content = gzip.compress(header + array.tobytes())
        network[f"{datasets.FASHION_URL}/{file}-ubyte.gz"] = content
        digests[file] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(datasets, "FASHION_SHA256", digests)
    source = load("fashion-mnist")
    assert source.test is not None and source.train.label_names is not None
    np.testing.assert_array_equal(source.train.pixels[:, 0], arrays[0])
    np.testing.assert_array_equal(source.train.labels, arrays[1])
    np.testing.assert_array_equal(source.test.pixels[:, 0], arrays[2])
    np.testing.assert_array_equal(source.test.labels, arrays[3])
    assert source.train.label_names[9] == "Ankle boot"


# People's own arrays


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (bytes_of(3, 16, 20), (1, 16, 20)),
        (bytes_of(3, 256, 16, 1), (1, 256, 16)),
        (bytes_of(3, 16, 20, 3), (3, 16, 20)),
        (np.asfortranarray(rng.random((3, 16, 20))), (1, 16, 20)),
        (rng.random((3, 16, 20, 3)).astype(">f4"), (3, 16, 20)),
        (rng.random((3, 16, 20)).astype(np.float16), (1, 16, 20)),
    ],
)
def test_npy_files_become_bytes_with_channels_first(array, shape, tmp_path):
    np.save(tmp_path / "mine.npy", array)
    source = load(str(tmp_path / "mine.npy"))
    assert source.test is None and source.train.labels is None and source.train.shape == shape
    scale = 1 if array.dtype == np.uint8 else 255
    expected = array.reshape(3, *shape[1:], shape[0]).transpose(0, 3, 1, 2).astype(float) * scale
    np.testing.assert_allclose(source.train.pixels.numpy(), expected, atol=0.51)


def test_npz_files_bring_labels_and_a_test_part(tmp_path):
    np.savez(
        tmp_path / "a.npz", images=bytes_of(5, 16, 16), labels=np.arange(5), other=np.array([None])
    )
    assert labels(load(str(tmp_path / "a.npz")).train) == [0, 1, 2, 3, 4]
    save_mnist_like(tmp_path / "b.npz", side=32)
    source = load(str(tmp_path / "b.npz"))
    assert source.test is not None and len(source.test) == 4 and source.test.shape == (1, 32, 32)
    np.savez(tmp_path / "c.npz", x_train=bytes_of(5, 16, 16), x_test=bytes_of(2, 16, 16))
    assert load(str(tmp_path / "c.npz")).train.labels is None


@pytest.mark.parametrize(
    ("images", "labels"), [("images", "labels"), ("x_train", "y_train"), ("data", "labels")]
)
def test_the_only_array_of_images_is_found_by_its_axes(images, labels, tmp_path):
    given = {images: bytes_of(5, 16, 16), labels: np.arange(5), "places": np.ones((5, 2))}
    np.savez(tmp_path / "one.npz", **given)
    found = load(str(tmp_path / "one.npz"))
    assert found.test is None
    assert found.train.labels is not None
    assert found.train.labels.tolist() == [0, 1, 2, 3, 4]
    assert (found.train.pixels[:, 0].numpy() == given[images]).all()


def test_other_arrays_are_no_labels(tmp_path):
    given = {"images": bytes_of(5, 16, 16), "x": np.arange(16.0), "y": np.arange(5.0)}
    np.savez(tmp_path / "axes.npz", **given, y_train=np.arange(3))
    assert load(str(tmp_path / "axes.npz")).train.labels is None


def test_names_of_medmnist_are_known(tmp_path):
    parts = {"train": 5, "val": 2, "test": 3}
    pixels = {part: bytes_of(count, 16, 16, 3) for part, count in parts.items()}
    labels = {part: np.arange(count)[:, None] for part, count in parts.items()}
    np.savez(
        tmp_path / "medmnist.npz",
        **{f"{part}_images": images for part, images in pixels.items()},
        **{f"{part}_labels": own for part, own in labels.items()},
    )
    found = load(str(tmp_path / "medmnist.npz"))
    assert found.test is not None
    assert found.train.labels is not None
    assert found.test.labels is not None
    both = np.concatenate([pixels["train"], pixels["val"]])
    assert (found.train.pixels.movedim(1, -1).numpy() == both).all()
    assert found.train.labels.tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert found.test.labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": bytes_of(5, 16, 16), "labels": np.arange(4)},
            "labels are int64 of shape (4,); give 5 ",
        ),
        ({"a": bytes_of(5, 16, 16), "b": bytes_of(2, 16, 16)}, "has no array named images"),
        ({"a": bytes_of(5), "b": bytes_of(2)}, "has no array named images"),
        ({"x_train": np.array([None]), "y_train": bytes_of(1)}, "holds Python objects"),
        (
            {
                "train_images": bytes_of(5, 16, 16),
                "val_images": bytes_of(2, 16, 16),
                "test_images": bytes_of(2, 16, 16),
                "train_labels": np.ones((5, 1)),
            },
            "train_labels are float64 of shape (5, 1); give 7 labels",
        ),
        ({"x_train": bytes_of(16, 16), "x_test": bytes_of(2, 16, 16)}, "its array x_train has sh"),
        ({"x_train": bytes_of(0, 16, 16), "x_test": bytes_of(2, 16, 16)}, "its array x_train has"),
        ({"x_train": 1j * np.ones((5, 16, 16)), "x_test": bytes_of(2, 16, 16)}, "no image can be"),
        (
            {"x_train": np.array([None]), "x_test": bytes_of(2, 16, 16)},
            "its array x_train holds Python objects (dtype object)",
        ),
        (
            {"x_train": bytes_of(5, 16, 16), "x_test": bytes_of(2, 16, 16), "y_train": np.ones(4)},
            "y_train are float64 of shape (4,); give 5 labels",
        ),
    ],
)
def test_unfit_archives_are_refused_in_one_sentence(arrays, message, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UserError, match=re.escape(f"mine.npz: {message}")):
        load(str(tmp_path / "mine.npz"))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_damaged_files_are_refused(suffix, tmp_path):
    path = tmp_path / f"mine{suffix}"
    with pytest.raises(UserError, match="there is no such file, folder or set; check the path"):
        load(str(path))
    whole = tmp_path / f"whole{suffix}"
    (np.save if suffix == ".npy" else np.savez_compressed)(whole, bytes_of(3, 16, 16))
    for content in (b"", b"hello", whole.read_bytes()[:-100]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"is empty|is not a readable NumPy file"):
            load(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="holds no images"):
        load(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mnst",
            "set (did you mean mnist?); check the path, or use mnist-mini, mnist, fashion-mnist",
        ),
        ("DIGITS", "did you mean digits?"),
        ("pictures.png", "pictures.png: there is no such file, folder or set; check the path"),
    ],
)
def test_unknown_names_list_the_known_ones(name, message):
    assert tuple(DATASETS) == BUILT_IN
    with pytest.raises(UserError, match=re.escape(message)):
        load(name)


# Splits


@pytest.mark.parametrize(
    ("train", "test", "kind", "sizes"),
    [
        (60_000, 10_000, "standard", (55_000, 5_000, 10_000)),
        (60_000, 10_000, "paper", (55_000, 5_000, 10_000)),
        (1_400, 280, "standard", (1_284, 116, 280)),
        (1_400, 280, "paper", (1_320, 120, 240)),
        (700, 0, "standard", (550, 50, 100)),
        (700, 0, "paper", (550, 50, 100)),
        (4, 0, "standard", (2, 1, 1)),
        (3, 1, "standard", (2, 1, 1)),
    ],
)
def test_splits_are_disjoint_complete_and_the_same_every_time(train, test, kind, sizes):
    arguments = numbered(train), numbered(test, start=train) if test else None, kind
    parts = split_images(*arguments)
    assert tuple(map(len, parts)) == sizes
    numbers = [labels(part) for part in parts]
    assert sorted(itertools.chain(*numbers)) == list(range(train + test))
    assert numbers == [labels(part) for part in split_images(*arguments)]
    if test and kind == "standard":
        assert numbers[2] == list(range(train, train + test))


def test_training_images_are_a_fair_sample_of_a_sorted_file():
    train, _, _ = split_images(numbered(6_000), None)
    assert abs(np.mean(labels(train.subset(slice(500)))) - 3_000) < 300


def test_pooling_keeps_labels_only_when_both_parts_have_them():
    bare = Images(name="bare", pixels=numbered(5).pixels)
    assert split_images(numbered(9), bare, "paper")[0].labels is None


def test_unfit_splits_are_refused():
    with pytest.raises(UserError, match="split is half; use standard, paper, all"):
        split_images(numbered(9), None, "half")
    for count, test in [(3, None), (1, None), (2, numbered(5))]:
        with pytest.raises(UserError, match="numbered: has too few images to split"):
            split_images(numbered(count), test)
    with pytest.raises(UserError, match="limit is 0; use 2 or more"):
        prepare(open_source("digits"), group=get_group("so2"), support=(1.0,), posed=True, limit=0)


# Posed sets


@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_posed_images_are_the_upright_ones_moved_within_the_support(name):
    group = get_group(name)
    support = group.support(rotation_deg=60, shift=0.1, scale=1.2, strain=0.1)
    upright = load("mnist-mini").train.subset(slice(1_100))  # more than one chunk
    posed = pose(upright, group, support, seed=3)
    assert posed.elements is not None and posed.upright is not None
    assert torch.equal(posed.upright, upright.pixels) and posed.images.labels is upright.labels
    parameters = group.to_parameters(posed.elements).abs()
    widths = torch.tensor(support)
    assert (parameters <= widths + 1e-5).all() and (parameters.amax(0) > 0.9 * widths).all()
    moved = warp(upright.pixels / 255, posed.elements) * 255
    assert (moved - posed.images.pixels).abs().max() < 0.501


def test_a_pose_seed_decides_every_byte():
    group, images = get_group("se2"), load("digits").train.subset(slice(50))
    a, b, c = (pose(images, group, group.support(), seed) for seed in (1, 1, 2))
    assert a.elements is not None and b.elements is not None and c.elements is not None
    assert torch.equal(a.images.pixels, b.images.pixels) and torch.equal(a.elements, b.elements)
    assert not torch.isclose(a.elements, c.elements)[:, 0, 0].any()


def test_the_background_fills_what_comes_in():
    images = as_images(np.full((4, 16, 16), 255, np.uint8), name="white")
    support = (0.0, 0.9, 0.9)
    assert pose(images, get_group("se2"), support, 0).images.pixels.min() == 0
    assert pose(images, get_group("se2"), support, 0, background=1.0).images.pixels.min() == 255


def test_prepare_poses_each_split_with_a_stream_of_its_own():
    group = get_group("se2")
    splits = prepare(
        open_source("digits"), group=group, support=group.support(), posed=True, limit=100, seed=4
    )
    parts = (splits.train, splits.validation, splits.test)
    assert tuple(map(len, parts)) == (100, 119, 360)
    first = [part.elements[0, 0, 0].item() for part in parts if part.elements is not None]
    assert len(set(first)) == 3
    again = prepare(
        open_source("digits"), group=group, support=group.support(), posed=True, limit=100, seed=4
    )
    assert torch.equal(again.test.images.pixels, splits.test.images.pixels)
    few = splits.test.subset(torch.tensor([5, 2]))
    assert few.elements is not None and splits.test.elements is not None
    assert torch.equal(few.elements, splits.test.elements[[5, 2]])


def test_files_are_left_as_they_lie(tmp_path):
    np.save(tmp_path / "mine.npy", bytes_of(14, 16, 16))
    group = get_group("se2")
    source = str(tmp_path / "mine.npy")
    splits = prepare(open_source(source), group=group, support=group.support(), posed=False)
    assert splits.train.upright is None and splits.train.elements is None
    assert splits.train.subset(slice(2)).upright is None
    assert tuple(map(len, (splits.train, splits.validation, splits.test))) == (11, 1, 2)


def test_every_named_set_says_what_it_needs():
    for dataset in DATASETS.values():
        assert dataset.description and dataset.licence and dataset.needs


def test_a_folder_of_the_same_name_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_source("digits").notes == []
    (tmp_path / "digits").mkdir()
    (said,) = open_source("digits").notes
    assert "built-in set" in said and f".{os.sep}digits" in said
