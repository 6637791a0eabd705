"""The type checker of the tests: an int is accepted where a float is wanted, as PEP 484 has it."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, no_type_check

from beartype import BeartypeConf, beartype

CALLS = 100
"""Checks of a function. Checking each of millions of calls takes a third of the tests' time."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check the types of the first `CALLS` calls of a function."""
    check = beartype(conf=BeartypeConf(is_pep484_tower=True))(function)
    calls = 0

    @functools.wraps(check)
    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == CALLS:
            leave(function)
        return check(*args, **kwargs)

    return counted


def leave(function: Callable[..., Any]) -> None:
    """No more checks of a function. One that no name leads to, as inside another, stays checked."""
    found: Any = sys.modules[function.__module__]
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    found = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
    while found is not None:  # through all decorators, of which the checker is one
        if inspect.isfunction(found):
            no_type_check(found)
        found = getattr(found, "__wrapped__", None)
