"""The package as a whole: what it imports, and in which direction."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import mcevae
from mcevae.models.contract import Model
from mcevae.models.registry import ENTRIES, spec_of

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


MOST_LINES = 350
"""Of a file."""
MOST_CODE = 50
"""Lines of a function, its docstring left out."""
MOST_FILES = 8
"""Beside the folders of the package."""

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


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, with its decorators and without its docstring."""
    first = min(node.lineno for node in (function, *function.decorator_list))
    lines = (function.end_lineno or first) - first + 1
    if ast.get_docstring(function, clean=False) is not None:
        text = function.body[0]
        lines -= (text.end_lineno or text.lineno) - text.lineno + 1
    return lines


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py"))
)
def test_files_and_functions_are_small(name: str) -> None:
    text = (SOURCE / name).read_text()
    assert len(text.splitlines()) <= MOST_LINES
    functions = (
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    long = {f.name: lines for f in functions if (lines := code_lines(f)) > MOST_CODE}
    assert not long


def test_the_package_is_folders() -> None:
    files = [path.name for path in SOURCE.iterdir() if path.is_file()]
    assert len(files) <= MOST_FILES, files


def test_every_module_imports_without_torchvision_torchmetrics_and_lightning() -> None:
    result = python(BLOCKED, *MODULES)
    assert result.returncode == 0, result.stderr


HELP = """
from mcevae.cli import main
try:
    main(["fit", "--help"])
except SystemExit:
    pass
"""


@pytest.mark.parametrize("code", ["import mcevae", "import mcevae.cli", HELP])
def test_importing_and_help_are_light(code: str) -> None:
    result = python(f"{code}\nimport sys; print([m for m in sys.modules if m == 'torch'])")
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


def model_classes() -> set[str]:
    """Names of all models, and of what they are built on."""
    for entry in ENTRIES:
        spec_of(entry.kind)
    import_module("mcevae.models.assembly")
    left, names = [Model], set()
    while left:
        known = left.pop()
        names.add(known.__name__)
        left += known.__subclasses__()
    return names


def questions(code: str, models: set[str]) -> list[str]:
    """Places that ask which model something is: by its class, or by the kind in its settings.

    Kinds of NumPy's types, which are letters, may be asked for.
    """
    letters, asked = set("biufcmMOSUV"), []

    def named(node: ast.AST) -> set[str]:
        inner = list(ast.walk(node))
        names = {each.id for each in inner if isinstance(each, ast.Name)}
        return names | {each.attr for each in inner if isinstance(each, ast.Attribute)}

    def is_kind(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "kind"

    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and named(node.func) & {"isinstance", "issubclass"}:
            suspect = bool(named(node.args[1]) & models)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            constants = [side.value for side in sides if isinstance(side, ast.Constant)]
            of_numpy = bool(constants) and all(set(str(one)) <= letters for one in constants)
            of_class = any(isinstance(side, ast.Name) and side.id in models for side in sides)
            suspect = of_class or (any(map(is_kind, sides)) and not of_numpy)
        elif isinstance(node, ast.Match):
            classes = {
                name
                for case in node.cases
                for inner in ast.walk(case.pattern)
                if isinstance(inner, ast.MatchClass)
                for name in named(inner.cls)
            }
            suspect = is_kind(node.subject) or bool(classes & models)
        else:
            suspect = isinstance(node, ast.Subscript) and is_kind(node.slice)
        if suspect:
            asked.append(ast.unparse(node))
    return asked


def test_only_models_know_which_model_it_is() -> None:
    models = model_classes()
    assert {"Model", "PaperModel", "DefaultModel", "VAE", "VaDE"} <= models
    asked = {
        str(file.relative_to(SOURCE)): found
        for file in SOURCE.rglob("*.py")
        if file.relative_to(SOURCE).parts[0] != "models"
        and (found := questions(file.read_text(), models))
    }
    assert not asked


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("isinstance(model, DefaultModel)", 1),
        ("isinstance(model, (paper.PaperModel, VAE))", 1),
        ("issubclass(type(model), Model)", 1),
        ("type(model) is VaDE", 1),
        ("config.model.kind != 'hypotheses'", 1),
        ("config.model.kind in KINDS", 1),
        ("BUILDERS[config.model.kind]", 1),
        ("match model:\n    case DefaultModel(): pass", 1),
        ("isinstance(layer, nn.ReLU)", 0),
        ("pixels.dtype.kind in 'ui'", 0),
        ("spec_of(config.model.kind).few_steps_hurt", 0),
    ],
)
def test_questions_of_models_are_found(code: str, count: int) -> None:
    assert len(questions(code, model_classes())) == count


def test_peers_are_named_in_the_registry_alone() -> None:
    """So that a new one is its own file and a line there. (The paper's comparison names some.)"""
    kinds = {entry.kind for entry in ENTRIES if entry.place.startswith("peers.")}
    homes = {
        file.relative_to(SOURCE).parts
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in kinds
    }
    assert {home for home in homes if home[0] != "reproduce"} == {("models", "registry.py")}


def test_public_names_exist() -> None:
    for name in mcevae.__all__:
        assert callable(getattr(mcevae, name)), f"{name} is no longer what it was imported as"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mcevae.nothing
