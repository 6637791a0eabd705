"""A small film, a table of its tracks and one of finds, and the page that shows them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from mcevae.finding.settings import FindConfig
from mcevae.finding.templates import Templates
from mcevae.pages.finds.album import Album
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.correcting import Corrector
from mcevae.pages.finds.serve import finds_application
from mcevae.run import Run
from mcevae.runs.infer import write_tables
from tests.conftest import served
from tests.finding.test_find import PLACES, run, scene, templates  # noqa: F401  fixtures

FRAMES = 4


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, templates: Templates) -> Path:  # noqa: F811
    """A film of planted things that stay where they are."""
    frame, _ = scene(templates, PLACES)
    path = tmp_path_factory.mktemp("film") / "film.npy"
    np.save(path, np.stack([frame] * FRAMES))
    return path


def rows(tracked: bool) -> pa.Table:
    """The things of all frames, as `mcevae find` or `mcevae track` writes them.

    Each is a track; the second has a gap in the second frame.
    """
    made: dict[str, list] = {}

    def put(**values: object) -> None:
        for name, value in values.items():
            made.setdefault(name, []).append(value)

    order = [(t, i) for i in range(len(PLACES)) for t in range(FRAMES)]
    for time, i in order if tracked else sorted(order):
        x, y = PLACES[i]
        gap = tracked and (i, time) == (1, 1)
        more = {"track": i, "time": time, "found": not gap} if tracked else {}
        put(
            file=None if gap else "film.npy",
            frame=None if gap else time,
            **more,
            x=float(x),
            y=float(y),
            group=str(i % 4),
            cluster=i % 4,
            probability=None if gap else 1 - i / 10,
            rotation_deg=float(10 * i),
            box_x=x - 10.0,
            box_y=y - 10.0,
            box_width=20.0,
            box_height=20.0,
        )
    return pa.table(made).replace_schema_metadata(FindConfig().metadata)


@pytest.fixture(params=["finds", "tracks"])
def tracked(request: pytest.FixtureRequest) -> bool:
    return request.param == "tracks"


@pytest.fixture
def table(tmp_path: Path, tracked: bool) -> Path:
    path = tmp_path / "table.parquet"
    write_tables([rows(tracked)], path)
    return path


@pytest.fixture
def board(run: Run, source: Path, table: Path) -> Board:  # noqa: F811
    return Board(run, table, Album(str(source), run.settings.data))


@pytest.fixture
def corrector(board: Board) -> Corrector:
    return Corrector(board)


@pytest.fixture
def app(board: Board) -> FastAPI:
    return finds_application(board)


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1")


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    with served(app) as (host, port):
        yield f"http://{host}:{port}"
