"""A web server that slow clients, or very many clients, cannot block.

uvicorn lets clients take any time to send a request or to receive an answer. This server ends the
connection if a client takes too long, and limits the number of connections. It sets no limit on
the time of its own work.
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
"""Largest number of connections. More clients get the answer 503."""
PATIENCE = 30.0
"""Seconds in which a client must send a whole request, or receive what waits to be sent."""
TICK = 0.5
"""Seconds between checks for slow clients."""
PORTS_FAULT = (errno.EADDRINUSE, errno.EACCES)
"""Errors that another port solves. All others need another address."""


class Patient(H11Protocol):
    """HTTP/1.1 connection that ends if the client is too slow."""

    patience = PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Start the checks."""
        super().connection_made(transport)
        self.waited = 0.0
        self.look = self.loop.call_later(TICK, self.tick)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the checks."""
        self.look.cancel()
        super().connection_lost(exc)

    def tick(self) -> None:
        """Count how long the server waits for the client. End the connection if it is too long."""
        self.waited = self.waited + TICK if self.is_clients_turn() else 0.0
        if self.waited >= self.patience:
            self.transport.abort()
        else:
            self.look = self.loop.call_later(TICK, self.tick)

    def is_clients_turn(self) -> bool:
        """Whether the server waits for the client to send a request or to receive an answer."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused


def bind(host: str, port: int) -> socket.socket:
    """Open a socket that listens. Clients wait until a server uses it.

    Args:
        host: address or name of this machine.
        port: port number; 0: any free port.

    Raises:
        UserError: this machine has no such address, or the port is in use.
    """
    if not 0 <= port < 2**16:
        raise UserError(f"--port {port}: give a number from 0 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, ValueError) as error:  # ValueError: not a valid name
        number = getattr(error, "errno", None)
        remedy = "--port" if number in PORTS_FAULT else "--host"
        reason = os.strerror(number) if number and number > 0 else "not an address of this machine"
        raise UserError(
            f"{bracketed(host)}:{port}: cannot listen there ({reason}); give another {remedy}."
        ) from error


def bracketed(host: str) -> str:
    """Write a host as it is in the address of a page: IPv6 addresses get brackets."""
    return f"[{host}]" if ":" in host else host


def server(app: Any, patience: float = PATIENCE) -> uvicorn.Server:
    """Make a server for an application. Start it with `run(sockets=...)`.

    Args:
        app: ASGI application.
        patience: seconds that clients may take, see PATIENCE.
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
