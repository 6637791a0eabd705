"""The estimator takes images in the forms in which people have them, and answers all alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcevae.estimator import MCEVAE
from mcevae.images.arrays import Images
from mcevae.images.loading import load
from mcevae.run import open_run

COUNT = 60


@pytest.fixture(scope="module")
def images() -> Images:
    return load("mnist-mini").train.subset(slice(COUNT))


@pytest.fixture(scope="module")
def files(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one PNG for each image."""
    folder = tmp_path_factory.mktemp("files")
    for i, image in enumerate(images.pixels[:, 0].numpy()):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


@pytest.fixture(scope="module")
def fitted(images: Images) -> MCEVAE:
    return MCEVAE(3, quick=True).fit(images.pixels[:, 0].numpy())


FORMS: dict[str, Callable[[Images, Path], Any]] = {
    "as load gives them": lambda images, _: images,
    "tensor (n, C, H, W)": lambda images, _: images.pixels,
    "array (n, C, H, W)": lambda images, _: images.pixels.numpy(),
    "tensor with gradients": lambda images, _: (images.pixels / 255).requires_grad_(),
    "tensor (n, H, W) with gradients": lambda images, _: (
        images.pixels[:, 0] / 255
    ).requires_grad_(),
    "tensor in bfloat16": lambda images, _: (images.pixels / 255).bfloat16(),
    "Pillow images": lambda images, _: [Image.fromarray(x) for x in images.pixels[:, 0].numpy()],
    "list of tensors": lambda images, _: list(images.pixels),
    "folder": lambda _, files: files,
    "folder as text": lambda _, files: str(files),
    "paths": lambda _, files: sorted(files.iterdir()),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gets_the_same_answers(
    form: str, fitted: MCEVAE, images: Images, files: Path
) -> None:
    given = FORMS[form](images, files)
    plain = images.pixels[:, 0].numpy()
    known = fitted.predict(plain)
    assert (fitted.predict(given) == known).mean() > 0.95  # bfloat16 rounds
    if form in ("folder", "paths", "tensor (n, C, H, W)"):
        again = MCEVAE(3, quick=True).fit(given)
        assert np.array_equal(again.labels_, fitted.labels_)
        assert np.array_equal(again.pose(given), fitted.pose(plain))
        assert len(again.averages(given)) == 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_channels_may_come_first(channels: int, fitted: MCEVAE) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, channels, 20, 24), np.uint8)
    last = np.moveaxis(images, 1, -1)
    model = MCEVAE(2, quick=True)
    source = model._source(images, model._config().data, reset=True)
    given = [frame.pixels for frame in source.sample()]
    assert model.image_shape_ == ((20, 24) if channels == 1 else (20, 24, channels))
    same = model._source(last, model._config().data, reset=True)
    expected = [frame.pixels.reshape(given[0].shape) for frame in same.sample()]
    assert np.array_equal(given, expected)


def test_images_of_a_list_may_differ_in_size_and_colours(images: Images) -> None:
    plain = [Image.fromarray(x) for x in images.pixels[:, 0].numpy()]
    mixed = [x.resize((28 + i % 3, 28)) for i, x in enumerate(plain)]
    mixed[0] = plain[0].convert("RGB")
    mixed[1] = plain[1].convert("P")
    model = MCEVAE(3, quick=True, max_epochs="auto").fit(mixed)
    assert model.image_shape_ is None and model.predict(plain).shape == (COUNT,)
    assert model.canonical(mixed).shape[:3] == (COUNT, *model.recipe_.shape)


def test_a_run_takes_the_same_forms(trained: Path, images: Images, calibration: Any) -> None:
    run = open_run(trained)
    run.calibration = calibration
    tensor = (images.pixels[:5, 0] / 255).requires_grad_()
    pictures = [Image.fromarray(x) for x in images.pixels[:5, 0].numpy()]
    known = run.predict(images.pixels[:5]).cluster
    for given in (tensor, pictures, images.subset(slice(5)), images.pixels[:5].numpy()):
        assert np.array_equal(run.predict(given).cluster, known)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("no/such/folder", "no/such/folder: there is no such file"),
        (["a.png"] * 5, "a.png is not there"),
        (["a.png", np.zeros((20, 20))], "X has paths and a ndarray; give paths only"),
        ([np.zeros((20, 20)), "a.png"], "X holds a str at place 1; give images only"),
        (Image.new("L", (20, 20)), "is a single picture; give a list"),
        ([np.zeros((20, 20)), np.zeros((21, 20))], "X has 2 images; give at least 4"),
        ([np.zeros((20, 20)), np.zeros((2, 2, 21, 20))], r"X has 2 images; give at least 4"),
        ([np.zeros((20, 20))] * 4 + [np.zeros((2, 2, 21, 20))], r"X\[4\] has shape \(2, 2, 21"),
        (torch.zeros(2, 1, 20, 20), "minimum of 4"),
    ],
    ids=range(9),
)
def test_what_is_no_set_of_images_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MCEVAE(2, quick=True).fit(wrong)


def test_a_file_that_cannot_be_read_is_named(files: Path, fitted: MCEVAE, tmp_path: Path) -> None:
    paths = sorted(files.iterdir())[:10]
    broken = tmp_path / "broken.png"
    broken.write_bytes(paths[0].read_bytes()[:60])
    with pytest.raises(ValueError, match=r"broken\.png"):
        fitted.predict([*paths, broken])
