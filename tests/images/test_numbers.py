"""Intensities by what the numbers are, in training and in what comes later."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.images.numbers import Numbers
from mcevae.images.readers.frames import Frame
from mcevae.images.readers.reading import Notes
from mcevae.images.recipe import Recipe, recipe_for
from mcevae.images.sources.registry import open_source
from mcevae.images.suiting import suited
from mcevae.images.survey import survey
from mcevae.runs.answers import pixels_by

rng = np.random.default_rng(0)
BYTES = np.zeros((12, 20, 24), np.uint8)
BYTES[:, 3:-3, 3:-3] = rng.integers(0, 256, (12, 14, 18))
BYTES[0, 5, 5], BYTES[:, 6, 6] = 255, 0
CODES = rng.integers(0, 3, (12, 20, 24)).astype(np.uint8)
KINDS: dict[str, np.ndarray] = {
    "bytes": BYTES,
    "whole floats": BYTES.astype(np.float32),
    "doubles": BYTES.astype(np.float64),
    "shares": BYTES / np.float32(255),
    "int64": BYTES.astype(np.int64),
    "bytes in 16 bits": BYTES.astype(np.uint16),
    "16 bits": BYTES.astype(np.uint16) * 257,
}


def frames(stack: np.ndarray) -> Sequence[Frame]:
    return [Frame(f"x[{i}]", image) for i, image in enumerate(stack)]


def images_by(recipe: Recipe, stack: np.ndarray) -> torch.Tensor:
    return pixels_by(recipe, frames(stack))


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_other_numbers_are_converted_or_refused_and_never_misread(ours: str, theirs: str) -> None:
    recipe = survey(frames(KINDS[ours])).recipe
    meant = images_by(recipe, KINDS[ours]).int()
    try:
        found = images_by(recipe, KINDS[theirs]).int()
    except UserError as error:
        assert "but the run was trained on" in str(error)
        assert {ours, theirs} & {"int64", "bytes in 16 bits"}  # whose white nobody knows
    else:
        assert (found - meant).abs().max() <= 2, (ours, theirs)


def test_words_of_another_range_than_bytes_are_refused() -> None:
    words = survey(frames(BYTES.astype(np.uint16) * 16)).recipe
    assert words.numbers == "uint16" and words.seen == pytest.approx((0, 4080), abs=40)
    with pytest.raises(UserError, match=r"images: the images hold uint8 from 0 to 25\d, but the"):
        images_by(words, BYTES)
    by_image = survey(frames(BYTES.astype(np.uint16) * 16), normalise="image").recipe
    assert images_by(by_image, BYTES).max() == 255


@pytest.mark.parametrize("kind", ["u1", "i8", "u2", "f4"])
def test_codes_are_stretched_whatever_they_are_kept_in(kind: str) -> None:
    rare = np.zeros_like(CODES)
    rare[:, 10, 10] = 1  # less than one value in a thousand
    for codes in (CODES, rare):
        recipe = survey(frames(codes.astype(kind))).recipe
        assert images_by(recipe, codes.astype(kind)).max() == 255
        assert torch.equal(
            images_by(recipe, codes.astype("i4")), images_by(recipe, codes.astype(kind))
        )
    masks = np.dstack([CODES[0] > 1] * 3 + [np.full((20, 24), 255)]).astype(np.uint8)
    assert survey([Frame("a", masks)]).recipe.normalise == "set"  # opacity is no intensity


def test_floats_that_look_like_bytes_are_read_as_bytes() -> None:
    recipe = survey(frames(KINDS["whole floats"])).recipe
    assert (recipe.white, recipe.normalise) == (255.0, "none")
    assert np.array_equal(images_by(recipe, KINDS["whole floats"])[:, 0], BYTES)
    other = survey(frames(BYTES * np.float32(1.37))).recipe
    assert other.white is None and other.normalise == "set"
    assert survey(frames(BYTES * 2.0), white=510).recipe.normalise == "none"


def test_a_darker_set_of_the_same_kind_is_read_as_it_is() -> None:
    for kind in ("bytes", "16 bits", "shares"):
        recipe = survey(frames(KINDS[kind])).recipe
        dark = KINDS[kind] // 5 if kind != "shares" else KINDS[kind] / 5
        assert suited(recipe, frames(dark), "x") == recipe


def test_inverted_contrast_is_said_and_can_be_undone() -> None:
    recipe, notes = survey(frames(BYTES)).recipe, Notes()
    suited(recipe, frames(BYTES), "x", notes)
    assert list(notes) == []
    suited(recipe, frames(255 - BYTES), "x", notes)
    (note,) = notes
    assert "x has a border of 1.00" in note and "give --invert" in note
    undone = replace(recipe, invert=True)
    assert torch.equal(images_by(undone, 255 - BYTES), images_by(recipe, BYTES))
    found = survey(frames(255 - BYTES), invert=True).recipe
    assert found.background == 0 and found.invert


def test_what_was_seen_is_recorded_and_compared_when_files_are_predicted(tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", KINDS["whole floats"] * 1.5)
    np.save(tmp_path / "bytes.npy", BYTES)
    source = open_source(str(tmp_path / "floats.npy"))
    settled: dict[str, Any] = {**source.settled(), "size": None}
    assert settled["numbers"] == "float" and settled["seen"][1] > 350
    recipe = recipe_for(DataConfig(**settled), (1, 20, 24))
    (part,) = open_source(str(tmp_path / "bytes.npy"), DataConfig(**settled)).parts(recipe)
    (same,) = source.parts(recipe)
    assert torch.allclose(part.pixels * 1.5, same.pixels.float(), atol=2)
    np.save(tmp_path / "bytes.npy", BYTES.astype(np.uint32) * 10**6)
    with pytest.raises(UserError, match=r"hold uint32 from 0 to 2\.5"):
        list(open_source(str(tmp_path / "bytes.npy"), DataConfig(**settled)).parts(recipe))


def test_numbers_are_told_from_a_sample() -> None:
    found = Numbers.of(frames(BYTES.astype(np.int16) - 100))
    assert found.dtype == "int16" and found.whole and not found.codes and found.low == -100
    mixed = Numbers.of([*frames(BYTES), *frames(KINDS["16 bits"])])
    assert mixed.dtype == "mixed"


def test_nan_at_the_border_become_background_and_inside_are_refused(tmp_path: Path) -> None:
    stack = np.stack([BYTES / np.float32(255)] * 2).reshape(-1, 20, 24)
    stack = np.clip(stack, 0.2, 1)
    stack[:, :4] = np.nan  # a strip that a rotation left
    stack[:, -2:, 20:] = np.nan
    stack[5, 10, 10:12] = np.nan
    np.save(tmp_path / "a.npy", stack)
    source = open_source(str(tmp_path / "a.npy"))
    loaded = source.load()
    (fault,) = loaded.faults
    assert fault.name == "a.npy#5" and "holds NaN inside (2 pixels); fill them" in fault.reason
    assert source.survey is not None
    level = round(255 * source.survey.recipe.background)
    assert level == 51 and (loaded.train.pixels[:, 0, :4] == level).all()
    assert any("NaN at their border" in note for note in source.notes)
    every = np.full((4, 20, 24), np.nan, np.float32)
    np.save(tmp_path / "b.npy", every)
    with pytest.raises(UserError, match="holds NaN everywhere"):
        open_source(str(tmp_path / "b.npy")).load()
