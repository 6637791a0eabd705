"""The command line. Each command that `mcevae --help` lists has its own file here.

The commands import the modules that need torch only when they run. This keeps `--help` fast.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import tyro
from rich.console import Console

from mcevae.base.errors import Terminated, TrainingError, UserError, as_flag, naming
from mcevae.base.flags import present_flags
from mcevae.base.processes import place
from mcevae.cli.again import gives
from mcevae.cli.averages import averages
from mcevae.cli.compare import compare
from mcevae.cli.convert import convert
from mcevae.cli.data import data
from mcevae.cli.evaluate import evaluate, report
from mcevae.cli.export import export
from mcevae.cli.extend import extend
from mcevae.cli.find import find
from mcevae.cli.fit import fit_from, resume, starting_point
from mcevae.cli.groups import groups
from mcevae.cli.helping import flowing, show_commands, show_everyday
from mcevae.cli.pack import pack
from mcevae.cli.predict import predict
from mcevae.cli.reproduce import reproduce
from mcevae.cli.select import select
from mcevae.cli.serve import serve
from mcevae.cli.shared import screen
from mcevae.cli.track import track
from mcevae.models.mirror import spelled_out

COMMANDS: dict[str, Callable[..., Any]] = {
    "resume": resume,
    "extend": extend,
    "pack": pack,
    "evaluate": evaluate,
    "predict": predict,
    "find": find,
    "track": track,
    "convert": convert,
    "report": report,
    "compare": compare,
    "groups": groups,
    "select": select,
    "averages": averages,
    "serve": serve,
    "export": export,
    "reproduce": reproduce,
    "data": data,
}
"""All commands but `fit`, whose flags depend on its arguments."""
SHARED = ("fit", "resume", "predict")
"""Commands that several processes can run together."""
RENAMED = ("fit", "pack", "select")
"""Commands with flags that once had other names."""
AGAIN: dict[str, str] = dict.fromkeys(
    ("predict", "find", "track", "reproduce"), "; give the same command again to continue"
)
"""What to do after a stop. Training says it itself, once there is something to continue."""
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)
"""Error numbers of a full, read-only or failing disk."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Exit code 2: an error that the user can fix; 1: training failed; 130 and 143: stopped by Ctrl-C
    and by the signal TERM.
    """
    # Threads that wait for each other at full speed are many times slower if another program needs
    # a core (docs/performance.md). OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, TextIOWrapper):  # names of files may be any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    with naming(as_flag), ended_by_term():
        run_or_say_why(list(sys.argv[1:] if arguments is None else arguments))


@contextmanager
def ended_by_term() -> Iterator[None]:
    """Let the signal TERM end a command in words. The second one ends it at once."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not the main thread, which alone may handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_or_say_why(arguments: list[str]) -> None:
    """Run a command. If it fails, print the reason in one sentence and exit."""
    try:
        run(arguments)
    except UserError as error:
        fail(str(error), 2)
    except TrainingError as error:
        fail(str(error), 1)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        fail("not enough memory; use a smaller --batch-size, --limit or --hidden.", 1)
    except OSError as error:
        if error.errno not in DISK:
            raise
        fail(f"{error.filename or 'a file'}: cannot be read or written ({error.strerror}).", 2)
    except (KeyboardInterrupt, Terminated) as error:
        again = AGAIN.get(arguments[0], "") if arguments else ""
        fail(f"stopped{again}.", 143 if isinstance(error, Terminated) else 130)


def run(arguments: list[str]) -> None:
    """Find the command that the arguments name, and run it with the rest of them."""
    start = starting_point(arguments)
    fit = fit_from(start, clusters=gives(arguments, "--clusters"))
    commands: dict[str, Callable[..., Any]] = {"fit": fit, **COMMANDS}
    if arguments and arguments[0] in RENAMED:
        arguments = present_flags(arguments)
    if arguments[:1] == ["fit"]:
        arguments = spelled_out(arguments)
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version

        screen.print(version("mcevae"))
    elif arguments and arguments[0] in commands:
        name = arguments[0]
        rank, count = place()
        if count > 1 and name not in SHARED:
            raise UserError(
                f"{count} processes cannot share this work; start mcevae {name} without torchrun."
            )
        screen.quiet = rank > 0 and name != "predict"
        if name == "fit" and {"-h", "--help"} & set(arguments):
            show_everyday(commands["fit"], start)
            sys.exit(0)
        arguments = ["--help" if one == "--help-all" else one for one in arguments]
        commands[name].__doc__ = flowing(commands[name].__doc__ or "")
        tyro.cli(commands[name], prog=f"mcevae {name}", args=arguments[1:])
    elif not {"-h", "--help"}.isdisjoint(arguments[:1]) or not arguments:
        show_commands(commands)
        sys.exit(0 if arguments else 2)
    else:
        tyro.extras.subcommand_cli_from_dict(commands, prog="mcevae", args=arguments)


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out. Torch has no error type for this, so its message is checked."""
    return isinstance(error, MemoryError) or "tried to allocate" in str(error).lower()


def fail(sentence: str, code: int) -> NoReturn:
    """Print what is wrong (and in which process, if there are several), then exit."""
    rank, count = place()
    who = f"mcevae (rank {rank})" if count > 1 else "mcevae"
    Console(stderr=True, soft_wrap=True).print(f"{who}: {sentence}", markup=False, highlight=False)
    sys.exit(code)
