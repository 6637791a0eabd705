"""Settings: presets, files old and new, and what a model does not read."""

import dataclasses
import re
import tomllib
from itertools import combinations
from typing import Any

import pytest

from mcevae.base.errors import UserError
from mcevae.base.flags import flag_of, present_flags, setting_of
from mcevae.cli import COMMANDS, main
from mcevae.models.config import PRESETS, Config, PlannedConfig
from mcevae.models.own import FORMER
from mcevae.models.peers.common import CodeConfig
from mcevae.models.peers.vade import VaDEConfig
from mcevae.models.registry import ENTRIES, readers, spec_of
from mcevae.training.schedule import planned

OLD_BASELINE = {
    "code": 16,
    "gamma": 10.0,
    "rotation_prior": 45.0,
    "shift_prior": 0.05,
    "search_restarts": 20,
    "search_steps": 10,
    "pretrain": 0.2,
}

OLD_VAE = """
preset = "vae"

[model]
kind = "vae"
group = "se2"
rotations = 72
clusters = 10
hidden = 512
pose_hidden = 32
decoder_hidden = 300

[objective]
mode = "unsupervised"
alpha = 1.0
beta = 1.0
draws = 1
invariance_noise = "shared"
likelihood = "bce"

[start]
templates = 128
subset = 20000
poses = "templates"
grouping = "tangent"
draw = "posterior"
neighbours = 15
restarts = 3
warmup = 0.25
redraws = 5
frames = "content"
augment_strain = 0.1
augment_elastic = 0.025
"""


def test_settings_are_the_default_preset_unless_said_otherwise() -> None:
    assert Config() == PRESETS["default"]() == Config.from_dict({})
    assert Config().train.epochs == "auto" and Config().model.kind == "hypotheses"
    assert Config.from_dict({"train": {"epochs": 3}}) == Config().changed(train={"epochs": 3})


def test_the_paper_is_as_written() -> None:
    paper = PRESETS["paper"]()
    assert (paper.model.kind, paper.model.variation) == ("mce-vae", 3)
    train = paper.train
    assert (train.epochs, train.batch_size, train.lr) == (60, 100, 1e-3)
    assert (train.schedule, train.weight_decay) == ("constant", 0.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_files_bring_settings_back(preset: str) -> None:
    config = PRESETS[preset]()
    assert config.preset == preset
    assert Config.from_dict(tomllib.loads(config.to_toml())) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_old_files_have_settings_of_all_peers(preset: str) -> None:
    """They were in a table named `baseline`, and there was no table `peer`."""
    config = PRESETS[preset]()
    values = config.to_dict()
    values["baseline"] = OLD_BASELINE | values.pop("peer", {})
    assert Config.from_dict(values) == config


def test_old_files_keep_what_their_peer_was_given() -> None:
    values = {"preset": "vade", "baseline": OLD_BASELINE | {"pretrain": 0.4, "code": 3}}
    assert Config.from_dict(values).peer == VaDEConfig(pretrain=0.4, code=3)


@pytest.mark.parametrize(("setting", "other"), [("start.poses", "graph"), ("start.restarts", 7)])
def test_old_files_may_have_a_default_that_has_changed(setting: str, other: Any) -> None:
    """Presets that have no start still wrote down the settings of one."""
    part, name = setting.split(".")
    values = PRESETS["paper"]().to_dict()
    values[part][name] = FORMER[setting]
    assert Config.from_dict(values) == PRESETS["paper"]()
    values[part][name] = other
    with pytest.raises(UserError, match=f"does not use this {name}"):
        Config.from_dict(values)


def test_an_old_file_of_a_model_without_a_start_opens() -> None:
    """Written by 0.1; if this fails, a default has changed: add the former one to `FORMER`."""
    assert Config.from_dict(tomllib.loads(OLD_VAE)) == PRESETS["vae"]()


def test_a_kind_alone_has_its_own_settings() -> None:
    assert Config.from_dict({"model": {"kind": "jrvae"}}) == PRESETS["jrvae"]()
    config = Config.from_dict({"preset": "paper", "model": {"kind": "vade"}})
    assert config.peer == VaDEConfig()
    given = {"preset": "paper", "model": {"kind": "vade"}, "peer": {"pretrain": 0.5}}
    assert Config.from_dict(given).own(VaDEConfig).pretrain == 0.5


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"peer": {"gamma": 3.0}}, "default does not use this gamma; use preset factor-vae"),
        ({"baseline": {"gamma": 3.0}}, "does not use this gamma; use preset factor-vae"),
        ({"preset": "jrvae", "peer": {"code": 3}}, "jrvae does not use this code"),
        ({"preset": "vae", "objective": {"alpha": 2.0}}, "use preset default or paper"),
        ({"preset": "vae", "model": {"clusters": "auto"}}, "lacks clusters auto"),
        ({"preset": "gmvae", "start": {"redraws": 2}}, "gmvae does not use this redraws"),
        ({"preset": "paper", "model": {"mirror": True}}, "paper does not use this mirror"),
        ({"model": {"mirror": 1}}, "model.mirror cannot be 1"),
        ({"model": {"variation": True}}, "model.variation cannot be True"),
        ({"model": {"kind": "no-such"}}, "model.kind cannot be 'no-such'"),
        ({"peer": {"nothing": 3}}, "no setting peer.nothing"),
        ({"baseline": {"nothing": 3}}, "no setting peer.nothing"),
        ({"peer": 0}, "peer is 0"),
        ({"baseline": []}, r"peer is \[\]"),
        ({"preset": "vade", "peer": {"pretrain": 2.0}}, "pretrain is 2.0"),
        ({"preset": "factor-vae", "peer": {"code": 0}}, "code is 0"),
        (
            {"preset": "spatial-vae", "peer": {"shift_prior": 0.0}},
            "shift_prior must be more",
        ),
    ],
)
def test_what_a_model_does_not_read_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Config.from_dict(values, "here")


def test_settings_of_another_peer_are_refused() -> None:
    with pytest.raises(ValueError, match="CodeConfig, not VaDEConfig"):
        dataclasses.replace(PRESETS["vade"](), peer=CodeConfig())


def test_every_setting_of_these_parts_is_read_by_some_model() -> None:
    for part in ("model", "objective", "start"):
        for field in dataclasses.fields(getattr(Config(), part)):
            assert readers(f"{part}.{field.name}"), field.name


@pytest.mark.parametrize("kind", [entry.kind for entry in ENTRIES])
def test_models_read_settings_that_exist(kind: str) -> None:
    config = Config()
    for setting in spec_of(kind).reads:
        part, name = setting.split(".")
        assert hasattr(getattr(config, part), name), setting


def test_planned_settings_are_numbers() -> None:
    config = planned(Config(), 1000)
    assert isinstance(config, PlannedConfig)
    assert (config.train.epochs, config.train.batch_size) == (38, 50)
    assert planned(config, 10**6) == config
    changed = config.changed(train={"lr": 1e-3})
    assert isinstance(changed, PlannedConfig) and changed.train.epochs == 38


def edits(a: str, b: str) -> int:
    """How many letters have to be added, left out or changed to make one word of the other."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        before, row = row, [i]
        for j, other in enumerate(b, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (letter != other)))
    return row[-1]


@pytest.mark.parametrize("every", ["--help", "--help-all"])
@pytest.mark.parametrize(
    "command", ["fit", *COMMANDS, *(f"fit --preset {name}" for name in PRESETS)]
)
def test_no_two_flags_differ_by_a_letter(
    command: str, every: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), every])
    flags = sorted(set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out)))
    assert ended.value.code == 0 and flags
    pairs = [(a, b) for a, b in combinations(flags, 2) if abs(len(a) - len(b)) < 2]
    close = [(a, b) for a, b in pairs if edits(a, b) < 2]
    assert not close


def test_flags_that_were_renamed_have_their_old_names_too() -> None:
    old = ["fit", "x", "--rotations", "24", "--poses=graph", "--rotation", "30", "--colours", "red"]
    expected = ["--angles", "24", "--first-poses=graph", "--rotation", "30", "--channel-colours"]
    assert present_flags(old) == ["fit", "x", *expected, "red"]
    older = ["--channel=2", "--tags", "odd", "--tag", "odd", "--channels", "2"]
    now = ["--channels=2", "--with-tags", "odd", "--tag", "odd", "--channels", "2"]
    assert present_flags(older) == now
    assert {setting_of(flag_of(name)) for name in ("rotations", "batch_size", "code")} == {
        "rotations",
        "batch_size",
        "code",
    }
