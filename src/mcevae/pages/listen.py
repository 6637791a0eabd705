"""A server that slow and many clients cannot block: bounded connections, each with its time.

uvicorn gives clients as long as they like to send a request or to take an answer; here a client
whose turn it has been for too long is cut off. The server's own work is not timed.
"""

import asyncio
import errno
import os
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mcevae.base.errors import UserError

CONNECTIONS = 500
"""At a time; clients beyond these are answered 503."""
PATIENCE = 30.0
"""Seconds that a client may take to send a whole request, or to take up what waits to be sent."""
TICK = 0.5
"""Seconds between looks at whose turn it is."""
PORTS_FAULT = (errno.EADDRINUSE, errno.EACCES)
"""Errors for which another port is the remedy; for all others it is another address."""


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


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; clients wait until a server takes it.

    Args:
        host: address or name of this machine.
        port: its number, 0 for any that is free.

    Raises:
        UserError: there is no such address here, or the port is taken.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port}: give a number from 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:  # ValueError: no name at all
        number = getattr(error, "errno", None)
        remedy = "--port" if number in PORTS_FAULT else "--host"
        reason = os.strerror(number) if number and number > 0 else "no address of this machine"
        raise UserError(
            f"{bracketed(host)}:{port}: cannot listen there ({reason}); give another {remedy}."
        ) from error


def bracketed(host: str) -> str:
    """A host as addresses of pages have it, those of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


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
