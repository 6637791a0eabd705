"""What `mcevae --help` says: what each command is for; and `mcevae fit --help`: the flags of every
day. tyro says the rest: `mcevae fit --help-all`, and the help of the other commands.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse, parse_from_object
from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mcevae.base.flags import flag_of
from mcevae.cli.scenes import SceneFlags
from mcevae.cli.shared import screen
from mcevae.models.config import PART_TYPES, Config

EVERYDAY = {
    "your images": (*("size", "channels", "boxes", "objects", "mask", "labels", "hints", "limit"),),
    "what they may show, and how it may lie": (
        *("clusters", "group", "rotation", "shift", "scale", "mirror"),
    ),
    "training": ("epochs", "minutes", "seed"),
}
"""Settings by their headings."""
WHOLE = ("out", "quick", "from", "rounds", "settings", "preset")
"""Flags of the command itself."""
MOST_CHOICES = 60
"""Characters of choices that are listed; the texts of more name them."""
LONG = 170
"""Characters of a text; the sentences beyond are left to `--help-all`."""


DESCRIPTION = """Sort unlabelled images by what they show, even if they are turned or shifted.

Start with: mcevae fit mnist-mini --epochs 40 --out runs/first
Then, in a browser: mcevae serve runs/first"""
CONTINUED = re.compile(r"\n {8,}")
"""Where the text of an argument goes on in the next line of a docstring."""


def show_commands(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Print what each command is for, in a line or two.

    Args:
        commands: by their names.
    """
    screen.print(f"usage: mcevae COMMAND ...\n\n{DESCRIPTION}\n", highlight=False)
    texts = [(name, summary(command)) for name, command in commands.items()]
    screen.print(boxed("commands", texts, width=10))
    last = "What a command can do, with an example: mcevae COMMAND --help"
    screen.print(last, highlight=False)


def summary(command: Callable[..., Any]) -> str:
    """The first sentences of a command's docstring, in one line."""
    return " ".join((inspect.getdoc(command) or "").split("\n\n")[0].split())


def flowing(text: str) -> str:
    """A docstring whose arguments have one line each, so that the terminal breaks them."""
    return CONTINUED.sub(" ", inspect.cleandoc(text))


def show_everyday(command: Callable[..., None], start: Config) -> None:
    """Print the flags of every day.

    Args:
        command: `fit`, whose parameters and docstring tell of its own flags.
        start: the defaults of the other flags; those of another preset are left out.
    """
    told = parse(inspect.getdoc(command) or "")
    screen.print("usage: mcevae fit SOURCE --out RUN [FLAGS]\n", markup=False, highlight=False)
    screen.print(f"{told.short_description}\n\n{told.long_description}\n", markup=False)
    settings = settings_of(start)
    screen.print(boxed("the command", [("SOURCE", settings["source"][1]), *own_flags(command)]))
    for title, names in EVERYDAY.items():
        screen.print(boxed(title, [settings[name] for name in names if name in settings]))
    screen.print(boxed("frames that show many things", list(of_frames())))
    preset = "" if start.preset == "default" else f"--preset {start.preset} "
    last = f"These are the flags of every day. All of them: mcevae fit {preset}--help-all"
    screen.print(last, markup=False, highlight=False)


def own_flags(command: Callable[..., None]) -> Iterator[tuple[str, str]]:
    """The flags of the command itself, with what their texts say."""
    texts = {one.arg_name: one.description or "" for one in parse(command.__doc__ or "").params}
    texts |= {"from": texts["parent"], "preset": texts_of(Config)["preset"]}
    values = {"out": " RUN", "quick": "", "rounds": " INT", "preset": " NAME"}
    for name in WHOLE:
        default = "required" if name == "out" else ""
        yield f"--{name}{values.get(name, ' PATH')}", with_default(texts[name], default)


def of_frames() -> Iterator[tuple[str, str]]:
    """The flags for frames, with what their texts say."""
    texts, hints = texts_of(SceneFlags), get_type_hints(SceneFlags)
    for field in reversed(dataclasses.fields(SceneFlags)):
        default = f"default: {field.default}" if field.default else ""
        flag = f"--{flag_of(field.name)}{taken(hints[field.name])}"
        yield flag, with_default(texts[field.name], default)


def settings_of(start: Config) -> dict[str, tuple[str, str]]:
    """For each setting its flag with what it takes, and its text with its default."""
    found = {}
    for name in PART_TYPES:
        part = getattr(start, name)
        texts, hints = texts_of(type(part)), get_type_hints(type(part))
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            default = "" if value is None or value is False else f"default: {shown(value)}"
            text = with_default(texts.get(field.name, ""), default)
            found[field.name] = f"--{flag_of(field.name)}{taken(hints[field.name])}", text
    return found


def texts_of(settings: type) -> dict[str, str]:
    """What is written below each field of a dataclass, and of those it is made from."""
    texts: dict[str, str] = {}
    for one in reversed(settings.__mro__[:-1]):
        found = parse_from_object(one).params
        texts |= {each.arg_name: each.description for each in found if each.description}
    return texts


def with_default(text: str, default: str) -> str:
    """The first sentences of a text in one line, with its default."""
    first, *others = " ".join(text.split()).split(". ")
    for sentence in others:
        if len(first) + len(sentence) > LONG:
            break
        first += f". {sentence}"
    line = first.rstrip(".") + "."
    return f"{line} ({default})" if default else line


def shown(value: Any) -> str:
    """A default as it would be written behind its flag."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"


def taken(hint: Any) -> str:
    """What is written behind a flag: its choices, or the kind of its value."""
    if hint is bool:
        return ""
    choices = [str(one) for kind in kinds(hint) for one in words(kind)]
    text = " " + "|".join(dict.fromkeys(choices))
    return text if len(text) < MOST_CHOICES else " NAME"


def kinds(hint: Any) -> Iterator[Any]:
    """The types that a hint unites."""
    inside = get_args(hint)
    if get_origin(hint) in (Literal, tuple) or not inside:
        yield hint
    else:
        for one in inside:
            yield from kinds(one)


def words(kind: Any) -> Iterator[Any]:
    """What a type stands for on the command line."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif get_origin(kind) is tuple:
        yield "NUMBERS"
    elif kind is bool:
        yield from ("True", "False")
    elif kind is not NoneType:
        yield {int: "INT", float: "NUMBER", str: "TEXT"}.get(kind, "FILE")


def boxed(title: str, rows: list[tuple[str, str]], width: int = 26) -> Panel:
    """Flags or commands, in a column of some characters, and their texts, in a box with a title."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=width, overflow="fold")
    table.add_column(ratio=1)
    for flag, text in rows:
        table.add_row(Text(flag, style="bold"), Text(text))
    return Panel(table, title=title, title_align="left", box=box.ROUNDED)
