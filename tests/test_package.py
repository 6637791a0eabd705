"""The package as a whole: what it imports, and in which direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mcevae

SOURCE = Path(mcevae.__file__).parent
MODULES = sorted(path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__"))
PACKAGES = ("baselines", "cli", "reproduce")

# Each module may import those before it. DESIGN: groups <- warp <- nets <- model <- ... <- cli.
ORDER = [
    *(
        "errors",
        "files",
        "config",
        "shards",
        "groups",
        "warp",
        "readers",
        "images",
        "recipe",
        "packs",
        "folder",
        "packing",
        "data",
        "nets",
        "distributions",
    ),
    *(
        "model",
        "moments",
        "templates",
        "layout",
        "neighbours",
        "frames",
        "hypotheses",
        "objectives",
    ),
    *("baselines", "build", "selftraining", "batchnorm", "ranks"),
    *(
        "equivariance",
        "checkpoint",
        "infer",
        "health",
        "schedule",
        "noise",
        "log",
        "trainer",
        "train",
        "confidence",
        "curation",
        "parts",
        "predict",
        "engine",
        "metrics",
        "figures",
        "sheets",
        "gallery",
        "graphs",
        "interchange",
        "report",
        "explorer",
        "guard",
        "serve",
        "listen",
        "hub",
        "estimator",
    ),
    *("machine", "reproduce", "cli"),
]

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


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted([*MODULES, *PACKAGES])


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("[!_]*.py")), ids=lambda file: file.stem)
def test_imports_point_one_way(file: Path) -> None:
    module = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    tree = ast.parse(file.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "mcevae":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mcevae."):
            imported.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            imported |= {a.name.split(".")[1] for a in node.names if a.name.startswith("mcevae.")}
        assert not (isinstance(node, ast.ImportFrom) and node.level), "use absolute imports"
    imported -= {module} if module in PACKAGES else set()
    later = {name for name in imported if ORDER.index(name) >= ORDER.index(module)}
    assert not later, f"{module} imports {later}, which come after it"


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
