"""Whether mirror images occur is read from images, without labels."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.geometry.groups import get_group, reflect
from mcevae.geometry.warp import warp
from mcevae.images.arrays import to_bytes
from mcevae.images.loading import load
from mcevae.models.config import Config
from mcevae.models.mirror import chosen_mirror, spelled_out
from mcevae.teaching.graph import describe
from mcevae.teaching.handedness import Handedness, handedness
from tests.test_estimator import tiny as tiny_estimator

CHIRAL = (2, 4, 7)


def turned(digits: tuple[int, ...], share: float, count: int = 300) -> torch.Tensor:
    """Digits in any direction, of which a share is mirrored."""
    data = load("mnist-mini").train
    assert data.labels is not None
    own = torch.isin(data.labels, torch.tensor(digits)).nonzero()[:count, 0]
    generator = torch.Generator().manual_seed(0)
    images = F.pad(data.pixels[own].float() / 255, (7,) * 4)
    angle = (2 * torch.rand(len(own), 1, generator=generator) - 1) * math.pi
    signs = torch.rand(len(own), generator=generator) < share
    return warp(images, reflect(get_group("so2").from_parameters(angle), signs))


def found(images: torch.Tensor) -> Handedness:
    return handedness(describe([images], get_group("se2"), 0.0).rings)


@pytest.mark.parametrize(("share", "occurs"), [(0.0, False), (0.5, True), (1.0, False)])
def test_mirror_images_are_noticed(share: float, occurs: bool) -> None:
    """If all are mirrored, none is the mirror image of another."""
    said = found(turned(CHIRAL, share))
    assert said.occurs is occurs and said.telling > 0.3
    assert ("yes" in said.in_words()) is occurs and "%" in said.in_words()


def test_the_answer_is_the_same_for_mirrored_images() -> None:
    images = turned(CHIRAL, 0.3)
    one, other = found(images), found(images.flip(-1))
    assert other.mirrored == pytest.approx(one.mirrored, abs=0.03)
    assert other.telling == pytest.approx(one.telling, abs=0.03)


def test_things_that_look_like_their_mirror_images_do_not_count() -> None:
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, 42)] * 2, indexing="ij")
    generator = torch.Generator().manual_seed(1)
    size = 0.2 + 0.4 * torch.rand(200, 2, 1, 1, generator=generator)
    ellipse = (((x / size[:, 0]) ** 2 + (y / size[:, 1]) ** 2) < 1).float()[:, None]
    angle = 6 * torch.rand(200, 1, generator=generator)
    said = found(warp(ellipse, get_group("so2").from_parameters(angle)))
    assert not said.occurs and said.telling < 0.1 and "make no difference" in said.in_words()


def test_the_flag_may_stand_alone_or_have_a_value() -> None:
    for given, expected in (
        ("fit a --mirror --out r", "fit a --mirror yes --out r"),
        ("fit a --out r --mirror", "fit a --out r --mirror yes"),
        ("fit --mirror folder", "fit --mirror yes folder"),
        ("fit a --no-mirror", "fit a --mirror no"),
        ("fit a --mirror AUTO", "fit a --mirror AUTO"),
        ("fit a --mirror=auto", "fit a --mirror=auto"),
    ):
        assert spelled_out(given.split()) == expected.split()
    with pytest.raises(UserError, match="use True, False or"):
        chosen_mirror("maybe")
    assert chosen_mirror(np.bool_(True)) is True and chosen_mirror("auto") == "auto"
    assert Config.from_dict({"model": {"mirror": "auto"}}).model.mirror == "auto"


def test_auto_decides_and_the_run_records_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "--clusters 3 --epochs 2 --templates 4 --neighbours 5 --restarts 1 --rotations 24"
    for share, word in ((0.0, "no"), (0.5, "yes")):
        np.save(tmp_path / f"{word}.npy", to_bytes(turned(CHIRAL, share))[:, 0].numpy())
        run = tmp_path / word
        flags = ["--mirror", "auto", "--rotation", "180", "--hidden", "32", "--out", str(run)]
        main(["fit", str(tmp_path / f"{word}.npy"), *sizes.split(), *flags])
        assert f"Mirror images: {word}." in " ".join(capsys.readouterr().out.split())
        assert Config.read(run / "settings.toml").model.mirror is (word == "yes")
        main(["evaluate", str(run)])  # its images are the same as before


def test_the_estimator_decides_too() -> None:
    X = to_bytes(turned(CHIRAL, 0.5, 150))[:, 0].numpy()
    model = tiny_estimator(mirror="auto", rotation=180.0).fit(X)
    assert model.config_.model.mirror is True and model.model_.group.mirrors
