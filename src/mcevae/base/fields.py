"""Values of settings files, checked against the fields of dataclasses."""

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mcevae.base.config import ensure


def checked(part: str, kind: type, settings: Any) -> dict[str, Any]:
    """Settings of one part, with lists as tuples, since TOML and JSON have only lists.

    Args:
        part: name of the part, for the message.
        kind: dataclass whose fields the settings are.
        settings: as the file has them.

    Raises:
        ValueError: settings are not a table, a name is unknown, or a value is of another type than
            the field's.
    """
    ensure(isinstance(settings, dict), f"{part} is {settings!r}; it must be a table")
    hints = get_type_hints(kind)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    for name, value in values.items():
        ensure(name in hints, f"there is no setting {part}.{name}")
        ensure(fits(value, hints[name]), f"{part}.{name} cannot be {value!r}")
    return values


def fits(value: Any, hint: Any) -> bool:
    """Whether a value read from a file is of a field's type; an int will do for a float."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in options and isinstance(value, str)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in options)
    if origin is tuple:
        count = None if options[-1] is Ellipsis else len(options)
        right = isinstance(value, tuple) and count in (None, len(value))
        return right and all(fits(item, options[0]) for item in value)
    if isinstance(value, int) and not -(2**63) < value < 2**63:  # more than tensors can hold
        return False
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and value == value  # NaN is not what anybody wants
    return isinstance(value, hint) and isinstance(value, bool) == (hint is bool)


def plain(value: Any) -> Any:
    """Nested dictionaries without what TOML has no words for.

    Settings that are unset (None) and tables without settings are left out, and tuples are lists.
    """
    if isinstance(value, dict):
        kept = {key: plain(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, {})}
    return list(value) if isinstance(value, tuple) else value
