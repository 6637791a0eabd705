"""What is installed is told, pinned and hashed."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = re.compile(r"[A-Za-z0-9_.-]+")
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\n]+)", re.MULTILINE)


def canonical(name: str) -> str:
    """As the package index compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements: list[str]) -> list[str]:
    """Names of requirements, but for the package's own."""
    names = [match[0] for one in requirements if (match := NAME.match(one))]
    return [name for name in names if name != PROJECT["name"]]


def pins(file: str) -> dict[str, str]:
    """Versions by canonical name."""
    return {canonical(name): version for name, version in PIN.findall((ROOT / file).read_text())}


def test_every_dependency_has_its_reason_and_no_other_is_named() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    core, extras = page.split("## Extras")
    told = re.findall(r"^\| `([\w.-]+)` \| [^|]+ \| [^|]+ \|$", core, re.MULTILINE)
    assert sorted(told) == sorted(named(PROJECT["dependencies"]))
    of_extras = re.findall(r"^\| `(\w+)` \| `([\w.-]+)` \| [^|]+ \|$", extras, re.MULTILINE)
    wanted = [
        (extra, name)
        for extra, requirements in PROJECT["optional-dependencies"].items()
        for name in named(requirements)
    ]
    assert sorted(of_extras) == sorted(wanted)


def test_the_lock_has_the_versions_of_the_constraints_and_every_dependency() -> None:
    locked, constrained = pins("requirements-dev.lock"), pins("constraints.txt")
    assert constrained.items() <= locked.items()
    extras = PROJECT["optional-dependencies"]
    own = next(one for one in extras["dev"] if one.startswith(PROJECT["name"]))
    inside = re.findall(r"\w+", own.partition("[")[2])  # those that dev brings along
    groups = (PROJECT["dependencies"], extras["dev"], *(extras[name] for name in inside))
    assert {canonical(name) for one in groups for name in named(one)} <= set(locked)


def test_every_locked_package_has_hashes_and_no_place_of_its_own() -> None:
    text = (ROOT / "requirements-dev.lock").read_text()
    packages = re.split(r"\n(?=\S)", text.strip())
    assert len(packages) == len(pins("requirements-dev.lock"))
    for package in packages:
        assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", package)) >= 1, package
    assert "://" not in text and " @ " not in text and "--index" not in text
