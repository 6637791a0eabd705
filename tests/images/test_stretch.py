"""Stretches of astronomy: as astropy has them, recorded by a run, the same for later images."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.visualization import AsinhStretch, ZScaleInterval

from mcevae.base.config import DataConfig
from mcevae.base.errors import SettingError
from mcevae.images.recipe import recipe_for
from mcevae.images.sources.registry import open_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(6):
        sky = rng.normal(100, 5, (24, 24))
        sky[10:13, 10:13] += 5000 * (i + 1)
        fits.PrimaryHDU(sky.astype(np.float32)).writeto(tmp_path / f"{i}.fits")
    return tmp_path


def test_zscale_is_that_of_astropy(folder: Path) -> None:
    source = open_source(str(folder), DataConfig(stretch="zscale", flatten="no"))
    images = source.load().train
    for i, image in enumerate(images.pixels[:, 0].numpy()):
        sky = np.asarray(fits.getdata(folder / f"{i}.fits"), float)
        wanted = ZScaleInterval()(sky)
        np.testing.assert_allclose(image / 255, wanted, atol=0.003)
    assert "by zscale" in source.survey.in_words()  # pyright: ignore[reportOptionalMemberAccess]


def test_asinh_is_that_of_astropy_after_the_levels(folder: Path) -> None:
    source = open_source(str(folder), DataConfig(stretch="asinh", flatten="no"))
    images, recipe = source.load().train, source.survey.recipe  # pyright: ignore[reportOptionalMemberAccess]
    assert recipe.normalise == "set" and recipe.levels is not None
    low, high = recipe.levels
    for i, image in enumerate(images.pixels[:, 0].numpy()):
        sky = np.asarray(fits.getdata(folder / f"{i}.fits"), float)
        wanted = AsinhStretch()(((sky - low) / (high - low)).clip(0, 1))
        np.testing.assert_allclose(image / 255, wanted, atol=0.003)


@pytest.mark.parametrize("stretch", ["asinh", "zscale"])
def test_a_run_records_the_stretch(folder: Path, stretch: str) -> None:
    settings = DataConfig(stretch=stretch)  # pyright: ignore[reportArgumentType]
    source = open_source(str(folder), settings)
    assert source.survey is not None
    recipe, settled = source.survey.recipe, source.settled()
    assert settled["stretch"] == stretch
    later = DataConfig(source=str(folder), **settled)
    assert recipe_for(later, (1, 24, 24)) == recipe
    [part] = open_source(str(folder)).parts(recipe)
    assert (part.pixels == source.load().train.pixels).all()


def test_zscale_contradicts_a_stretch_for_all_images() -> None:
    with pytest.raises(SettingError, match=r"is set, but .*stretch zscale stretches each image"):
        DataConfig(stretch="zscale", normalise="set")
