"""The exceptions that a user of the command line is meant to see."""

DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, OSError),
    *(RecursionError, TypeError, ValueError),
)
"""What reading JSON or TOML of any content may raise: odd types, huge numbers, too much depth."""


class UserError(Exception):
    """Something the user can mend; the CLI prints its one sentence and exits with code 2."""


class TrainingError(Exception):
    """Training went wrong; the CLI prints what to try and exits with code 1."""
