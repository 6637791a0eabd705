"""Masks: what is outside of them changes nothing, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.estimator import MCEVAE
from mcevae.geometry.groups import SE2
from mcevae.images.masks import as_text, circle, from_text, masked
from mcevae.images.readers.frames import Frame, Unreadable
from mcevae.images.recipe import form_of_mask, recipe_for
from mcevae.images.sources.registry import open_source
from mcevae.models.config import Config
from mcevae.models.masking import masks_of
from mcevae.models.registry import build
from mcevae.run import open_run
from tests.images.reading import read
from tests.images.stained import stained

SIDE = 32
DISC = circle(SIDE, SIDE)
QUICK = ("--quick", "--clusters", "3", "--rotation", "45")


def cells(count: int = 120, seed: int = 0) -> np.ndarray:
    """Grey cells with a spot that tells their kind."""
    images, _ = stained(count, 2, side=SIDE, seed=seed)
    return (images[..., 0] // 4 + 4 * images[..., 1]).astype(np.uint16)


def cluttered(images: np.ndarray, seed: int = 5) -> np.ndarray:
    """The same images with bright clutter, brighter than anything, outside of the disc."""
    rng = np.random.default_rng(seed)
    clutter = rng.integers(0, 60_000, images.shape).astype(np.uint16)
    shift = rng.integers(0, 2, len(images)).astype(bool)
    clutter[shift, :, : SIDE // 2] = 60_000
    return np.where(DISC, images, clutter)


def mask_file(path: Path, mask: np.ndarray = DISC) -> str:
    Image.fromarray((255 * mask).astype(np.uint8)).save(path / "mask.png")
    return str(path / "mask.png")


def with_opacity(images: np.ndarray) -> np.ndarray:
    opacity = np.broadcast_to(np.where(DISC, 65535, 0), images.shape)
    return np.stack([images, images, images, opacity], -1).astype(np.uint16)


@pytest.mark.parametrize("flatten", ["no", "yes", "auto"])
@pytest.mark.parametrize("normalise", ["auto", "set", "image"])
@pytest.mark.parametrize("kind", ["circle", "file", "alpha"])
def test_what_is_outside_changes_no_pixel(
    kind: str, normalise: Any, flatten: Any, tmp_path: Path
) -> None:
    mask = mask_file(tmp_path) if kind == "file" else kind
    own, found = cells(40), []
    for name, images in (("clean", own), ("cluttered", cluttered(own))):
        stack = with_opacity(images) if kind == "alpha" else images
        np.save(tmp_path / f"{name}.npy", stack)
        path = str(tmp_path / f"{name}.npy")
        settings = DataConfig(source=path, mask=mask, normalise=normalise, flatten=flatten)
        source = open_source(path, settings)
        found.append((source.load().train.pixels, source.settled()))
    (clean, ours), (dirty, theirs) = found
    assert torch.equal(clean, dirty) and ours == theirs
    outside = clean[:, 0, torch.from_numpy(~DISC)].float() / 255
    assert (outside - ours["background"]).abs().max() < 0.01
    assert clean.float().std() > 10


def test_colours_outside_a_mask_do_not_count(tmp_path: Path) -> None:
    grey = np.repeat(cells(20)[..., None] // 16, 3, -1).astype(np.uint8)
    clutter = np.random.default_rng(0).integers(0, 256, grey.shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", np.where(DISC[..., None], grey, clutter))
    settings = DataConfig(source=str(tmp_path / "a.npy"), mask="circle")
    assert read(tmp_path / "a.npy", settings)[0].shape == (1, SIDE, SIDE)


def test_clutter_outside_a_mask_changes_neither_clusters_nor_poses(tmp_path: Path) -> None:
    own = cells()
    answers = {}
    for name, images in (("clean", own), ("cluttered", cluttered(own)), ("again", own)):
        np.save(tmp_path / f"{name}.npy", images)
        run = tmp_path / name
        main(["fit", str(tmp_path / f"{name}.npy"), *QUICK, "--mask", "circle", "--out", str(run)])
        answers[name] = open_run(run).predict(cluttered(cells(20, 1), seed=7))
    for name in ("cluttered", "again"):
        assert np.array_equal(answers["clean"].cluster, answers[name].cluster)
        assert np.array_equal(answers["clean"].pose, answers[name].pose)
    run = open_run(tmp_path / "clean")
    other = run.predict(cells(20, 1))  # without the clutter
    assert np.array_equal(other.pose, answers["clean"].pose)
    bare = tmp_path / "bare"
    main(["fit", str(tmp_path / "cluttered.npy"), *QUICK, "--out", str(bare)])
    assert not np.array_equal(open_run(bare).predict(cells(20, 1)).pose, other.pose)
    main(["averages", str(tmp_path / "cluttered"), "--out", str(tmp_path / "a.npy")])
    main(["averages", str(tmp_path / "clean"), "--out", str(tmp_path / "b.npy")])
    assert np.array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


def test_a_run_needs_the_file_of_its_mask_no_more(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", cells())
    mask, run = mask_file(tmp_path), tmp_path / "run"
    main(["fit", str(tmp_path / "a.npy"), *QUICK, "--mask", mask, "--out", str(run)])
    Path(mask).unlink()
    main(["predict", str(run), str(tmp_path / "a.npy"), "--out", str(tmp_path / "t.csv"),
          "--canonical", str(tmp_path / "pictures")])  # fmt: skip
    flags = ["--like", str(run), "--out", str(tmp_path / "pack")]
    main(["pack", str(tmp_path / "a.npy"), *flags])
    packed = open_run(run).predict(str(tmp_path / "pack"))
    assert len(packed) == 120
    with pytest.raises(UserError, match="the mask 32 x 32"):
        open_run(run).predict(np.zeros((3, 20, 40), np.uint16) + 900)


@pytest.mark.parametrize("preset", ["default", "paper", "quick"])
def test_pixels_outside_add_nothing_that_could_be_learned(preset: str) -> None:
    data = {"source": "x.npy", "mask": "circle", "mask_bits": as_text(DISC), "background": 0.3}
    config = Config.from_dict({"preset": preset, "data": data})
    model = build(config, (1, SIDE, SIDE))
    images = torch.rand(2, 1, SIDE, SIDE, requires_grad=True)
    shown = model.masked(images)
    outside = torch.from_numpy(~DISC)
    assert (shown[:, 0, outside] == 0.3).all()
    assert torch.equal(shown[:, 0, ~outside], images[:, 0, ~outside])
    shown.square().sum().backward()
    assert images.grad is not None and not images.grad[:, 0, outside].any()
    if preset != "quick":
        x = model.masked(torch.rand(4, 1, SIDE, SIDE))
        made = model.eval()(x)
        assert (made.reconstruction[:, 0, outside] - 0.3).abs().max() < 1e-6
        assert (made.canonical[..., :3, :3] - 0.3).abs().max() < 1e-6  # far from the disc
    assert "mask" not in model.state_dict()


def test_a_pixel_of_a_canonical_image_counts_if_a_rotation_brings_it_under_the_mask() -> None:
    corner = np.ones((SIDE, SIDE), bool)
    corner[:8, :8] = False  # a time stamp, say
    settings = DataConfig(source="x", mask="m.png", mask_bits=as_text(corner))
    kept = {}
    for degrees in (0.0, 180.0):
        share, upright = masks_of(settings, (SIDE, SIDE), SE2(), np.radians(degrees))
        assert share is not None and upright is not None
        assert torch.equal(share[0] > 0, torch.from_numpy(corner))
        kept[degrees] = (upright[0] > 0.5).sum()
    assert kept[0.0] == corner.sum() and kept[180.0] == SIDE**2


def test_masks_have_the_form_of_the_images() -> None:
    wide = DataConfig(source="x", mask="circle", mask_bits=as_text(circle(20, 40)))
    share = form_of_mask(wide, (32, 32))
    assert share is not None and share.shape == (1, 32, 32)
    assert not share[:, :8].any() and share[0, 16, 16] == 1 and not share[0, 16, :6].any()
    assert form_of_mask(DataConfig(source="x"), (32, 32)) is None
    recipe = recipe_for(DataConfig(source="x", mask="circle"), (1, 32, 32))
    image = recipe(Frame("a", np.full((20, 40), 255, np.uint8)))
    assert image[0, 16, 16] == 255 and not image[0, 16, :6].any()


@pytest.mark.parametrize("size", [(7, 9), (32, 32), (256, 17)])
def test_masks_are_written_and_read_back(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(size) > 0.5
    assert np.array_equal(from_text(as_text(mask)), mask)
    large = circle(900, 600)
    assert from_text(as_text(large)).shape == (256, 171)


@pytest.mark.parametrize("text", ["", "8x8", "8x8:!!", "8x8:AAAA", "9999x8:eJwDAAAAAAE=", "axb:x"])
def test_damaged_masks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="mask is damaged"):
        from_text(text)


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", cells(8))
    plain = np.zeros((SIDE, SIDE), bool)
    for mask, said in (
        (mask_file(tmp_path, np.ones((20, 60), bool) & (np.arange(60) > 9)), "the mask 60 x 20"),
        ("alpha", "has no opacity, which mask alpha needs"),
        (str(tmp_path / "none.png"), "the mask is not there"),
    ):
        with pytest.raises(UserError, match=said):
            read(tmp_path / "a.npy", DataConfig(source=str(tmp_path / "a.npy"), mask=mask))
    mask = mask_file(tmp_path, plain)
    with pytest.raises(UserError, match="the mask has one value only"):
        read(tmp_path / "a.npy", DataConfig(source=str(tmp_path / "a.npy"), mask=mask))
    with pytest.raises(ValueError, match="mnist-mini is a built-in set"):
        DataConfig(source="mnist-mini", mask="circle")
    with pytest.raises(Unreadable, match="leaves nothing of it"):
        masked(Frame("a", np.zeros((8, 8, 4), np.uint8)), "alpha", None)


def test_the_estimator_takes_a_mask(tmp_path: Path) -> None:
    own = cells(60)
    fitted = [
        MCEVAE(3, rotation=45, quick=True, settings={"data": {"mask": "circle"}}).fit(X)
        for X in (own, cluttered(own))
    ]
    assert np.array_equal(fitted[0].labels_, fitted[1].labels_)
    assert np.array_equal(fitted[0].pose(own), fitted[1].pose(cluttered(own)))
    fitted[0].save_pretrained(tmp_path / "model")
    again = MCEVAE.from_pretrained(tmp_path / "model")
    assert np.array_equal(again.pose(cluttered(own, 9)), fitted[0].pose(own))
