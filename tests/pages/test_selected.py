"""Images that people select in the explorer: what is decided on them, and what is handed out."""

import io
from base64 import b64decode
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import Gallery
from mcevae.pages.likeness import alike_by
from mcevae.runs.collections import Collections
from tests.conftest import decided, regrouped


def test_decisions_on_images_are_kept_shown_and_undone(named: Any, explorer: Explorer) -> None:
    start = named.get("/api/groups").json()
    largest = max(start["groups"], key=lambda one: one["size"])["id"]
    own = explorer.gallery.names
    assert own is not None
    mine = [i for i, k in enumerate(explorer.gallery.cluster) if str(k) == largest][:3]
    made = decided(named, mine, new="odd ones").json()
    assert made["groups"][-1] | {"name": "odd ones", "size": 3, "made": True} == made["groups"][-1]
    decided(named, mine[:2], mark="junk", tag="dust")
    made = decided(named, mine, save="three").json()
    assert made["tags"] == {"dust": mine[:2]} and made["selections"] == {"three": mine}
    table = pyarrow.csv.read_csv(io.BytesIO(named.get("/api/table.csv").content)).to_pandas()
    assert np.flatnonzero(~table["kept"]).tolist() == mine[:2]
    assert np.flatnonzero(table["group"].astype(str) == "odd ones").tolist() == mine
    kept = Collections.read(explorer.run.folder, 4)
    assert kept.decisions.selections == {"three": tuple(sorted(own[i] for i in mine))}
    moved = decided(named, mine, to=largest).json()
    assert [one["id"] for one in moved["groups"]] == [one["id"] for one in start["groups"]]
    for left in (3, 2, 1, 0):
        assert regrouped(named, "undo").json()["undo"] == left
    again = named.get("/api/groups").json()
    assert again["version"] == start["version"] and again["redo"] == 4


def test_what_cannot_be_decided_is_refused(
    named: TestClient, explorer: Explorer, client: TestClient
) -> None:
    for wrong, status in (
        ({"to": "99"}, 422),
        ({"new": "0"}, 422),  # there is such a group
        ({"tag": "a; b"}, 422),
        ({"to": "0", "new": "other"}, 422),
        ({"mark": "bad"}, 422),
    ):
        assert decided(named, [0], **wrong).status_code == status
    assert decided(named, [600], mark="junk").status_code == 404
    late = named.post(
        "/api/selected/decide", json={"images": [0], "mark": "junk", "version": "old"}
    )
    assert late.status_code == 409 and late.json()["now"]["undo"] == 0
    assert not (explorer.run.folder / "groups.json").exists()


def test_nothing_is_said_of_images_without_names(client: TestClient) -> None:
    answer = decided(client, [0], mark="junk")
    assert answer.status_code == 422 and "have no names" in answer.json()["detail"]


def test_images_like_one_come_nearest_first(client: TestClient, gallery: Gallery) -> None:
    found = client.get("/api/selected/alike?image=7&count=20").json()["images"]
    far = ((gallery.look.float() - gallery.look[7].float()) ** 2).sum(1).sqrt()
    assert found[0] == 7 and len(found) == 20
    assert (far[found[1:]].diff() >= -1e-3).all()
    assert far[found].max() <= far.sort().values[20] + 1e-3
    assert client.get("/api/selected/alike?image=600").status_code == 404
    assert client.get("/api/selected/alike?image=1&count=0").status_code == 422


def test_z_tells_images_apart_that_share_a_canonical_image() -> None:
    p, z = torch.eye(2)[[0, 0, 1, 1]], torch.tensor([[0.0], [3.0], [0.0], [3.0]])
    drawn = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    look = alike_by(drawn, p, z)
    assert not torch.equal(look[0], look[1]) and not torch.equal(look[2], look[3])
    drawn[1, 0] = 0.1  # here each image has a canonical image of its own
    assert alike_by(drawn, p, z).shape == (4, 4)


def test_upright_thumbnails_are_images_moved_back(explorer: Explorer, client: TestClient) -> None:
    found = explorer.gallery
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)  # a quarter, clockwise
    element = found.element.clone()
    element[3] = element.new_tensor(turn)
    explorer.gallery = replace(found, element=element)
    sheet = client.post("/api/selected/upright", json={"images": [3, 5]}).json()
    picture = Image.open(io.BytesIO(b64decode(sheet["files"][0].partition(",")[2])))
    shown = np.asarray(picture.convert("L"), float)[:28, :28]
    wanted = np.rot90(found.pixels[3, 0].numpy().astype(float))  # back: anti-clockwise
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.95
    assert client.post("/api/selected/upright", json={"images": [999]}).status_code == 404


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_selection_is_handed_out_as_a_table(client: TestClient, form: str) -> None:
    answer = client.post(f"/api/selected/table.{form}", json={"images": [9, 2]})
    assert f'"selected.{form}"' in answer.headers["content-disposition"]
    if form == "csv":
        rows = pyarrow.csv.read_csv(io.BytesIO(answer.content))
        assert rows["id"].to_pylist() == [9, 2]
    assert client.post("/api/selected/table.exe", json={"images": [9]}).status_code == 404
