"""Whether somebody sees the progress of a training in Python."""

import sys


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
