"""What the explorer's server refuses before anything else sees it: other sites, and too much."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

PAGES = ("/", "/docs")
"""What other sites may link to."""
LOOK = "/api/look"
MOST_BYTES = 32 * 2**20
"""Of an image file that is dropped on the page."""
MOST_JSON = 2**20
"""Bytes of any other request."""
MOST_HELD = 16 * MOST_BYTES
"""Of all requests that are being received."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer: the page loads and sends nothing elsewhere, and no other page embeds it."""


class Guard:
    """Between the server and the application: refuses, counts what is held, sets headers."""

    def __init__(self) -> None:
        self.held = 0

    async def __call__(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Answer, or refuse to."""
        refusal = foreign(request) or shapeless(request)
        size = 0 if refusal else length(request)
        if not refusal and self.held + size > MOST_HELD:
            refusal = 503, "busy with other requests; try again"
        if refusal:
            response: Response = JSONResponse({"detail": refusal[1]}, refusal[0])
        else:
            self.held += size
            try:
                response = await call_next(request)
            finally:
                self.held -= size
        response.headers.update(HEADERS)
        return response


def foreign(request: Request) -> tuple[int, str] | None:
    """Status and reason for which a request of another site's page is refused.

    Browsers tell whose page asks: by Origin, and, all but the oldest, by Sec-Fetch-Site. Programs
    that are no browsers tell nothing, and are trusted as the person who runs them.
    """
    said = request.headers
    follows_link = said.get("sec-fetch-mode") == "navigate" and request.url.path in PAGES
    asked_by = said.get("sec-fetch-site", "none")
    if asked_by not in ("same-origin", "none") and not (follows_link and request.method == "GET"):
        return 403, "another site may not ask this"
    try:
        own = "origin" not in said or urlsplit(said["origin"]).netloc == said.get("host")
    except ValueError:  # no address at all
        own = False
    return None if own else (403, "another site may not ask this")


def shapeless(request: Request) -> tuple[int, str] | None:
    """Status and reason for which a body is refused: its length is not told, or too much."""
    if "transfer-encoding" in request.headers:  # whatever length is told beside it
        return 411, "the length of the request is missing"
    if request.method == "POST" and not request.headers.get("content-length", "").isdecimal():
        return 411, "the length of the request is missing"
    most = MOST_BYTES if request.url.path == LOOK else MOST_JSON
    return (413, f"larger than {most // 2**20} MB") if length(request) > most else None


def length(request: Request) -> int:
    """Bytes of the body; the server takes no more than are told."""
    told = request.headers.get("content-length", "")
    return int(told) if told.isdecimal() else 0
