"""Shapes and types in every signature are checked while the tests run."""

from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook finds it by name

install_import_hook("mcevae", "tests.typecheck.checked")

import dataclasses  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from mcevae.build import build  # noqa: E402
from mcevae.checkpoint import load_model  # noqa: E402
from mcevae.confidence import Calibration, calibrate  # noqa: E402
from mcevae.config import (  # noqa: E402
    PART_TYPES,
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    StartConfig,
    TrainConfig,
    default,
)
from mcevae.data import Splits, prepare_for  # noqa: E402
from mcevae.gallery import Gallery, hang  # noqa: E402
from mcevae.model import MCEVAE  # noqa: E402
from mcevae.train import fit  # noqa: E402


def tiny(**changes: object) -> Config:
    """Settings that train in a second; `changes` name fields of any part of the settings."""
    config = Config(
        data=DataConfig(source="mnist-mini", limit=400),
        model=ModelConfig(
            channels=(4, 8, 8, 8), hidden=32, pose_hidden=16, decoder_hidden=32, clusters=4
        ),
        objective=ObjectiveConfig(),
        train=TrainConfig(epochs=2, batch_size=50, lr=3e-3),
    )
    return changed(config, changes)


def taught(**changes: object) -> Config:
    """Settings of the default preset that train in seconds; `changes` as for `tiny`."""
    config = dataclasses.replace(
        default(),
        data=DataConfig(source="mnist-mini", limit=400),
        model=ModelConfig(kind="hypotheses", clusters=3, rotations=24, variation=4, hidden=32),
        start=StartConfig(templates=8, subset=300, neighbours=8, restarts=2, redraws=2),
        train=dataclasses.replace(default().train, epochs=4, batch_size=50),
    )
    return changed(config, changes)


def changed(config: Config, changes: dict[str, object]) -> Config:
    """The settings with some fields changed, whichever part they are in."""
    parts = {}
    for name in PART_TYPES:
        part = getattr(config, name)
        own = {f.name for f in dataclasses.fields(part)} & set(changes)
        parts[name] = dataclasses.replace(part, **{key: changes.pop(key) for key in own})
    assert not changes, changes
    return dataclasses.replace(config, **parts)


@pytest.fixture(scope="session")
def small_data() -> Splits:
    """400 training images of mnist-mini under SE(2), and 100 to validate and test on."""
    data = prepare_for(tiny())
    few = slice(100)
    return Splits(
        train=data.train, validation=data.validation.subset(few), test=data.test.subset(few)
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, small_data: Splits) -> Path:
    """A run of two epochs on `small_data`."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    assert fit(tiny(), small_data, run)
    return run


@pytest.fixture(scope="session")
def calibration(trained: Path, small_data: Splits) -> Calibration:
    """Of confidence and outlier score of `trained`."""
    model, config, _ = load_model(trained)
    return calibrate(model, config, small_data.validation.images.pixels)


@pytest.fixture(scope="session")
def gallery(trained: Path, small_data: Splits, calibration: Calibration) -> Gallery:
    """All images of `trained`."""
    model, config, _ = load_model(trained)
    return hang(model, config, small_data, calibration)


@pytest.fixture
def model() -> MCEVAE:
    """An untrained tiny model of 28 x 28 images, in evaluation mode."""
    torch.manual_seed(0)
    return build(tiny(), (1, 28, 28)).eval()
