"""The explorer's tables of particles are those of `mcevae predict`, with the present groups."""

from pathlib import Path

import mrcfile
import pandas as pd
import pytest
import starfile
from fastapi.testclient import TestClient

from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import hang
from mcevae.pages.serve import application
from mcevae.runs.run import TrainedRun
from tests.cli.test_cli import TINY
from tests.conftest import regrouped

COUNT = 64


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of particles of a STAR file."""
    folder = tmp_path_factory.mktemp("particles")
    with mrcfile.new(folder / "stack.mrcs") as file:
        file.set_data(load("digits").train.pixels[:COUNT, 0].numpy().astype("float32"))
        file.voxel_size = 2.0
    names = [f"{i + 1:06}@stack.mrcs" for i in range(COUNT)]
    rows = pd.DataFrame({"rlnImageName": names, "rlnSomething": range(COUNT)})
    starfile.write(rows, folder / "particles.star")
    source = ("fit", str(folder / "particles.star"), "--out", str(folder / "run"))
    main([*source, "--preset", "paper", *TINY.split()])
    return folder / "run"


def client_of(run: TrainedRun) -> TestClient:
    data = run.data()
    app = application(Explorer(run=run, gallery=hang(run, data)), data, {})
    return TestClient(app, base_url="http://127.0.0.1")


def test_the_explorer_writes_particles_with_the_present_groups(run: Path, tmp_path: Path) -> None:
    client = client_of(TrainedRun.open(run))
    assert "/api/particles.star" in client.get("/").text
    groups = [one["id"] for one in client.get("/api/groups").json()["groups"]]
    assert regrouped(client, "merge", groups=groups[:2]).status_code == 200
    answer = client.get("/api/particles.star")
    assert 'filename="particles.star"' in answer.headers["content-disposition"]
    out, source = tmp_path / "table.star", str(run.parent / "particles.star")
    main(["predict", str(run), source, "--out", str(out), "--force"])
    assert answer.content == out.read_bytes()
    rows = starfile.read(out)
    assert isinstance(rows, pd.DataFrame)
    assert rows["rlnSomething"].tolist() == list(range(COUNT))
    assert rows["rlnClassNumber"].max() <= len(groups) - 1
    assert client.get("/api/particles.cs").status_code == 404


def test_other_runs_have_no_particles(client: TestClient) -> None:
    assert client.get("/api/particles.star").status_code == 404
    assert "/api/particles" not in client.get("/").text
