"""The explorer of an estimator's images: a server of this machine, shown in a notebook's cell."""

import socket
import threading
from collections.abc import Callable
from html import escape
from tempfile import TemporaryDirectory
from typing import Any

from mcevae.runs.collections import Collections
from mcevae.runs.run import TrainedRun

HOST = "127.0.0.1"
NOTEBOOKS = ("http://localhost:*", "http://127.0.0.1:*", "vscode-webview:")
"""Pages that may show the explorer inside of themselves: notebooks of this machine."""
PATIENCE = 10.0
"""Seconds in which the server has ended, or is left alone: its thread ends with the program."""


class Explored:
    """A running explorer. A notebook shows it as a frame; `stop` ends it, and so does `with`.

    Attributes:
        url: address of the page, on this machine only.
        height: of the frame in a notebook, pixels.
    """

    def __init__(
        self,
        app: Any,
        port: int,
        height: int,
        ended: Callable[[], None],
    ) -> None:
        """Start the server.

        Args:
            app: its application.
            port: where it listens; 0: any free port.
            height: of the frame, pixels.
            ended: called once, when the server has stopped.

        Raises:
            UserError: the port is in use.
        """
        from mcevae.pages.listen import bind, server

        self.height, self._ended = height, ended
        self._listening: socket.socket | None = bind(HOST, port)
        self.url = f"http://{HOST}:{self._listening.getsockname()[1]}"
        self._server = server(app)
        told = {"sockets": [self._listening]}
        self._thread = threading.Thread(target=self._server.run, kwargs=told, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server, and bring what was changed on the page back to the estimator."""
        if self._listening is None:
            return
        self._server.should_exit = True
        self._thread.join(PATIENCE)
        self._listening.close()
        self._listening = None
        self._ended()

    def __enter__(self) -> "Explored":
        """Return the running explorer."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self.stop()

    def __repr__(self) -> str:
        """Say where the page is."""
        if self._listening is None:
            return "Explorer, stopped"
        return f"Explorer at {self.url}; stop() ends it"

    def _repr_html_(self) -> str:
        """The page, as a notebook shows it."""
        if self._listening is None:
            return "<p>The explorer is stopped.</p>"
        address = escape(self.url, quote=True)
        return (
            f'<iframe src="{address}" width="100%" height="{self.height}" '
            f'style="border:0" title="mcevae explorer"></iframe>'
        )


def explored(
    run: TrainedRun,
    temporary: "TemporaryDirectory[str] | None",
    keep: Callable[[Collections], None],
    *,
    port: int,
    height: int,
) -> Explored:
    """Start the explorer of a run.

    Args:
        run: the run.
        temporary: the folder of the run, removed at the end; None: it stays.
        keep: gets the groups at the end, as they are then.
        port, height: as for `Explored`.

    Raises:
        UserError: the port is in use.
    """
    from mcevae.pages.explorer import Explorer
    from mcevae.pages.gallery import hang
    from mcevae.pages.serve import LOOPBACK, application
    from mcevae.predicting.kept_sums import page_sums

    data = run.data()
    scores = run.scores(data)
    run.keep(scores)
    explorer = Explorer(run=run, gallery=hang(run, data, most=None), sums=page_sums(run, data))
    app = application(explorer, data, scores, LOOPBACK, embedders=NOTEBOOKS)

    def ended() -> None:
        keep(run.collections)
        if temporary is not None:
            temporary.cleanup()

    return Explored(app, port, height, ended)
