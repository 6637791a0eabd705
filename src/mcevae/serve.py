"""The explorer's web server: a run's page and what it asks for, on this machine alone.

No page of another site can use it: names of hosts are checked, changes are refused to other
origins, and the page may load nothing from elsewhere.
"""

import shutil
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any
from urllib.parse import urlsplit

import pyarrow as pa
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from pyarrow import csv, parquet
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask
from starlette.middleware.trustedhost import TrustedHostMiddleware

from mcevae.data import Splits
from mcevae.explorer import Explorer
from mcevae.metrics import Scores
from mcevae.report import ASSETS, FIGURES, LIVE_SCRIPTS, environment, live_page

LOOPBACK = ("127.0.0.1", "localhost")
MOST_BYTES = 32 * 2**20
"""Of an image file that is dropped on the page."""
MOST_JSON = 2**20
"""Bytes of any other request."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
FORMS = {
    "csv": ("text/csv", csv.write_csv),
    "parquet": ("application/vnd.apache.parquet", parquet.write_table),
}


class Which(BaseModel):
    """A group, by its place in the list."""

    group: int


class Naming(Which):
    """A group and its new name."""

    name: str = Field(max_length=200)


class Merging(BaseModel):
    """Groups to make one of; it keeps the first one's name."""

    groups: list[int] = Field(max_length=10_000)


class Latents(BaseModel):
    """A place in the model's latent space; tau in degrees, pixels and so on."""

    cluster: int
    z: list[float] = Field(max_length=10_000)
    tau: list[float] = Field(max_length=6)


def application(
    explorer: Explorer, data: Splits, scores: Scores, hosts: tuple[str, ...] = LOOPBACK
) -> FastAPI:
    """The explorer of a run.

    Args:
        explorer: of the run.
        data: its images, of which the page gives the counts.
        scores: of the test images.
        hosts: names by which this server may be asked.
    """
    app = FastAPI(
        title="mcevae explorer",
        version=version("mcevae"),
        description=f"Images, groups and drawings of the run {explorer.run.name}.",
        docs_url=None,  # they would load scripts from elsewhere
        redoc_url=None,
    )
    app.middleware("http")(guard)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.exception_handler(ValueError)(refused)
    app.exception_handler(IndexError)(not_there)
    page = live_page(explorer.run, explorer.config, data, scores)
    add_pages(app, explorer, page)
    add_groups(app, explorer)
    add_images(app, explorer)
    return app


async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse changes that another site asks for and bodies that are too large; set the policy."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return JSONResponse({"detail": "another site may not ask this"}, 403)
    if request.method == "POST":
        most = MOST_BYTES if request.url.path == "/api/look" else MOST_JSON
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return JSONResponse({"detail": "the length of the request is missing"}, 411)
        if int(length) > most:
            return JSONResponse({"detail": f"larger than {most // 2**20} MB"}, 413)
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def refused(request: Request, error: Exception) -> JSONResponse:
    """Why what was asked for cannot be."""
    return JSONResponse({"detail": f"{error}."}, 422)


def not_there(request: Request, error: Exception) -> JSONResponse:
    """What does not exist."""
    return JSONResponse({"detail": f"{error}."}, 404)


def add_pages(app: FastAPI, explorer: Explorer, page: str) -> None:
    """The page, its scripts and figures, and the description of all this."""

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show_page() -> str:
        return page

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def show_description() -> str:
        return environment().get_template("api.html.j2").render(about=app.openapi())

    @app.get("/static/{name}", include_in_schema=False)
    def show_asset(name: str) -> Response:
        kinds = dict.fromkeys(LIVE_SCRIPTS, "text/javascript") | {"page.css": "text/css"}
        if name not in kinds:
            raise HTTPException(404, f"there is no {name}")
        return Response((ASSETS / name).read_text("utf-8"), media_type=kinds[name])

    @app.get("/figures/{name}.png", include_in_schema=False)
    def show_figure(name: str) -> Response:
        path = explorer.run / "figures" / f"{name}.png"
        if name not in FIGURES or not path.exists():
            raise HTTPException(404, "no such figure; `mcevae report` draws them")
        return Response(path.read_bytes(), media_type="image/png")


def add_groups(app: FastAPI, explorer: Explorer) -> None:
    """Groups and their changes, each of which returns all groups."""

    @app.get("/api/groups", tags=["groups"])
    def groups() -> dict[str, Any]:
        """The groups of all images."""
        return explorer.groups()

    @app.post("/api/groups/rename", tags=["groups"])
    def rename(what: Naming) -> dict[str, Any]:
        """Name a group."""
        return explorer.change(lambda old: old.renamed(what.group, what.name))

    @app.post("/api/groups/merge", tags=["groups"])
    def merge(what: Merging) -> dict[str, Any]:
        """Make one group of several."""
        return explorer.change(lambda old: old.merged(what.groups))

    @app.post("/api/groups/split", tags=["groups"])
    def split(what: Which) -> dict[str, Any]:
        """Take a group apart: a merged one into its parts, any other in two by z."""
        return explorer.split(what.group)

    @app.post("/api/groups/undo", tags=["groups"])
    def undo() -> dict[str, Any]:
        """Take the last change back."""
        return explorer.undo()


def add_images(app: FastAPI, explorer: Explorer) -> None:
    """Images, old and new, drawings and tables."""

    @app.get("/api/images", tags=["images"])
    def images() -> dict[str, Any]:
        """All images: names, numbers and thumbnails, packed for the page."""
        return explorer.images()

    @app.get("/api/images/{image}/strip.png", tags=["images"], response_class=Response)
    def strip(image: int) -> Response:
        """Image, canonical image, reconstruction and residual side by side."""
        return Response(explorer.strip(image), media_type="image/png")

    @app.get("/api/images/{image}/latents", tags=["images"])
    def latents(image: int) -> dict[str, Any]:
        """Cluster, z and tau of an image."""
        return explorer.latents(image)

    binary = {"content": {"application/octet-stream": {}}, "required": True}

    @app.post("/api/look", tags=["images"], openapi_extra={"requestBody": binary})
    async def look(request: Request, name: Annotated[str, Query(max_length=300)]) -> dict[str, Any]:
        """What the model says of an image file: its bytes are the body, its name is given."""
        content = b""
        async for part in request.stream():
            content += part
            if len(content) > MOST_BYTES:
                raise HTTPException(413, f"larger than {MOST_BYTES // 2**20} MB")
        return await run_in_threadpool(explorer.look, name, content)

    @app.post("/api/draw", tags=["images"])
    def draw(what: Latents) -> dict[str, str]:
        """The canonical image of latents, and the same moved, as data URIs."""
        return explorer.draw(what.cluster, what.z, what.tau)

    @app.get("/api/table.{form}", tags=["tables"], response_class=Response)
    def table(form: str) -> Response:
        """A row for each image, with the groups as they are now; form is csv or parquet."""
        if form not in FORMS:
            raise HTTPException(404, "tables are .csv or .parquet")
        kind, write = FORMS[form]
        rows: pa.Table = explorer.gallery.table(explorer.curation)
        buffer = BytesIO()
        write(rows, buffer)
        return Response(buffer.getvalue(), headers=attached(f"images.{form}"), media_type=kind)

    @app.get("/api/canonical.zip", tags=["tables"], response_class=FileResponse)
    def canonical() -> FileResponse:
        """Every canonical image as PNG, by its number in the table."""
        folder = Path(mkdtemp())
        explorer.write_canonical(folder / "canonical.zip")
        return FileResponse(
            folder / "canonical.zip",
            filename="canonical.zip",
            background=BackgroundTask(shutil.rmtree, folder),
        )


def attached(name: str) -> dict[str, str]:
    """Headers of a file to keep."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
