"""Whether somebody sees the progress of a training in Python, and where."""

import sys
from importlib.util import find_spec

from rich.console import Console


def console_for(verbose: object) -> Console:
    """Where a training tells of its progress.

    A notebook without ipywidgets gets plain lines: rich would warn in place of its bars.

    Args:
        verbose: as for `shows`.

    Raises:
        ValueError: as for `shows`.
    """
    quiet = not shows(verbose)
    if in_notebook() and find_spec("ipywidgets") is None:
        return Console(quiet=quiet, force_jupyter=False, force_terminal=False)
    return Console(quiet=quiet)


def shows(verbose: object) -> bool:
    """Whether to show progress.

    Args:
        verbose: True or False; "auto": if a person looks on, in a notebook or a terminal.

    Raises:
        ValueError: it is something else.
    """
    if verbose == "auto":
        return in_notebook() or sys.stdout.isatty()
    if verbose in (True, False):
        return bool(verbose)
    raise ValueError(f'verbose is {verbose!r}; use True, False or "auto"')


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook. (IPython in a terminal is a terminal.)"""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
