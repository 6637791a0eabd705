"""A web application that changes from the first answer of a run to the last one by itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from mcevae.base.errors import UserError
from mcevae.pages.stage import latest

EVERY = 2.0
"""Seconds between two looks at the run's folder."""


class Latest:
    """Answers with the application of the latest answer of a run (ASGI).

    Args:
        make: makes the application of a folder.
        run: folder of the run.

    Raises:
        UserError: the run cannot be read.
    """

    def __init__(self, make: Callable[[Path], FastAPI], run: Path) -> None:
        self.make, self.run = make, run
        self.folder = latest(run)
        self.app = make(self.folder)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        await self.app(scope, receive, send)

    def look(self) -> bool:
        """Change to the run's last answer if there is one; return whether to look again."""
        if self.folder == self.run:
            return False
        try:
            if latest(self.run) == self.folder:
                return True
            self.app = self.make(self.run)
        except UserError:  # it is just being written, or training was stopped
            return True
        self.folder = self.run
        return False

    @contextmanager
    def watching(self, every: float = EVERY) -> Iterator[None]:
        """Look at the run's folder from time to time, until it has its last answer."""
        ended = threading.Event()

        def watch() -> None:
            while self.look() and not ended.wait(every):
                pass

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
