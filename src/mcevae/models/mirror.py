"""The setting `mirror`: yes, no, or auto. This module imports no tensors."""

from collections.abc import Sequence
from typing import Any, Literal

import tyro

from mcevae.base.config import ensure
from mcevae.base.errors import UserError

Mirror = bool | Literal["auto"]
WORDS: dict[str, Mirror] = {
    "yes": True,
    "no": False,
    "auto": "auto",
    "true": True,
    "false": False,
}
"""What the command line takes."""


def chosen_mirror(value: Any) -> Mirror:
    """Check a value that Python code gives.

    Args:
        value: True, False or "auto".

    Raises:
        UserError: it is something else.
    """
    if isinstance(value, str) and value != "auto":
        raise UserError(f"--mirror is {value!r}; use True, False or 'auto'.")
    return value if value == "auto" else bool(value)


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Write `--mirror` without a value, and `--no-mirror`, as `--mirror yes` and `--mirror no`."""
    spelled: list[str] = []
    for i, argument in enumerate(arguments):
        if argument == "--no-mirror":
            spelled += ["--mirror", "no"]
            continue
        spelled.append(argument)
        if argument == "--mirror" and "".join(arguments[i + 1 : i + 2]).lower() not in WORDS:
            spelled.append("yes")
    return spelled


def _read(words: list[str]) -> Mirror:
    word = words[0].lower()
    ensure(word in WORDS, f"--mirror is {words[0]}; use yes, no or auto")
    return WORDS[word]


MIRROR_FLAG = tyro.constructors.PrimitiveConstructorSpec(
    nargs=1,
    metavar="{auto,yes,no}",
    instance_from_str=_read,
    is_instance=lambda value: isinstance(value, bool) or value == "auto",
    str_from_instance=lambda value: [value if isinstance(value, str) else ("no", "yes")[value]],
)
"""How the command line reads `--mirror`."""
