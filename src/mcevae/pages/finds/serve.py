"""The web server of a page of finds. Safety is that of the explorer: see `pages.serve`."""

from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field

from mcevae.base.names import as_text
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.correcting import Corrector, Stale
from mcevae.pages.finds.tiles import STEPS, Window
from mcevae.pages.report import ASSETS, environment
from mcevae.pages.requests import Id, Name
from mcevae.pages.serve import LOOPBACK, add_description, bare_application

SCRIPTS = (
    *("store.js", "focus.js", "say.js", "ask.js", "hands.js", "finds-state.js", "finds-view.js"),
    *("finds-draw.js", "finds-list.js", "finds-play.js", "finds-change.js", "finds-live.js"),
)
"""Scripts of the page, in loading order."""
STYLES = ("page.css", "finds.css")
MOST_IDS = 10_000
"""Things of one change, at most."""
Whole = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[int, Query(ge=0, le=STEPS)]


class Changing(BaseModel):
    """A change, and the version of the corrections that whoever asks has seen."""

    version: Id


class Some(Changing):
    """Things, by their ids; with `track` all of their tracks."""

    ids: list[Whole] = Field(min_length=1, max_length=MOST_IDS)
    track: bool = False


class Regrouping(Some):
    """Things, and the group that they belong to."""

    group: Name


class Adding(Changing):
    """A place in a frame, pixels from its upper left corner, and the group of the thing there."""

    frame: Whole
    x: float = Field(allow_inf_nan=False)
    y: float = Field(allow_inf_nan=False)
    group: Name


def finds_application(board: Board, hosts: tuple[str, ...] = LOOPBACK) -> FastAPI:
    """Make the web application of a table of finds.

    Args:
        board: the table and its frames.
        hosts: host names under which this server answers.
    """
    about = f"Frames and finds of {as_text(board.finds.path.name)}."
    app = bare_application("mcevae finds", about, hosts)
    app.exception_handler(Stale)(stale)
    add_description(app)
    add_page(app, board)
    add_frames(app, board)
    add_changes(app, Corrector(board))
    return app


def stale(request: Request, error: Exception) -> JSONResponse:
    """Answer a change that was made from older corrections."""
    return JSONResponse({"detail": f"{error}."}, 409)


def add_page(app: FastAPI, board: Board) -> None:
    """Add the page and its scripts."""
    page = (
        environment()
        .get_template("finds.html.j2")
        .render(
            run=as_text(board.run.folder.name),
            table=as_text(str(board.finds.path)),
            frames=board.album.name,
            tracked=board.finds.tracked,
            scripts=SCRIPTS,
            styles=STYLES,
        )
    )

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def show_page() -> str:
        return page

    @app.get("/static/{name}", include_in_schema=False)
    def show_asset(name: str) -> Response:
        if name not in (*SCRIPTS, *STYLES):
            raise HTTPException(404, f"there is no {name}")
        kind = "text/css" if name in STYLES else "text/javascript"
        return Response((ASSETS / name).read_text("utf-8"), media_type=kind)


def add_frames(app: FastAPI, board: Board) -> None:
    """Add the requests for frames and their finds."""

    @app.get("/api/frames", tags=["frames"])
    def frames() -> dict[str, Any]:
        """All frames (number of the file, number in it), the groups, and the version."""
        return board.about()

    @app.get("/api/frames/{frame}", tags=["frames"])
    def frame(frame: int, past: Annotated[int, Query(ge=-1, le=10**9)] = 0) -> dict[str, Any]:
        """A frame: size, levels, things, and paths of tracks over `past` frames; -1: all."""
        return board.frame(frame, None if past < 0 else past)

    @app.get("/api/frames/{frame}/{kind}.png", tags=["frames"], response_class=Response)
    def tile(
        frame: int,
        kind: Literal["picture", "residual"],
        level: Annotated[int, Query(ge=0, le=40)],
        row: Annotated[int, Query(ge=0, le=2**31)],
        column: Annotated[int, Query(ge=0, le=2**31)],
        black: Share = 2,
        white: Share = STEPS - 2,
    ) -> Response:
        """A tile of a frame, or of what is left over of it without background and finds."""
        window = Window(level=level, row=row, column=column)
        content = board.tile(frame, window, (black, white), kind == "residual")
        return Response(content, media_type="image/png")


def add_changes(app: FastAPI, corrector: Corrector) -> None:
    """Add the requests that change finds. Each returns what `Board.state` gives."""
    posts: dict[str, Any] = {"tags": ["finds"]}

    @app.post("/api/finds/add", **posts)
    def add(what: Adding) -> dict[str, Any]:
        """Add a thing near a place."""
        return corrector.add(what.frame, what.x, what.y, what.group, what.version)

    @app.post("/api/finds/delete", **posts)
    def delete(what: Some) -> dict[str, Any]:
        """Delete things, or whole tracks."""
        return corrector.delete(what.ids, what.track, what.version)

    @app.post("/api/finds/group", **posts)
    def regroup(what: Regrouping) -> dict[str, Any]:
        """Give things, or whole tracks, another group."""
        return corrector.regroup(what.ids, what.track, what.group, what.version)

    @app.post("/api/finds/undo", **posts)
    def undo(what: Changing) -> dict[str, Any]:
        """Undo the last change."""
        return corrector.step(True, what.version)

    @app.post("/api/finds/redo", **posts)
    def redo(what: Changing) -> dict[str, Any]:
        """Make the last change again that was undone."""
        return corrector.step(False, what.version)
