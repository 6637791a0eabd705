"""What a model takes is limited: its numbers before they are made, its work by trying one image."""

import math
from typing import Any

import pytest
import torch

from mcevae.base.errors import SettingError, UserError
from mcevae.models.config import PRESETS
from mcevae.models.limit import ROOM, AtMost, Live, images_at_once, size_of, while_training
from mcevae.models.registry import build
from mcevae.runs import checkpoint
from mcevae.runs.checkpoint import filled
from mcevae.runs.infer import embed
from mcevae.training.loop import fit
from tests.sizes import taught, tiny


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.empty(10, 11),
        lambda: torch.randn((10, 11)),
        lambda: torch.rand(10, 11),
        lambda: torch.full((110,), 1.0),
        lambda: torch.randint(0, 5, (110,)),
        lambda: torch.linspace(0, 1, 110),
        lambda: torch.linspace(0, 1, steps=110),
        lambda: torch.eye(11),
        lambda: torch.zeros(size=(110,)),
    ],
)
def test_numbers_are_counted_before_they_are_made(make: Any) -> None:
    with AtMost(121):
        make()
    with pytest.raises(UserError, match="more than 109 weights"), AtMost(109):
        make()


def test_memory_is_measured_while_it_is_used() -> None:
    old = torch.zeros(1000)
    with Live() as live:
        a = old + 1  # 4,000 bytes
        view = a[:500], old[:10]  # none of their own
        b = a * 2
        del a, view
        c = b + 1
    assert live.peak == 8000 and live.now == 8000
    del b, c
    assert live.now == 0
    with pytest.raises(UserError, match="too much"), Live(5000, "too much"):
        (old + 1) + 1


def test_numbers_that_are_equal_but_of_other_types_make_tensors_of_other_sizes() -> None:
    def size(value: Any) -> int:
        return size_of(torch.ops.aten.full.default, ([10], value), None)

    assert [size(value) for value in (1, 1.0, True, 1)] == [80, 40, 10, 80]
    torch.set_default_dtype(torch.float64)
    try:
        assert size(1.0) == 80
    finally:
        torch.set_default_dtype(torch.float32)
    x = torch.zeros(7, 3)
    assert size_of(torch.ops.aten.mm.default, (x, x.mT), None) == 7 * 7 * 4
    assert size_of(torch.ops.aten.mm.default, (x.mT, x), None) == 3 * 3 * 4
    assert size_of(torch.ops.aten.t.default, (x,), None) == 0  # it shows what is there


def test_what_is_remembered_of_a_form_is_what_would_be_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "AT_ONCE", {})
    config, shape = taught(clusters=1000, rotations=72), (1, 28, 28)
    model = build(config, shape).eval()
    found = []
    for clusters in (1, 1000, 1):  # of as many as there is room for
        model.use(clusters)
        model.at_once = 10**6
        found.append(checkpoint.at_once(model, config, shape))
        assert found[-1] == images_at_once(model, shape, 10**6)
    assert found[0] == found[2] != found[1] and len(checkpoint.AT_ONCE) == 2


def test_images_that_need_more_memory_are_inferred_a_few_at_a_time() -> None:
    shape = (1, 64, 64)
    config = PRESETS["spatial-vae"]().changed(model={"hidden": 500})
    made = build(config, shape)
    model = filled(config, shape, made.state_dict())
    assert 1 <= model.at_once < 100
    pixels = torch.randint(0, 256, (model.at_once + 1, *shape)).byte()
    with Live() as live:
        embed(model, pixels)
    assert live.peak < 1.5 * ROOM
    assert images_at_once(model, shape, 3) == 3
    config = config.changed(model={"hidden": 2000})
    shape = (1, 256, 256)
    with pytest.raises(RuntimeError, match="one image takes more than 512 MiB"):
        filled(config, shape, build(config, shape).state_dict())


def test_a_resumed_training_is_limited_until_its_owner_asks(
    tmp_path: Any, small_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tiny(epochs=1), small_data, tmp_path)
    assert fit(tiny(epochs=2), small_data, tmp_path, resume=True, limited=True)
    monkeypatch.setattr("mcevae.models.limit.STEP", 2**20)
    monkeypatch.setattr("mcevae.models.limit.PER_NUMBER", 1)
    with pytest.raises(UserError, match="training takes more than 1 MiB"):
        fit(tiny(epochs=3), small_data, tmp_path, resume=True, limited=True)
    assert fit(tiny(epochs=3), small_data, tmp_path, resume=True)


def test_a_resumed_training_makes_no_larger_model_than_its_file(
    tmp_path: Any, small_data: Any
) -> None:
    fit(tiny(epochs=1), small_data, tmp_path)
    with pytest.raises(UserError, match="the model has more than"):
        fit(tiny(epochs=2, hidden=10**5), small_data, tmp_path, resume=True)


@pytest.mark.parametrize("side", [28, 256])
def test_usual_batches_of_any_images_are_within_the_limit(side: int) -> None:
    assert while_training((1, side, side)).most >= 200 * side**2 * 4 * 50


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_among_the_settings_has_a_largest_value(name: str) -> None:
    """Or a stranger's run could ask for any memory, or any time."""
    from tests.hostile_runs import numbers

    config = PRESETS[name]()
    for part, setting, kind in numbers(config):
        for value in {int: (-(2**62), 2**62), float: (-1e300, 1e300, math.inf)}[kind]:
            with pytest.raises(SettingError):
                config.changed(**{part: {setting: value}})


def test_a_step_that_would_take_too_much_is_not_begun() -> None:
    x = torch.ones(1000, 200)  # 0.8 MB
    with pytest.raises(UserError, match="too much"), Live(2_000_000, "too much") as live:
        y = x * 2
        assert y.T.reshape(-1)[::2].sum() > 0  # views take nothing, and a copy fits
        _ = y[:, None] * y[:, :, None]  # 160 MB
    assert live.peak < 2_000_000


def test_a_step_that_is_watched_draws_the_same_numbers() -> None:
    def drawn() -> list[torch.Tensor]:
        torch.manual_seed(0)
        x = torch.randn(5)
        return [x, torch.randn_like(x), torch.normal(x, 1.0), torch.dropout(x, 0.5, True), x + 1]

    with Live(10_000, "too much"):
        watched = drawn()
    assert all(map(torch.equal, watched, drawn()))
    with pytest.raises(UserError, match="too much"), Live(10_000, "too much") as live:
        torch.randn(5_000)
    assert live.peak < 10_000
