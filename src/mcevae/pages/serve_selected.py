"""Requests of the explorer's page about images that people selected."""

from typing import Annotated, Any

from fastapi import FastAPI, Query, Response

from mcevae.pages.explorer import Explorer
from mcevae.pages.requests import Deciding, Few, Refusal, Some
from mcevae.pages.selected import MOST_ALIKE, alike, decide, rows, upright
from mcevae.pages.tables import table_in
from mcevae.predicting.deciding import Decision


def add_selected(app: FastAPI, explorer: Explorer) -> None:
    """Add the requests about selected images."""
    tags: dict[str, Any] = {"tags": ["selected images"]}
    old_version: dict[int | str, dict[str, Any]] = {
        409: {"model": Refusal, "description": "Other groups than the version says"}
    }

    @app.post("/api/selected/decide", responses=old_version, **tags)
    def decided(what: Deciding) -> dict[str, Any]:
        """Move images, call them junk, tag them, or keep a selection. Returns all groups."""
        given = what.model_dump(exclude={"version", "images", "to"})
        return decide(explorer, what.images, Decision(**given), what.to, what.version)

    @app.get("/api/selected/alike", **tags)
    def like_one(
        image: int, count: Annotated[int, Query(ge=1, le=MOST_ALIKE)] = 50
    ) -> dict[str, list[int]]:
        """The images that are most like one, the most similar first."""
        return {"images": alike(explorer.gallery, image, count)}

    @app.post("/api/selected/upright", **tags)
    def all_upright(what: Few) -> dict[str, Any]:
        """Thumbnails of images, each moved back by its pose."""
        return upright(explorer, what.images)

    @app.post("/api/selected/table.{form}", response_class=Response, **tags)
    def table(form: str, what: Some) -> Response:
        """The rows of images, with their present groups. form is csv or parquet."""
        return table_in(form, rows(explorer, what.images), "selected")
