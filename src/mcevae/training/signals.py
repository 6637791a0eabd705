"""Let Ctrl-C and the signal TERM stop training between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Give a list that gets an entry at the first Ctrl-C or TERM; the second one acts as usual.

    Training looks at the list between steps, so it never saves half a step.
    """
    received: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread, which alone may handle signals
        pass
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
