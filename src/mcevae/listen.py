"""A server that slow and many clients cannot block: bounded connections, each with its time.

uvicorn gives clients as long as they like to send a request or to take an answer; here a client
whose turn it has been for too long is cut off. The server's own work is not timed.
"""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 500
"""At a time; clients beyond these are answered 503."""
PATIENCE = 30.0
"""Seconds that a client may take to send a whole request, or to take up what waits to be sent."""
TICK = 0.5
"""Seconds between looks at whose turn it is."""


class Patient(H11Protocol):
    """HTTP/1.1 with a client that is waited for, but not for ever."""

    patience = PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start to look."""
        super().connection_made(transport)
        self.waited = 0.0
        self.look = self.loop.call_later(TICK, self.tick)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        self.look.cancel()
        super().connection_lost(exc)

    def tick(self) -> None:
        """Count the time that the client's turn has lasted, and end it."""
        self.waited = self.waited + TICK if self.is_clients_turn() else 0.0
        if self.waited >= self.patience:
            self.transport.abort()
        else:
            self.look = self.loop.call_later(TICK, self.tick)

    def is_clients_turn(self) -> bool:
        """Whether a request is not whole, or an answer not taken."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused


def server(app: Any, patience: float = PATIENCE) -> uvicorn.Server:
    """A server of an application; `run(sockets=...)` starts it.

    Args:
        app: for ASGI.
        patience: seconds that clients have, see PATIENCE.
    """
    protocol = type("Patient", (Patient,), {"patience": patience})
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_level="error",
            limit_concurrency=CONNECTIONS,
            server_header=False,
        )
    )
