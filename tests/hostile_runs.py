"""Runs as a stranger could make them: each setting at its extremes, each file as something else.

`benchmarks/hostile_runs.py` opens them with every command.
"""

import dataclasses
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from mcevae.models.config import PART_TYPES, Config


def hints(config: Config) -> Iterator[tuple[str, str, Any]]:
    """Part, name and type of every setting of a preset."""
    for part in PART_TYPES:
        known = get_type_hints(type(getattr(config, part)))
        for field in dataclasses.fields(getattr(config, part)):
            yield part, field.name, known[field.name]


def options(hint: Any) -> list[Any]:
    """The types that a setting may have."""
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def numbers(config: Config) -> Iterator[tuple[str, str, type]]:
    """Part, name and type of every setting that is a number."""
    for part, name, hint in hints(config):
        for kind in (int, float):
            if kind in options(hint):
                yield part, name, kind
