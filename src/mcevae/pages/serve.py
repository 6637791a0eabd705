"""The explorer's web server: shows a run's page and answers its requests, on this machine only.

Pages of other sites cannot use it. Host names are checked here, everything else in `guard`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from mcevae.base.errors import UserError
from mcevae.base.files import read_bytes, real_folder
from mcevae.base.names import as_text
from mcevae.images.splits import Splits
from mcevae.pages.explorer import Behind, Explorer
from mcevae.pages.facts import thumb_of
from mcevae.pages.guard import LOOK, Guard
from mcevae.pages.originals import OriginalFiles
from mcevae.pages.particles import particle_ending, write_particles
from mcevae.pages.report import ASSETS, FIGURES, LIVE_SCRIPTS, environment, live_page
from mcevae.pages.requests import (
    Change,
    Judging,
    Latents,
    Merging,
    Naming,
    Refusal,
    Splitting,
    Turning,
)
from mcevae.pages.serve_selected import add_selected
from mcevae.pages.splitting import split
from mcevae.pages.stage import stage_of
from mcevae.pages.tables import attached, table_in
from mcevae.runs.scores import Scores

LOOPBACK = ("127.0.0.1", "localhost")
MOST_FIGURE = 2**25
"""Bytes of a figure, at most."""
PIECE = 2**18
"""Number of bytes of a file that are sent at a time."""


def application(
    explorer: Explorer,
    data: Splits,
    scores: Scores,
    hosts: tuple[str, ...] = LOOPBACK,
    embedders: tuple[str, ...] = (),
) -> FastAPI:
    """Make the web application of an explorer.

    Args:
        explorer: explorer of the run.
        data: images of the run. The page shows how many there are.
        scores: scores of the test images.
        hosts: host names under which this server answers.
        embedders: sites whose pages may show it in a frame; see `Guard`.
    """
    about = f"Images, groups and drawings of the run {as_text(explorer.run.folder.name)}."
    app = bare_application("mcevae explorer", about, hosts, embedders)
    app.exception_handler(Behind)(behind)
    add_description(app)
    add_pages(app, explorer, live_page(explorer.run, data, scores))
    add_groups(app, explorer)
    add_images(app, explorer)
    add_selected(app, explorer)
    add_tables(app, explorer)
    return app


def bare_application(
    title: str, description: str, hosts: tuple[str, ...], embedders: tuple[str, ...] = ()
) -> FastAPI:
    """A web application without pages that only its own pages can use, and that says what is wrong.

    Args:
        title, description: of its interface.
        hosts, embedders: as for `application`.
    """
    app = FastAPI(
        title=title,
        version=version("mcevae"),
        description=description,
        docs_url=None,  # it loads scripts from other sites
        redoc_url=None,
    )
    app.middleware("http")(Guard(embedders))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.exception_handler(RequestValidationError)(unfit)
    app.exception_handler(ClientDisconnect)(gone)
    app.exception_handler(ValueError)(refused)
    app.exception_handler(UserError)(refused)
    app.exception_handler(IndexError)(not_there)
    return app


def add_description(app: FastAPI) -> None:
    """Add the page that describes the interface."""

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    def show_description() -> str:
        return environment().get_template("api.html.j2").render(about=app.openapi())


def refused(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that is not possible, with the reason."""
    return JSONResponse({"detail": f"{str(error).rstrip('.')}."}, 422)


def behind(request: Request, error: Exception) -> JSONResponse:
    """Answer a change that was made from older groups, with the groups as they are now."""
    assert isinstance(error, Behind)
    return JSONResponse({"detail": f"{error}.", "now": error.groups}, 409)


def unfit(request: Request, error: Exception) -> JSONResponse:
    """Answer a request with values of a wrong type. The values are not repeated."""
    assert isinstance(error, RequestValidationError)
    parts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5]]
    return JSONResponse({"detail": f"{'; '.join(parts)}."}, 422)


def not_there(request: Request, error: Exception) -> JSONResponse:
    """Answer a request for something that does not exist."""
    return JSONResponse({"detail": f"{error}."}, 404)


def gone(request: Request, error: Exception) -> Response:
    """Answer a client that has left. This is not an error and is not logged."""
    return Response(status_code=400)


def add_pages(app: FastAPI, explorer: Explorer, page: str) -> None:
    """Add the page, its scripts and figures."""

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show_page() -> str:
        return page

    @app.get("/api/stage", tags=["images"])
    def stage() -> dict[str, str]:
        """Which answer the page shows: first, while training goes on; quick; or last."""
        return {"stage": stage_of(explorer.run, shown=0, total=0)["kind"]}

    @app.get("/static/{name}", include_in_schema=False)
    def show_asset(name: str) -> Response:
        kinds = dict.fromkeys(LIVE_SCRIPTS, "text/javascript") | {"page.css": "text/css"}
        if name not in kinds:
            raise HTTPException(404, f"there is no {name}")
        return Response((ASSETS / name).read_text("utf-8"), media_type=kinds[name])

    @app.get("/figures/{name}.png", include_in_schema=False)
    def show_figure(name: str) -> Response:
        path = explorer.run.file("figures") / f"{name}.png"
        try:
            if name not in FIGURES:
                raise FileNotFoundError
            content = read_bytes(real_folder(path.parent) / path.name, MOST_FIGURE)
        except OSError:
            told = "there is no such figure; `mcevae report` draws the figures"
            raise HTTPException(404, told) from None
        return Response(content, media_type="image/png")


def add_groups(app: FastAPI, explorer: Explorer) -> None:
    """Add the requests that list or change groups. Each of them returns all groups."""
    old_version = {"model": Refusal, "description": "Other groups than the version says"}
    posts: dict[str, Any] = {"tags": ["groups"], "responses": {409: old_version}}

    @app.get("/api/groups", tags=["groups"])
    def groups() -> dict[str, Any]:
        """The groups of all images, and their version, which a change must give."""
        return explorer.groups()

    @app.post("/api/groups/rename", **posts)
    def rename(what: Naming) -> dict[str, Any]:
        """Rename a group."""
        return explorer.change(
            lambda old: old.renamed(old.identified(what.group), what.name), what.version
        )

    @app.post("/api/groups/merge", **posts)
    def merge(what: Merging) -> dict[str, Any]:
        """Merge groups into one."""
        return explorer.change(
            lambda old: old.merged([old.identified(one) for one in what.groups]), what.version
        )

    @app.post("/api/groups/split", **posts)
    def parts(what: Splitting) -> dict[str, Any]:
        """Split a group: by z into its parts or two halves, by map or pose into two groups."""
        return split(explorer, what.group, what.by, what.version)

    @app.post("/api/groups/turn", **posts)
    def turn(what: Turning) -> dict[str, Any]:
        """Turn the canonical image of a group, and count its poses from there."""
        return explorer.turn(what.group, what.degrees, what.flip, what.version)

    @app.post("/api/groups/undo", **posts)
    def undo(what: Change) -> dict[str, Any]:
        """Undo the last change."""
        return explorer.step(True, what.version)

    @app.post("/api/groups/redo", **posts)
    def redo(what: Change) -> dict[str, Any]:
        """Make the last change again that was undone."""
        return explorer.step(False, what.version)

    @app.post("/api/groups/judge", **posts)
    def judge(what: Judging) -> dict[str, Any]:
        """Call a group junk, or keep it."""
        return explorer.change(
            lambda old: old.judged(old.identified(what.group), what.junk), what.version
        )


def add_images(app: FastAPI, explorer: Explorer) -> None:
    """Add the requests for images and drawings."""
    originals = OriginalFiles(explorer=explorer)

    @app.get("/api/images", tags=["images"])
    def images() -> JSONResponse:
        """All images: names, numbers and thumbnails, packed for the page."""
        return JSONResponse(explorer.images())  # FastAPI looks at each value of a dictionary

    @app.get("/api/images/{image}/thumb.webp", tags=["images"], response_class=Response)
    def thumb(image: int) -> Response:
        """An image, made small. The page asks for it if there are more than 60,000 images."""
        return Response(thumb_of(explorer.gallery, image), media_type="image/webp")

    @app.get("/api/images/{image}/strip.png", tags=["images"], response_class=Response)
    def strip(image: int) -> Response:
        """Image, canonical image, reconstruction and residual side by side."""
        return Response(explorer.strip(image), media_type="image/png")

    @app.get("/api/images/{image}/original.png", tags=["images"], response_class=Response)
    def original(image: int) -> Response:
        """An image as it lies in its file, at full resolution. X-Shown tells its size."""
        content, told = originals.png(image)
        return Response(content, media_type="image/png", headers={"X-Shown": told})

    @app.get("/api/images/{image}/latents", tags=["images"])
    def latents(image: int) -> dict[str, Any]:
        """Cluster, z and pose of an image, its size in its file, and how far poses reach."""
        return explorer.latents(image)

    binary = {"content": {"application/octet-stream": {}}, "required": True}

    @app.post(LOOK, tags=["images"], openapi_extra={"requestBody": binary})
    async def look(request: Request, name: Annotated[str, Query(max_length=300)]) -> dict[str, Any]:
        """Run the model on an image file. The body has its bytes, `name` is its file name."""
        return await run_in_threadpool(explorer.look, name, await request.body())

    @app.post("/api/draw", tags=["images"])
    def draw(what: Latents) -> dict[str, str]:
        """Draw the canonical image of latents, and the same image moved, as data URIs."""
        return explorer.draw(what.cluster, what.z, what.pose, what.mirrored, what.size)


def add_tables(app: FastAPI, explorer: Explorer) -> None:
    """Add the requests for tables and files."""

    @app.get("/api/table.{form}", tags=["tables"], response_class=Response)
    def table(form: str) -> Response:
        """A table with a row for each image and its present group. form is csv or parquet."""
        return table_in(form, explorer.gallery.table(explorer.collections), "images")

    @app.get("/api/canonical.zip", tags=["tables"], response_class=Response)
    def canonical() -> Response:
        """Every canonical image as a PNG, named by its number in the table."""
        return written(explorer.write_canonical, "canonical.zip", "application/zip")

    @app.get("/api/particles.{form}", tags=["tables"], response_class=Response)
    def particles(form: str) -> Response:
        """The table of a run's particles with all of its columns. form is star or cs, as there."""
        ending = particle_ending(explorer.run)
        if ending is None or form != ending[1:]:
            raise HTTPException(404, "there is no such table of particles of this run")
        write = partial(write_particles, explorer.run, ending)
        return written(write, f"particles{ending}", "application/octet-stream")


def written(write: Callable[[IO[bytes]], None], name: str, kind: str) -> Response:
    """A file that is written and then sent piece by piece.

    Args:
        write: writes it.
        name: under which it is saved.
        kind: its media type.
    """
    file = TemporaryFile()  # noqa: SIM115  closed and deleted after the answer
    write(file)
    size = file.tell()
    file.seek(0)
    headers = {**attached(name), "Content-Length": str(size)}
    return StreamingResponse(pieces(file), headers=headers, media_type=kind)


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the rest of a file in pieces. Close it at the end, or when the reader stops."""
    with file:
        while piece := file.read(PIECE):
            yield piece
