"""The package as a whole: what it imports, and in which direction."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcevae

ROOT = Path(__file__).parents[1]
SOURCE = Path(mcevae.__file__).parent
ROOMS = sorted(
    {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in SOURCE.rglob("[!_]*.py")}
)
MODULES = sorted(
    ".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("[!_]*.py")
)


def order() -> list[str]:
    """Rooms of the house in the order of imports, as the map of CONTRIBUTING.md has them."""
    plan = (ROOT / "CONTRIBUTING.md").read_text().split("## The map")[1].split("```")[1]
    return [line.split()[0] for line in plan.strip().splitlines()]


BLOCKED = """
import importlib, importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torchvision", "torchmetrics", "lightning", "pytorch_lightning"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
for name in sys.argv[1:]:
    importlib.import_module(f"mcevae.{name}")
"""


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_every_room_has_its_place() -> None:
    assert sorted(order()) == ROOMS


def imported_by(file: Path) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it, as dotted names."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "use absolute imports"
            if node.module == "mcevae":
                yield from (f"mcevae.{alias.name}" for alias in node.names)
            elif (node.module or "").startswith("mcevae."):
                yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("mcevae"))


@pytest.mark.parametrize(
    "file", sorted(SOURCE.rglob("[!_]*.py")), ids=lambda file: str(file.relative_to(SOURCE))
)
def test_imports_point_one_way(file: Path) -> None:
    rooms, own = order(), file.relative_to(SOURCE).parts[0].removesuffix(".py")
    imported = {name.split(".")[1] for name in imported_by(file)} - {own}
    later = {room for room in imported if rooms.index(room) > rooms.index(own)}
    assert not later, f"{own} imports {later}, which come after it"


def test_every_module_imports_without_torchvision_torchmetrics_and_lightning() -> None:
    result = python(BLOCKED, *MODULES)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["mcevae", "mcevae.cli"])
def test_importing_is_light(module: str) -> None:
    result = python(f"import {module}, sys; print([m for m in sys.modules if m == 'torch'])")
    assert result.stdout.strip() == "[]", result.stderr


def test_public_names_exist() -> None:
    for name in mcevae.__all__:
        assert callable(getattr(mcevae, name)), f"{name} is no longer what it was imported as"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mcevae.nothing
