"""The explorer's web server: a run's page and what it asks for, on this machine alone.

No page of another site can use it: names of hosts are checked here, all else by `guard`.
"""

from collections.abc import Iterator
from importlib.metadata import version
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

import pyarrow as pa
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pyarrow import csv, parquet
from pydantic import BaseModel, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from mcevae.base.errors import UserError
from mcevae.images.datasets import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.guard import LOOK, Guard
from mcevae.pages.report import ASSETS, FIGURES, LIVE_SCRIPTS, environment, live_page
from mcevae.runs.metrics import Scores

LOOPBACK = ("127.0.0.1", "localhost")
PIECE = 2**18
"""Bytes of a file that are sent at a time."""
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
    app.middleware("http")(Guard())
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.exception_handler(RequestValidationError)(unfit)
    app.exception_handler(ClientDisconnect)(gone)
    app.exception_handler(ValueError)(refused)
    app.exception_handler(UserError)(refused)
    app.exception_handler(IndexError)(not_there)
    page = live_page(explorer.run, explorer.config, data, scores)
    add_pages(app, explorer, page)
    add_groups(app, explorer)
    add_images(app, explorer)
    return app


def refused(request: Request, error: Exception) -> JSONResponse:
    """Why what was asked for cannot be."""
    return JSONResponse({"detail": f"{str(error).rstrip('.')}."}, 422)


def unfit(request: Request, error: Exception) -> JSONResponse:
    """Which part of a request is of another type; what it was is not repeated."""
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]]
    return JSONResponse({"detail": f"{'; '.join(parts)}."}, 422)


def not_there(request: Request, error: Exception) -> JSONResponse:
    """What does not exist."""
    return JSONResponse({"detail": f"{error}."}, 404)


def gone(request: Request, error: Exception) -> Response:
    """An answer for a client that is there no more, which is no fault to log."""
    return Response(status_code=400)


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

    @app.post(LOOK, tags=["images"], openapi_extra={"requestBody": binary})
    async def look(request: Request, name: Annotated[str, Query(max_length=300)]) -> dict[str, Any]:
        """What the model says of an image file: its bytes are the body, its name is given."""
        return await run_in_threadpool(explorer.look, name, await request.body())

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

    @app.get("/api/canonical.zip", tags=["tables"], response_class=Response)
    def canonical() -> Response:
        """Every canonical image as PNG, by its number in the table."""
        file = TemporaryFile()  # noqa: SIM115  closed and gone with the answer, taken or not
        explorer.write_canonical(file)
        size = file.tell()
        file.seek(0)
        headers = {**attached("canonical.zip"), "Content-Length": str(size)}
        return StreamingResponse(pieces(file), headers=headers, media_type="application/zip")


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """What is left of a file, which is closed at the end, or when no more is wanted."""
    with file:
        while piece := file.read(PIECE):
            yield piece


def attached(name: str) -> dict[str, str]:
    """Headers of a file to keep."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
