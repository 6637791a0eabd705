"""The documentation says what there is: commands, flags, names and files."""

import functools
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tyro

import mcevae
from mcevae.cli import main
from mcevae.config import PRESETS, Config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCES = re.compile(r"^ *```\w*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
SPANS = re.compile(r"`([^`]+)`")
LINKS = re.compile(r"\]\(([^)#]+)")
Commands = dict[str, Callable[..., Any]]


def command_lines() -> list[tuple[str, str]]:
    """Page and text of every command line of mcevae in a block of code."""
    found = []
    for page in PAGES:
        for block in FENCES.findall(page.read_text()):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line) for line in lines if re.match(r"\s*mcevae [a-z]", line)]
    return found


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """What the command line knows, by name."""
    found: Commands = {}
    with monkeypatch.context() as patch:
        patch.setattr(
            tyro.extras, "subcommand_cli_from_dict", lambda known, **_: found.update(known)
        )
        main([])
    return found


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Parses a command line to the end and runs nothing."""
    tyro_cli = tyro.cli

    def idle(command: Callable[..., Any], **settings: Any) -> None:
        tyro_cli(functools.wraps(command)(lambda *_, **__: None), **settings)

    monkeypatch.setattr(tyro, "cli", idle)
    monkeypatch.setattr(Config, "read", lambda _: PRESETS["default"]())
    return lambda line: main(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_command_lines_parse(page: str, line: str, parse: Callable[[str], None]) -> None:
    try:
        parse(line)
    except SystemExit:
        pytest.fail(f"{page}: {line}")


@pytest.mark.parametrize(
    "line",
    ["mcevae fit x", "mcevae fit x --out y --no-such-flag", "mcevae resume", "mcevae data x"],
)
def test_what_parsing_would_find(line: str, parse: Callable[[str], None]) -> None:
    with pytest.raises(SystemExit):
        parse(line)


def test_commands_and_flags_named_in_sentences_exist(
    commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    helps = {}
    for name in commands:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        helps[name] = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
    for page in PAGES:
        text = FENCES.sub("", page.read_text())
        for span in SPANS.findall(text):
            flags = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", span))
            if span.startswith("--"):
                assert flags <= set.union(*helps.values()), f"{page.name}: {span}"
            elif match := re.match(r"mcevae ([a-z]+)", span):
                assert match[1] in commands, f"{page.name}: {span}"
                assert flags <= helps[match[1]], f"{page.name}: {span}"


def test_every_command_has_its_place_and_its_example(commands: Commands) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert re.findall(r"^## `mcevae (\w+)`", page, re.MULTILINE) == list(commands)
    for command in commands.values():
        (example,) = re.findall(r"Example: (mcevae .*)", command.__doc__ or "")
        assert example in page


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name in mcevae.__all__:
        assert f"::: {getattr(mcevae, name).__module__}.{name}\n" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINKS.findall(page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target
