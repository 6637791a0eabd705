"""Exceptions that a user of the command line sees as one sentence."""

DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, OSError),
    *(RecursionError, TypeError, ValueError),
)
"""Exceptions from reading JSON or TOML with any content: wrong types, huge numbers, deep
nesting."""


class UserError(Exception):
    """An error that the user can correct. The CLI prints its sentence and exits with code 2."""


class TrainingError(Exception):
    """Training failed. The CLI prints what to try and exits with code 1."""
