"""The explorer: what it answers, what it refuses, and its page in a real browser."""

import io
import json
import re
import socket
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as parquet
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Page, expect

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.cli.serve import who_may_ask
from mcevae.images.readers.frames import Frame
from mcevae.images.splits import Splits
from mcevae.pages.explorer import Explorer
from mcevae.pages.guard import MOST_JSON
from mcevae.pages.listen import bind, bracketed
from mcevae.pages.originals import OriginalFiles, visible
from mcevae.pages.serve import application
from mcevae.runs.infer import embed
from mcevae.runs.run import TrainedRun
from mcevae.runs.scores import Score
from tests.conftest import regrouped


def png_of(explorer: Explorer, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(explorer.gallery.pixels[image, 0].numpy()).save(buffer, "png")
    return buffer.getvalue()


def test_groups_are_changed_kept_and_undone(client: TestClient, explorer: Explorer) -> None:
    sizes = [one["size"] for one in client.get("/api/groups").json()["groups"]]
    merged = regrouped(client, "merge", groups=["2", "0"]).json()["groups"]
    assert merged[1]["size"] == sizes[0] + sizes[2] and len(merged) == len(sizes) - 1
    named = regrouped(client, "rename", group="2", name="both").json()["groups"]
    assert named[1]["name"] == "both" and named[1]["id"] == "2"
    kept = json.loads((explorer.run.folder / "groups.json").read_text())
    assert kept["groups"][1] == {"name": "both", "units": ["2", "0"]}
    table = pyarrow.csv.read_csv(io.BytesIO(client.get("/api/table.csv").content))
    assert table["group"].to_pylist().count("both") == sizes[0] + sizes[2]
    for left in (1, 0):
        assert regrouped(client, "undo").json()["undo"] == left
    assert [one["size"] for one in client.get("/api/groups").json()["groups"]] == sizes
    assert regrouped(client, "undo").status_code == 422
    assert regrouped(client, "rename", group="7", name="x").status_code == 422


def test_a_group_of_junk_is_in_the_table_and_undone(client: TestClient, explorer: Explorer) -> None:
    largest = max(client.get("/api/groups").json()["groups"], key=lambda one: one["size"])["id"]
    made = regrouped(client, "judge", group=largest, junk=True).json()
    assert [one["id"] for one in made["groups"] if one["junk"]] == [largest]
    table = pyarrow.csv.read_csv(io.BytesIO(client.get("/api/table.csv").content))
    groups = [str(group) for group in table["group"].to_pylist()]
    assert largest in groups
    assert table["kept"].to_pylist() == [group != largest for group in groups]
    assert regrouped(client, "undo").json()["redo"] == 1
    assert not any(entry.junk for entry in explorer.collections.entries)
    again = regrouped(client, "redo").json()["groups"]
    assert [one["id"] for one in again if one["junk"]] == [largest]


@pytest.mark.parametrize("width", [390, 1280])
def test_groups_are_junk_undone_and_redone_by_keyboard(
    page: Page, address: str, explorer: Explorer, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)
    keeps = page.get_by_role("button", name="Keep group")
    for name, junk in (("Junk group", 1), ("Undo", 0), ("Redo", 1), ("Keep group", 0)):
        page.get_by_role("button", name=name).first.press("Enter")
        expect(keeps).to_have_count(junk)
        assert sum(entry.junk for entry in explorer.run.collections.entries) == junk
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_group_is_split_in_two(client: TestClient) -> None:
    groups = client.get("/api/groups").json()["groups"]
    largest = max(range(len(groups)), key=lambda i: groups[i]["size"])
    split = regrouped(client, "split", group=str(largest)).json()["groups"]
    parts = [one["size"] for one in split[largest : largest + 2]]
    assert min(parts) > 0 and sum(parts) == groups[largest]["size"]


def test_a_dropped_image_gets_what_the_model_says(client: TestClient, explorer: Explorer) -> None:
    answer = client.post("/api/look?name=new.PNG", content=png_of(explorer, 3))
    found = answer.json()
    expected = embed(explorer.run.model, explorer.gallery.pixels[3:4])
    assert found["cluster"] == int(expected.cluster)
    assert np.allclose(found["probability"], expected.responsibilities[0], atol=1e-5)
    assert np.allclose(found["pose"], explorer.gallery.pose[3], atol=1e-3)
    assert 0 <= found["confidence"] <= 1 and found["strip"].startswith("data:image/png")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("a.png", b"no picture", "a.png is not an image"), ("a.exe", b"x", "a.exe")],
)
def test_what_is_no_image_is_refused(
    client: TestClient, name: str, content: bytes, said: str
) -> None:
    answer = client.post("/api/look", params={"name": name}, content=content)
    assert answer.status_code == 422 and said in answer.json()["detail"]


def test_names_of_dropped_files_lead_nowhere(client: TestClient, explorer: Explorer) -> None:
    answer = client.post("/api/look?name=../../../etc/x.png", content=png_of(explorer, 0))
    assert answer.json()["name"] == "x.png"


def test_drawings_follow_the_latents(client: TestClient, explorer: Explorer) -> None:
    start = client.get("/api/images/5/latents").json()
    assert np.allclose(start["z"], explorer.gallery.z[5], atol=1e-5)
    there = client.post("/api/draw", json=start).json()
    turned = client.post("/api/draw", json={**start, "pose": [90.0, 0.0, 0.0]}).json()
    assert turned["canonical"] == there["canonical"] and turned["moved"] != there["moved"]
    other = client.post("/api/draw", json={**start, "z": [v + 2 for v in start["z"]]}).json()
    assert other["canonical"] != there["canonical"]


def test_latents_have_the_pose_of_the_table_in_pixels_of_the_file(
    client: TestClient, explorer: Explorer
) -> None:
    found = explorer.gallery
    sizes = np.tile([42, 84], (len(found), 1))  # of files that were made 28 pixels wide
    sizes[3] = 28, 28
    originals = replace(found.originals, sizes=sizes)
    parameters = found.frames.group.to_parameters(found.element)
    pose = originals.read(parameters, found.frames.group)
    explorer.gallery = replace(found, originals=originals, pose=pose)
    large, small = (client.get(f"/api/images/{i}/latents").json() for i in (5, 3))
    assert large["pose"] == pytest.approx(pose[5].tolist(), abs=1e-3)
    assert (large["size"], small["size"]) == ([42, 84], [28, 28])
    assert np.allclose(large["reach"][1:], 3 * np.array(small["reach"][1:]))  # 84 is 3 times 28
    there = client.post("/api/draw", json=large).json()
    shrunk = [large["pose"][0], large["pose"][1] / 3, large["pose"][2] / 3]
    assert (
        client.post("/api/draw", json={**large, "pose": shrunk, "size": [28, 28]}).json() == there
    )
    assert client.post("/api/draw", json={**large, "size": [28, 28]}).json() != there


@pytest.mark.parametrize(
    "wrong",
    [{"cluster": 99}, {"z": []}, {"pose": [1.0]}, {"pose": [1e999, 0, 0]}, {"size": [0, 9]}],
)
def test_latents_that_cannot_be_are_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    start = client.get("/api/images/5/latents").json()
    body = json.dumps({**start, **wrong})
    assert client.post("/api/draw", content=body).status_code == 422


def test_pictures_and_tables_are_handed_out(client: TestClient, explorer: Explorer) -> None:
    strip = Image.open(io.BytesIO(client.get("/api/images/0/strip.png").content))
    assert strip.size == (4 * 28, 28)
    assert client.get("/api/images/600/strip.png").status_code == 404
    table = parquet.read_table(io.BytesIO(client.get("/api/table.parquet").content))
    assert table.num_rows == 600
    with zipfile.ZipFile(io.BytesIO(client.get("/api/canonical.zip").content)) as archive:
        assert len(archive.namelist()) == 600
    assert client.get("/api/table.exe").status_code == 404


@pytest.fixture
def files(explorer: Explorer, tmp_path: Path) -> Path:
    """A folder from which the explorer's images seem to come, four times as large."""
    folder = tmp_path / "plates"
    folder.mkdir()
    names = [f"{i:03}.png" for i in range(len(explorer.gallery))]
    run, pixels = explorer.run, explorer.gallery.pixels.clone()
    for i in range(4):
        large = explorer.gallery.pixels[i, 0].numpy().repeat(4, 0).repeat(4, 1)
        Image.fromarray(large).save(folder / names[i])
        pixels[i] = run.recipe(Frame(names[i], large))
    data = replace(run.settings.data, source=str(folder), pose="none")
    run.settings = replace(run.settings, data=data)
    explorer.gallery = replace(explorer.gallery, names=names, pixels=pixels)
    return folder


def test_originals_are_shown_as_their_files_have_them(
    client: TestClient, explorer: Explorer, files: Path
) -> None:
    answer = client.get("/api/images/2/original.png")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Shown"] == "112 x 112 pixels"
    seen, own = Image.open(io.BytesIO(answer.content)), Image.open(files / "002.png")
    assert np.array_equal(np.asarray(seen), np.asarray(own))
    own.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(files / "002.png")
    (files / "003.png").unlink()
    for image, said in ((2, "holds another image now"), (3, "is not there"), (9, "is not in")):
        answer = client.get(f"/api/images/{image}/original.png")
        assert answer.status_code == 422 and said in answer.json()["detail"]
    for image in (600, -1):
        assert client.get(f"/api/images/{image}/original.png").status_code == 404
    assert client.get("/api/images/..%2F002/original.png").status_code in (404, 422)
    content, told = OriginalFiles(explorer=explorer, most=56 * 56).png(0)
    assert Image.open(io.BytesIO(content)).size == (56, 56)
    assert told == "112 x 112 pixels, shown 2 times smaller"


def test_numbers_and_images_without_files_are_shown(explorer: Explorer) -> None:
    content, told = OriginalFiles(explorer=explorer).png(1)
    seen = np.asarray(Image.open(io.BytesIO(content)))
    assert np.array_equal(seen, explorer.gallery.pixels[1, 0].numpy())
    assert "no file of its own" in told
    ramp = np.linspace(100, 900, 64 * 32).reshape(32, 64).astype(np.uint16)
    picture, told = visible(Frame("ramp.tif", ramp), ())
    assert picture.size == (64, 32) and picture.getextrema() == (0, 255) and "darkest" in told


@pytest.mark.parametrize("width", [390, 1280])
def test_originals_are_zoomed_and_moved(page: Page, address: str, files: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)
    expect(page.locator(".group").first).to_be_visible()
    page.evaluate("showImage([0, 1], 0)")
    page.get_by_role("button", name="Original").press("Enter")
    dialog = page.locator("dialog#original")
    expect(dialog.locator("p.small")).to_contain_text("112 x 112 pixels")
    canvas = dialog.locator("canvas")
    expect(canvas).to_be_focused()
    start = page.evaluate("original.scale")
    page.keyboard.press("+")
    assert page.evaluate("original.scale") == pytest.approx(1.5 * start)
    page.keyboard.press("ArrowRight")
    assert page.evaluate("original.x") == pytest.approx(56 + 60 / (1.5 * start))
    page.keyboard.press("0")
    canvas.hover()
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"original.scale > 2 * {start}")
    where = page.evaluate("original.x")
    page.mouse.down()
    page.mouse.move(width - 60, 450)
    page.mouse.up()
    assert page.evaluate("original.x") < where
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Original")).to_be_focused()


def test_other_sites_and_hosts_are_refused(client: TestClient, explorer: Explorer) -> None:
    version = explorer.collections.version
    content = {"groups": ["0", "1"], "version": version}
    merge: dict[str, Any] = {"url": "/api/groups/merge", "json": content}
    assert client.post(**merge, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post(**merge, headers={"Host": "evil.example"}).status_code == 400
    assert not (explorer.run.folder / "groups.json").exists()
    assert client.post(**merge, headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_large_requests_are_refused(client: TestClient) -> None:
    assert client.post("/api/draw", content=b"x" * (MOST_JSON + 1)).status_code == 413
    assert client.post("/api/draw", content=iter([b"x"])).status_code == 411


@pytest.mark.parametrize("path", ["/static/..%2f..%2fserve.py", "/static/page.html.j2"])
def test_only_named_files_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/docs"):
        answer = client.get(path)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert 'src="http' not in answer.text and 'href="http' not in answer.text
    listed = client.get("/docs").text
    assert all(path in listed for path in client.get("/openapi.json").json()["paths"])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `mcevae serve` says when it refuses, before it reads any images."""
    with pytest.raises(SystemExit) as stop:
        main(["serve", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_taken_port_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    monkeypatch.setattr(TrainedRun, "data", None)  # the port comes first
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(capsys, str(trained), "--port", str(port))
    assert re.search(rf"127\.0\.0\.1:{port}: cannot listen there .*; give another --port\.", said)


@pytest.mark.parametrize("host", ["no.such.invalid", "x" * 300, "a..b", "1::2::3", "203.0.113.7"])
def test_a_host_that_is_not_of_this_machine_is_refused(
    capsys: pytest.CaptureFixture[str], trained: Path, host: str
) -> None:
    assert "give another --host" in refusal(capsys, str(trained), "--host", host, "--port", "0")


def test_a_number_that_is_no_port_is_refused(
    capsys: pytest.CaptureFixture[str], trained: Path
) -> None:
    assert "0 to 65535" in refusal(capsys, str(trained), "--port", "99999")


def test_a_run_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "no such run" in refusal(capsys, str(tmp_path / "none"))


def test_any_name_is_answered_to_only_with_a_warning(
    explorer: Explorer, small_data: Splits
) -> None:
    local = ("127.0.0.1", "localhost")
    assert who_may_ask("127.0.0.1", ()) == ((*local, "127.0.0.1"), None)
    assert who_may_ask("10.0.0.7", ("lab.example.org",))[0] == (
        *local,
        "10.0.0.7",
        "lab.example.org",
    )
    assert who_may_ask("::", ("fe80::1",)) == ((*local, "[fe80::1]"), None)
    for everywhere in ("0.0.0.0", "::"):
        hosts, warning = who_may_ask(everywhere, ())
        assert hosts == ("*",) and warning and "--allow-host" in warning
    hosts, warning = who_may_ask("0.0.0.0", ("lab.example.org",))
    assert warning is None
    app = application(explorer, small_data, {}, hosts)
    for name, status in (("lab.example.org", 200), ("localhost", 200), ("evil.example", 400)):
        client = TestClient(app, base_url=f"http://{name}:8765")
        assert client.get("/api/groups").status_code == status
    for name in ("*", "a*b", "", "http://x", "a b"):
        with pytest.raises(UserError, match="give a name such as"):
            who_may_ask("0.0.0.0", (name,))


def test_tables_hold_no_formulas(client: TestClient) -> None:
    assert regrouped(client, "rename", group="3", name="=1+1").status_code == 200
    told = client.get("/api/table.csv").text
    assert "'=1+1" in told and '"=1+1' not in told
    exact = parquet.read_table(io.BytesIO(client.get("/api/table.parquet").content))
    assert "=1+1" in exact["group"].to_pylist()


def test_an_address_of_ipv6_is_listened_at(explorer: Explorer, small_data: Splits) -> None:
    try:
        listening = bind("::1", 0)
    except UserError:
        pytest.skip("this machine has no IPv6")
    listening.close()
    app = application(explorer, small_data, {}, (bracketed("::1"),))
    client = TestClient(app, base_url="http://[::1]:8765")
    assert client.get("/api/groups").status_code == 200
    assert client.get("/api/groups", headers={"Host": "[::2]:8765"}).status_code == 400


def test_groups_are_corrected_in_a_browser(page: Page, address: str, explorer: Explorer) -> None:
    page.goto(address)
    cards = page.locator(".group")
    expect(cards.first).to_be_visible()
    before = cards.count()
    name = cards.first.get_by_role("textbox")
    name.fill("the largest")
    name.press("Enter")
    expect(page.get_by_role("heading", name="Group the largest")).to_be_visible()
    cards.first.get_by_role("button", name="Split", exact=True).click()
    expect(cards).to_have_count(before + 1)
    for part in ("the largest a", "the largest b"):
        page.get_by_role("checkbox", name=f"select group {part}").check()
    page.get_by_role("button", name="Merge 2 groups").click()
    expect(cards).to_have_count(before)
    assert "the largest a" in (explorer.run.folder / "groups.json").read_text()
    page.get_by_role("button", name="Undo").click()
    expect(cards).to_have_count(before + 1)


def test_an_image_is_dropped_and_its_latents_moved(
    page: Page, errors: list[str], address: str, explorer: Explorer, tmp_path: Path
) -> None:
    (tmp_path / "new.png").write_bytes(png_of(explorer, 7))
    page.goto(address)
    expect(page.locator("#file")).to_be_enabled()
    page.set_input_files("#file", tmp_path / "new.png")
    expect(page.locator("#found h3")).to_have_text("new.png")
    assert page.locator("#found .strip figure").count() == 4
    page.locator("#found").get_by_role("button", name="Move its latents").click()
    moved, canonical = page.locator("#bench-moved"), page.locator("#bench-canonical")
    drawn = page.locator("#bench-pictures[aria-busy=false]")
    expect(drawn).to_be_visible()  # or these are the pictures of the first image still
    before = moved.get_attribute("src"), canonical.get_attribute("src")
    page.get_by_role("slider", name="rotation").fill("40.5")
    expect(drawn).to_be_visible()
    assert moved.get_attribute("src") != before[0]
    assert canonical.get_attribute("src") == before[1]


@pytest.mark.parametrize("width", [1280, 390])
def test_several_images_are_looked_at_and_none_is_dropped_silently(
    page: Page, errors: list[str], address: str, explorer: Explorer, tmp_path: Path, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    for name, content in (
        *((f"{i}.png", png_of(explorer, i)) for i in range(3)),
        ("broken.png", b"nothing"),
        ("empty.png", b""),
    ):
        (tmp_path / name).write_bytes(content)
    page.goto(address)
    expect(page.locator("#file")).to_be_enabled()
    page.evaluate("look([new File(['x'], 'notes.exe')])")
    page.set_input_files("#file", sorted(tmp_path.glob("*.png")))
    found = page.locator("#found")
    expect(found.get_by_role("status")).to_have_text(re.compile("3 of [56] files looked at, [23] "))
    for told in ("broken.png is not an image", "empty.png is empty"):
        expect(found.get_by_role("cell", name=told)).to_be_visible()
    groups = explorer.groups()["groups"]
    row = found.get_by_role("row").filter(has_text="1.png")
    group = next(one["name"] for i, one in enumerate(groups) if i == explorer.gallery.cluster[1])
    expect(row.get_by_role("cell").nth(3)).to_have_text(group)
    row.get_by_role("button", name="1.png").press("Enter")
    expect(found.locator("h3")).to_have_text("1.png")
    expect(found.locator("h3")).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("""look(Array.from({ length: 130 }, (_, i) => new File([], `${i}.png`)))""")
    expect(page.locator("#said")).to_contain_text("30 of the files were not looked at")
    expect(found.get_by_role("row")).to_have_count(101)
    errors.clear()  # the browser counts a refused request as one


def test_a_new_image_that_is_an_outlier_is_called_one_before_any_percentage(
    page: Page, address: str, explorer: Explorer, tmp_path: Path
) -> None:
    (tmp_path / "odd.png").write_bytes(png_of(explorer, 7))
    page.goto(address)
    expect(page.locator("#file")).to_be_enabled()
    page.evaluate("state.images.odd = 0")  # from now on every image is one
    page.set_input_files("#file", tmp_path / "odd.png")
    found = page.locator("#found")
    row = found.get_by_role("region", name="new images").get_by_role("row").filter(has_text="odd")
    expect(row).to_contain_text(re.compile(r"odd.pngyes, [^%]*[0-9]\s?%"))
    expect(found.locator("#fresh tr").first).to_contain_text("outlier")


def test_images_are_walked_through_by_keys(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(".group .thumb").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog#image")
    expect(dialog).to_be_visible()
    name = dialog.get_by_role("heading").inner_text()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).not_to_have_text(name)
    assert dialog.locator(".strip figure").count() == 4
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_no_label_of_a_rose_is_cut(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".group svg").first).to_be_visible()
    beyond = """() => [...document.querySelectorAll(".group svg text")].filter((text) => {
        const [own, all] = [text, text.ownerSVGElement].map((one) => one.getBoundingClientRect());
        return own.left < all.left || own.right > all.right || own.bottom > all.bottom;
    }).map((text) => text.textContent)"""
    assert page.evaluate(beyond) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_refused_is_seen_wherever_one_is(
    page: Page, errors: list[str], address: str, explorer: Explorer, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(address)
    expect(page.locator("#said")).to_be_hidden()
    for button in ("Undo", "Redo"):
        expect(page.get_by_role("button", name=button)).to_have_css("opacity", "0.45")
    last = page.locator(".group").last
    last.scroll_into_view_if_needed()
    last.get_by_role("textbox").fill("\N{ZERO WIDTH SPACE}")
    last.get_by_role("button", name="Name").click()
    said = page.locator("#said")
    expect(said).to_contain_text("printable characters")
    expect(said).to_be_in_viewport(ratio=1)
    paper = page.evaluate("getComputedStyle(document.getElementById('said')).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 200) == (scheme == "dark")
    tops = [one.bounding_box() for one in last.locator(".tools > *").all()]
    middles = [box["y"] + box["height"] / 2 for box in tops if box]
    assert max(middles) - min(middles) < 10  # all in one line
    errors.clear()  # the browser counts the refused request as one


def test_averages_follow_the_groups(client: TestClient, explorer: Explorer) -> None:
    before = client.get("/api/groups").json()["groups"]
    full = max(range(len(before)), key=lambda i: before[i]["size"])
    other = int(full == 0)  # it may be empty: two epochs hardly make clusters
    for one in before:
        assert ("average" in one) == (one["size"] > 0)
    ids = [before[full]["id"], before[other]["id"]]
    merged = regrouped(client, "merge", groups=ids).json()["groups"]
    both = next(one for one in merged if one["name"] == before[full]["name"])
    count = before[full]["size"] + before[other]["size"]
    assert f"Average of {count} images" in both["average"]["words"]
    regrouped(client, "undo")
    turned = regrouped(client, "turn", group=ids[0], degrees=90).json()["groups"][full]
    assert turned["average"]["picture"] != before[full]["average"]["picture"]
    assert (
        turned["average"]["words"].split(".")[0] == before[full]["average"]["words"].split(".")[0]
    )
    split = regrouped(client, "split", group=ids[0]).json()["groups"]
    assert [one["average"] for one in split[full : full + 2]] == [None, None]
    explorer.sums = None
    assert not any("average" in one for one in client.get("/api/groups").json()["groups"])


def test_an_average_opens_at_full_size(page: Page, address: str) -> None:
    page.goto(address)
    card = page.locator(".group").first
    expect(card.locator(".halves p")).to_contain_text(re.compile(r"Average of \d+ images"))
    expect(card.locator(".halves svg title")).to_contain_text("halves")
    card.get_by_role("button", name="at full size").press("Enter")
    full = page.locator("#average img.full")
    expect(full).to_be_visible()
    assert full.evaluate("image => image.naturalWidth") == 28
    page.keyboard.press("Escape")
    card.get_by_role("button", name="Split", exact=True).click()
    expect(page.locator(".group", has_text="There is none yet").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(page: Page, address: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(address)
    expect(page.locator(".group").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) < 200) == (scheme == "dark")


def test_the_report_needs_no_server(page: Page, explorer: Explorer, small_data: Splits) -> None:
    from mcevae.pages.report import write_report

    scores = {"bce": Score(value=100.0, unit="nats", n=100)}
    report = write_report(explorer.run, small_data, scores)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    expect(page.locator(".group").first).to_be_visible()
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tip")).to_be_visible()
    page.locator("#colour").select_option("rotation")
    page.keyboard.press("Tab")
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
