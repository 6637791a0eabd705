"""The errors that people are meant to see, in the words of whoever asked.

A sentence names a setting as `--batch_size` or `--batch-size`. Python shows it as the parameter,
batch_size; the command line as its flag, --batch-size; the estimator by its own names (`naming`).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mcevae.base.flags import flag_of, setting_of

DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, OSError),
    *(RecursionError, TypeError, ValueError),
)
"""Exceptions from reading JSON or TOML of any content: wrong types, huge numbers, deep nesting."""
SETTING = re.compile(r"(?<![\w-])--([a-z][a-z_-]*)")
"""A setting within a sentence."""
Naming = Callable[[str], str]
"""The name that people know a setting by; it is given the field's name."""


def as_parameter(setting: str) -> str:
    """The name in Python: batch_size."""
    return setting


def as_flag(setting: str) -> str:
    """The name on the command line: --batch-size for batch_size."""
    return f"--{flag_of(setting)}"


_name_of: ContextVar[Naming] = ContextVar("name_of", default=as_parameter)


@contextmanager
def naming(name_of: Naming) -> Iterator[None]:
    """Within it, errors name settings so."""
    before = _name_of.set(name_of)
    try:
        yield
    finally:
        _name_of.reset(before)


def in_words(sentence: str) -> str:
    """A sentence with its settings named as whoever asked knows them."""
    name_of = _name_of.get()
    return SETTING.sub(lambda found: name_of(setting_of(found[1])), sentence)


class Worded(Exception):
    """An error of one sentence, which may name settings."""

    def __str__(self) -> str:
        """The sentence, for whoever asks now."""
        return in_words(super().__str__())


class UserError(Worded):
    """Something the user can mend; the CLI prints its one sentence and exits with code 2."""


class TrainingError(Worded):
    """Training went wrong; the CLI prints what to try and exits with code 1."""


class Terminated(BaseException):
    """The signal TERM has asked this process to end."""


class SettingError(Worded, ValueError):
    """A setting cannot be as it is given."""
