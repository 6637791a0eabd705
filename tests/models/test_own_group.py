"""Groups given by generators: what is read, what is refused, and what models make of them."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mcevae.base.errors import SettingError, UserError
from mcevae.geometry.groups import GROUPS, get_group
from mcevae.models.config import PRESETS, Config, ModelConfig
from mcevae.models.default.objective import HypothesisObjective, in_pixels
from mcevae.models.own_group import OwnGroup, chosen, group_of
from mcevae.models.registry import build
from tests.own_group import SLANT, slant
from tests.sizes import taught, tiny

TABLE = SLANT[SLANT.index("[[") :]
SHEAR_Y = """
[[generators]]
coordinate = "upward"
half_width = 0.2
matrix = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
"""
SHIFTS = """
[[generators]]
coordinate = "across"
unit = "side"
half_width = 0.1
matrix = [[0, 0, 1], [0, 0, 0], [0, 0, 0]]

[[generators]]
coordinate = "down"
unit = "side"
half_width = 0.1
matrix = [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
"""
SPIRAL = """
name = "spiral"

[[generators]]
coordinate = "winding"
unit = "rad"
half_width = 1.0
matrix = [[0.2, -1, 0], [1, 0.2, 0], [0, 0, 0]]
"""


def test_what_is_read_is_the_group(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SLANT + SHIFTS)
    group = group_of(OwnGroup.read(tmp_path / "own.toml"))
    assert group.name == "slant" and group.coordinates == ("slant", "across", "down")
    assert group.units == ("1", "side", "side")
    assert group.support(rotation_deg=10) == (0.6, 0.1, 0.1)  # whatever the settings say
    by = group.exp(torch.tensor([0.5, 0.0, 0.0]))
    assert_close(group.act(by, torch.tensor([[0.1, 0.2]])), torch.tensor([[0.2, 0.2]]))


@pytest.mark.parametrize("preset", [PRESETS["default"], PRESETS["paper"]])
def test_settings_hold_the_group_itself(preset: Any, tmp_path: Path) -> None:
    config = preset().changed(model={"group": slant(tmp_path)})
    for values in (tomllib.loads(config.to_toml()), json.loads(json.dumps(config.to_dict()))):
        assert Config.from_dict(values) == config
    assert config.data_group == config.model.group  # built-in sets are moved by it


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name =", "title =", "the group has an entry 'title'; use name, generators"),
        ('name = "slant"', "", "the group has no name; add it"),
        ("half_width = 0.6", "", "a generator has no half_width; add it"),
        ("half_width", "width", "a generator has an entry 'width'; use coordinate"),
        ('name = "slant"', 'name = "se2"', "'se2' belongs to another group"),
        ('name = "slant"', 'name = "<b>"', "name is '<b>'; use 1 to 30 small letters"),
        ('name = "slant"', f'name = "{"a" * 31}"', "use 1 to 30 small letters"),
        ('coordinate = "slant"', 'coordinate = "../x"', "coordinate is '../x'; use 1 to 30"),
        ('coordinate = "slant"', "coordinate = 3", "coordinate is 3; use 1 to 30"),
        ('coordinate = "slant"', 'coordinate = "rotation"', "'rotation' has a name that mcevae"),
        ('coordinate = "slant"', 'coordinate = "z"', "'z' has a name that mcevae uses"),
        ("0.6", "0.6\nunit = 'mm'", "unit of slant is 'mm'; use one of rad, side, log, 1"),
        ("0.6", "0.6\nunit = ['rad']", "unit of slant is"),
        ("0.6", "0", "half_width of slant is 0; use 0.01 to 10"),
        ("0.6", "nan", "half_width of slant is nan"),
        ("0.6", "true", "half_width of slant is True"),
        ("[0, 1, 0]", "[0, 1]", "use 3 rows of 3 numbers"),
        ("[0, 1, 0]", "[0, inf, 0]", "use 3 rows of 3 numbers"),
        ("[0, 1, 0]", "[0, 'a', 0]", "use 3 rows of 3 numbers"),
        ("[[0, 1, 0], [0, 0, 0], [0, 0, 0]]", "1", "matrix of slant is 1; use 3 rows"),
        ("[0, 0, 0]]", "[0, 0, 1]]", "the last row of the matrix of slant is (0, 0, 1); use zeros"),
        ("[0, 1, 0]", "[0, 9, 0]", "largest entry of its matrix is 5.4; use 0.0001 to 5"),
        ("[0, 1, 0]", "[0, 1e-9, 0]", "largest entry of its matrix is 6e-10; use 0.0001 to 5"),
        ("[0, 1, 0]", "[0, 0, 0]", "largest entry of its matrix is 0; use 0.0001 to 5"),
        (SLANT, SLANT + TABLE.replace("slant", "lean"), "Generators must be linearly independent."),
        ("[0, 0, 0]]", f"[0, 0, 0]]\n{SHEAR_Y}", "Generators must be closed under the bracket"),
        (SLANT, SLANT + TABLE, "give each its own name"),
        (SLANT, 'name = "slant"\ngenerators = []', "there are 0 generators; give 1 to 6"),
        (SLANT, 'name = "slant"\ngenerators = 3', "generators is 3; use tables"),
        (SLANT, 'name = "slant"\ngenerators = [3]', "a generator is 3; use a table"),
        (SLANT, "name", "Expected '='"),
        (SLANT, "#" * 70_000, "has more than 65536 bytes"),
        (SLANT, "name = " + "[" * 5_000, ""),
    ],
)
def test_what_is_no_group_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    assert old in SLANT
    path = tmp_path / "own.toml"
    path.write_text(SLANT.replace(old, new))
    with pytest.raises(UserError) as error:
        OwnGroup.read(path)
    assert str(error.value).startswith(f"{path}: ") and says in str(error.value)
    assert str(error.value).endswith(".") and not str(error.value).endswith("..")


def test_bytes_missing_files_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe\x00")
    os.mkfifo(tmp_path / "pipe.toml")  # whose reader would wait for ever
    for name in ("own.toml", "pipe.toml", "missing.toml", "."):
        with pytest.raises(UserError, match=str(tmp_path)):
            OwnGroup.read(tmp_path / name)


def test_a_group_is_chosen_by_name_file_or_table(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SLANT)
    own = OwnGroup.read(tmp_path / "own.toml")
    assert chosen("sim2") == "sim2"
    for group in (own, str(tmp_path / "own.toml"), tmp_path / "own.toml", tomllib.loads(SLANT)):
        assert chosen(group) == own
    for nothing in ("so3", "", None, 3, {"name": "slant"}):
        with pytest.raises(UserError):
            chosen(nothing)


def test_settings_of_strangers_read_no_files(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(SLANT)
    with pytest.raises(UserError, match=r"model.group cannot be"):
        Config.from_dict({"model": {"group": str(tmp_path / "own.toml")}})


def test_generators_have_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="mirror cannot be used with a file of generators"):
        taught(group=slant(tmp_path), mirror=True)


def test_generators_in_settings_are_checked_before_a_model_is_made() -> None:
    values = tomllib.loads(SLANT + SHEAR_Y)
    config = Config.from_dict({"model": {"group": values}})
    with pytest.raises(UserError, match=r"slant: .* closed under the bracket"):
        build(config, (1, 28, 28))


@pytest.mark.parametrize("settings", [tiny, taught], ids=["paper", "default"])
@pytest.mark.parametrize("text", [SLANT, SLANT + SHIFTS, SPIRAL], ids=["1", "3", "spiral"])
def test_models_answer_in_coordinates_of_the_group(settings: Any, text: str) -> None:
    torch.manual_seed(0)
    own = OwnGroup.from_dict(tomllib.loads(text))
    model = build(settings(group=own), (1, 20, 24)).eval()
    x = torch.rand(5, 1, 20, 24)
    out = model(x)
    assert out.tau.shape == (5, len(own.generators)) and out.reconstruction.shape == x.shape
    assert_close(model.group.exp(out.tau), out.element)
    assert_close(out.responsibilities.sum(-1), torch.ones(5))


def test_the_default_model_has_no_grid_of_rotations_for_it(tmp_path: Path) -> None:
    model = build(taught(group=slant(tmp_path)), (1, 28, 28)).eval()
    x = torch.rand(3, 1, 28, 28)
    joint, rest = model.infer(x)
    assert joint.shape == (3, 3, 1) and rest.shape == (3, 1)
    cluster, element, mass = model.read(joint, rest + 0.25)
    assert_close(mass, joint[:, :, 0].max(-1).values)
    assert_close(model.group.log(element), torch.full((3, 1), 0.25))
    assert torch.equal(cluster, joint.sum(-1).argmax(-1))


def test_strain_is_only_what_the_own_group_does_not_do(tmp_path: Path) -> None:
    config = taught(group=slant(tmp_path), augment_strain=0.3)
    group = group_of(config.model.group)
    objective = HypothesisObjective(config, config.support.half_widths(group))
    p = get_group("aff2").to_parameters(objective.strain(50, group, torch.device("cpu")))
    assert (p[:, 5].abs() < 1e-5).all() and (p[:, 3:5].std(0) > 0.1).all()


@pytest.mark.parametrize("name", list(GROUPS))
def test_pixels_of_a_unit(name: str, tmp_path: Path) -> None:
    group = get_group(name)
    expected = [28.0 if unit == "side" else 7.0 for unit in group.units[1:]]
    assert in_pixels(group, torch.zeros(1, 1, 28, 20)).tolist() == expected
    own = group_of(slant(tmp_path))  # moves one axis where a named coordinate moves two
    assert_close(in_pixels(own, torch.zeros(1, 1, 28, 20)), torch.tensor([7 / 2**0.5]))


def test_the_paper_s_prior_of_the_pose_is_the_support_s(tmp_path: Path) -> None:
    model = build(tiny(group=slant(tmp_path)), (1, 28, 28))
    assert_close(model.pose.scale, torch.tensor([0.6 / 3**0.5]))


def test_peers_that_rotate_and_shift_say_so(tmp_path: Path) -> None:
    config = Config(preset="jrvae", model=ModelConfig(kind="jrvae", group=slant(tmp_path)))
    with pytest.raises(UserError, match="not group slant; use group so2 or group se2"):
        build(config, (1, 28, 28))
