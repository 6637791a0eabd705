"""Refuse requests that come from other sites or are too large, before the explorer reads them."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse

PAGES = ("/", "/docs")
"""Pages that other sites may link to."""
LOOK = "/api/look"
MOST_BYTES = 32 * 2**20
"""Largest size of an image file that is dropped on the page."""
SELECTED = "/api/selected/"
MOST_SELECTED = 16 * 2**20
"""Largest size of a request about selected images, of which there may be millions."""
MOST_JSON = 2**20
"""Largest size of any other request, in bytes."""
MOST_HELD = 16 * MOST_BYTES
"""Largest total size of all requests that are being received."""
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
"""Headers of every answer. The page may not use other sites. See `Guard` for who embeds it."""


class Guard:
    """Stands before the application: refuses requests, limits memory and sets headers.

    Args:
        embedders: sites that may embed the pages, as a Content-Security-Policy names them.
    """

    def __init__(self, embedders: Sequence[str] = ()) -> None:
        self.held = 0
        policy = HEADERS["Content-Security-Policy"]
        around = " ".join(embedders) or "'none'"
        policy = policy.replace("frame-ancestors 'none'", f"frame-ancestors {around}")
        self.headers = HEADERS | {"Content-Security-Policy": policy}

    async def __call__(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Answer a request, or refuse it."""
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
        response.headers.update(self.headers)
        return response


def foreign(request: Request) -> tuple[int, str] | None:
    """Refuse a request from another site's page: return status and reason, or None.

    Browsers say which site a request comes from: in the header Origin and, except in very old
    browsers, in Sec-Fetch-Site. Other programs do not say it; they are trusted like the person who
    runs them.
    """
    said = request.headers
    follows_link = said.get("sec-fetch-mode") == "navigate" and request.url.path in PAGES
    asked_by = said.get("sec-fetch-site", "none")
    if asked_by not in ("same-origin", "none") and not (follows_link and request.method == "GET"):
        return 403, "another site may not ask this"
    try:
        own = "origin" not in said or urlsplit(said["origin"]).netloc == said.get("host")
    except ValueError:  # not a valid address
        own = False
    return None if own else (403, "another site may not ask this")


def shapeless(request: Request) -> tuple[int, str] | None:
    """Refuse a body of unknown or too large length: return status and reason, or None."""
    if "transfer-encoding" in request.headers:  # even if a length is given too
        return 411, "the length of the request is missing"
    if request.method == "POST" and not request.headers.get("content-length", "").isdecimal():
        return 411, "the length of the request is missing"
    path = request.url.path
    most = MOST_BYTES if path == LOOK else MOST_SELECTED if path.startswith(SELECTED) else MOST_JSON
    return (413, f"larger than {most // 2**20} MB") if length(request) > most else None


def length(request: Request) -> int:
    """Length of the body in bytes, as the request says. The server reads no more than that."""
    told = request.headers.get("content-length", "")
    return int(told) if told.isdecimal() else 0
