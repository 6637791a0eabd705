"""Canonical frames that people turn: canonical' = g canonical, pose' = pose g^-1."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from torch.testing import assert_close

from mcevae import open_run
from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.geometry.groups import get_group, mirrored
from mcevae.geometry.warp import warp
from mcevae.images.splits import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.gallery import collections_of, hang
from mcevae.runs.collections import Collections
from mcevae.runs.data import prepare_for
from mcevae.runs.frames import Frames
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from mcevae.runs.upright import Upright
from mcevae.training.loop import fit
from tests.sizes import taught

PLAIN = Collections.plain(3)
CLUSTER = torch.arange(60) % 3
Z = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


def frames(name: str, mirror: bool, collections: Collections) -> Frames:
    return Frames(group=get_group(name, mirror=mirror), background=0.0, collections=collections)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("name", ["so2", "se2", "sim2", "aff2"])
def test_a_turned_frame_keeps_every_reconstruction(name: str, mirror: bool) -> None:
    """pose' canonical' = pose canonical, and 90 degrees move pixels without any loss."""
    made = PLAIN.turned(1, 90)
    made = made.flipped(1).set_upright(2, 180) if mirror else made.set_upright(2, 180)
    turned = frames(name, mirror, made)
    group, generator = turned.group, torch.Generator().manual_seed(1)
    support = group.support(rotation_deg=180, scale=1.3, strain=0.2)
    pose = group.sample(60, support, generator=generator)
    canonical = torch.rand(60, 1, 20, 20, generator=generator)
    new = turned.poses(pose, CLUSTER, Z)
    drawn = turned.pictures(canonical, CLUSTER, Z)
    assert_close(warp(drawn, new), warp(canonical, pose), atol=1e-4, rtol=0)
    assert_close(turned.own_poses(new, CLUSTER, Z), pose, atol=1e-5, rtol=1e-5)
    assert (new[CLUSTER == 0] == pose[CLUSTER == 0]).all()
    assert (drawn[CLUSTER == 0] == canonical[CLUSTER == 0]).all()
    assert not torch.allclose(drawn[CLUSTER == 1], canonical[CLUSTER == 1])
    assert (mirrored(new) ^ mirrored(pose))[CLUSTER == 1].all().item() == mirror
    before, after = (group.to_parameters(M)[CLUSTER == 2, 0] for M in (pose, new))
    assert torch.cos(before - after).allclose(torch.tensor(-1.0))


def test_what_is_drawn_turns_clockwise_and_flips_left_for_right() -> None:
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 0, 4] = 1.0  # above the centre
    own = torch.zeros(1, dtype=torch.long)

    def place(made: Collections) -> tuple[int, int]:
        where = frames("se2", True, made).pictures(dot, own, Z[:1])[0, 0].argmax().item()
        return divmod(int(where), 9)

    right = PLAIN.turned(0, 90)
    assert place(right) == (4, 8)
    assert place(right.flipped(0)) == (4, 0)
    assert place(right.flipped(0).turned(0, 90)) == (0, 4)


def test_turns_of_a_frame_are_a_group_and_start_from_what_was_found() -> None:
    assert PLAIN.turned(0, 350).turned(0, 10) == PLAIN == PLAIN.flipped(0).flipped(0)
    once = PLAIN.set_upright(1, 30.1)
    assert once.set_upright(1, 30.1) == once and once.set_upright(1, 0) == PLAIN
    for one, g in ((Upright(degrees=40), 25.0), (Upright(degrees=40, flipped=True), -70.0)):
        turn = Upright(degrees=g).element
        assert_close(one.turned(g).element, turn @ one.element, atol=1e-6, rtol=0)
        flip = Upright(flipped=True).element
        assert_close(one.mirrored().element, flip @ one.element, atol=1e-6, rtol=0)
    assert Upright(degrees=-180).degrees == 180 and Upright(degrees=725).in_words() == "5°"
    with pytest.raises(ValueError, match="cannot be turned by nan"):
        PLAIN.turned(0, math.nan)


def test_merged_and_split_groups_keep_their_turns(tmp_path: Path) -> None:
    merged = PLAIN.turned(0, 20).turned(2, 50).merged([0, 2])
    assert merged.upright(0).degrees == 20
    both = merged.set_upright(0, 90)
    assert {u: g.degrees for u, g in both.uprights.items()} == {"0": 90, "2": 120}
    split = PLAIN.turned(0, 20).split(0, CLUSTER.numpy(), Z.numpy())
    assert set(split.uprights) == {"0.0", "0.1"}
    one = split.turned(split.named("0 a"), 5)
    turns = frames("se2", False, one).turns(CLUSTER, Z)
    assert turns is not None
    found = torch.rad2deg(torch.atan2(turns[:, 1, 0], turns[:, 0, 0])).round()
    units = np.array(one.units)[one.units_of(CLUSTER.numpy(), Z.numpy())]
    for unit, degrees in (("0.0", 25), ("0.1", 20), ("1", 0)):
        assert (found[torch.from_numpy(units == unit)] == degrees).all()
    one.write(tmp_path)
    assert Collections.read(tmp_path, 3).uprights == one.uprights


def test_turns_that_poses_do_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train with mirror"):
        frames("se2", False, PLAIN.flipped(0))
    (tmp_path / "groups.json").write_text(
        PLAIN.turned(0, 5).to_json().replace('"degrees": 5.0', '"degrees": "up"')
    )
    with pytest.raises(UserError, match="does not fit this run"):
        Collections.read(tmp_path, 3)
    with pytest.raises(ValueError, match="not all exist"):
        replace(PLAIN, uprights={"7": Upright(degrees=1)})


@pytest.fixture(scope="module")
def data() -> Splits:
    return prepare_for(taught(source="digits"))


@pytest.fixture(scope="module")
def run(data: Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the default preset with a calibration."""
    folder = tmp_path_factory.mktemp("frames") / "run"
    assert fit(taught(epochs=2, source="digits"), data, folder)
    TrainedRun.open(folder).calibrate(data)
    return folder


def test_tables_pictures_pages_and_answers_follow(
    run: Path, data: Splits, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = data.test.images.pixels[:40, 0].numpy()
    np.save(tmp_path / "new.npy", images)
    before = open_run(run, "cpu").predict(images)
    most = int(np.bincount(before.cluster).argmax())
    mine = before.cluster == most
    main(["groups", str(run), "--upright", f"{most}=90"])
    assert "90°" in capsys.readouterr().out
    after = open_run(run, "cpu").predict(images)
    quarter = Upright(degrees=90).element.numpy()
    assert np.allclose(after.pose[mine] @ quarter, before.pose[mine], atol=1e-5)
    assert (after.pose[~mine] == before.pose[~mine]).all()
    assert np.allclose(
        after.canonical[mine], np.rot90(before.canonical[mine], -1, (1, 2)), atol=1e-4
    )
    assert (after.z == before.z).all() and (after.confidence == before.confidence).all()
    out = tmp_path / "table.parquet"
    pictures = ["--canonical", str(tmp_path / "pictures")]
    main(["predict", str(run), str(tmp_path / "new.npy"), "--out", str(out), *pictures])
    rows = parquet.read_table(out)
    group = TrainedRun.open(run, device="cpu").model.group
    rotation = torch.rad2deg(group.to_parameters(torch.from_numpy(after.pose))[:, 0])
    assert np.allclose(rows["rotation_deg"].to_numpy(), rotation, atol=1e-2)
    assert np.allclose(rows["tau_rotation_rad"].to_numpy(), after.tau[:, 0], atol=1e-4)
    with Image.open(
        sorted((tmp_path / "pictures" / "canonical").iterdir())[int(mine.argmax())]
    ) as p:
        assert np.abs(np.asarray(p) / 255 - after.canonical[mine.argmax()]).max() < 0.01
    opened = TrainedRun.open(run, device="cpu")
    gallery = hang(opened, data)
    table = gallery.table(opened.collections)
    own = embed(opened.model, gallery.pixels)
    shown = opened.frames.shown(own)
    expected = torch.rad2deg(group.to_parameters(shown.element)[:, 0]).numpy()
    assert np.allclose(table["rotation_deg"].to_numpy(), expected, atol=1e-2)
    page = collections_of(gallery, opened.collections, opened.model)
    assert page["turned"] is not None and page["groups"][most]["turned"] == "90°"
    explorer = Explorer(run=opened, gallery=gallery)
    image = int((gallery.cluster == most).argmax())
    latents = explorer.latents(image)
    reach = latents.pop("reach")
    assert len(reach) == len(latents["pose"])
    assert latents["pose"][0] == pytest.approx(expected[image], abs=1e-2)
    drawn = explorer.draw(**latents)
    open_run(run, "cpu").upright(str(most), 0)
    assert not opened.collections.uprights
    plain = Explorer(run=opened, gallery=gallery)
    start = plain.latents(image)
    assert start.pop("reach") == reach
    again = plain.draw(**start)
    assert again["moved"] == drawn["moved"] and again["canonical"] != drawn["canonical"]


def test_errors_say_what_to_write(run: Path) -> None:
    for told, match in (("0", "GROUP=DEGREES"), ("0=up", "GROUP=DEGREES"), ("x=9", "no group x")):
        with pytest.raises(SystemExit) as stopped:
            main(["groups", str(run), "--upright", told])
        assert stopped.value.code == 2, match
    with pytest.raises(UserError, match="no mirror image"):
        open_run(run, "cpu").upright("0", flip=True)
    assert not (run / "groups.json").exists() or not Collections.read(run, 3).uprights


def test_the_explorer_turns_frames_and_undoes_it(client: TestClient, explorer: Explorer) -> None:
    before = client.get("/api/groups").json()
    assert before["turned"] is None
    one = {"group": before["groups"][1]["id"], "version": before["version"]}
    made = client.post("/api/groups/turn", json={**one, "degrees": -15}).json()
    assert made["groups"][1]["turned"] == "-15°" and made["turned"]["pose"]
    assert Collections.read(explorer.run.folder, 4).upright(1).degrees == -15
    late = client.post("/api/groups/turn", json={**one, "degrees": 5})
    assert late.status_code == 409 and late.json()["now"]["version"] == made["version"]
    now = {"version": made["version"]}
    refused = client.post("/api/groups/turn", json={**one, **now, "flip": True})
    assert refused.status_code == 422 and "mirror" in refused.json()["detail"]
    assert Collections.read(explorer.run.folder, 4).version == made["version"]
    assert client.post("/api/groups/undo", json=now).json()["turned"] is None
