"""Two browsers and the command line change the groups of one run: `benchmarks/hands.py`."""

import json
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from mcevae.pages.explorer import Explorer
from mcevae.runs.collections import Collections

ROOT = Path(__file__).parents[2]


def test_accepted_changes_are_there_and_all_others_are_told(tmp_path: Path) -> None:
    """The benchmark makes all accepted changes again, and compares the groups."""
    command = [sys.executable, ROOT / "benchmarks" / "hands.py", "--changes", "50"]
    done = subprocess.run(
        [*command, "--results", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "hands.json").read_text())
    answers = found["answers"]
    assert found["accepted, and all there"] > 0 and any(
        name.startswith("command") for name in answers
    )
    assert any(name.endswith("409") for name in answers)


def test_who_is_behind_is_told_what_there_is_now(client: TestClient, explorer: Explorer) -> None:
    seen = client.get("/api/groups").json()
    assert [one["id"] for one in seen["groups"]] == ["0", "1", "2", "3"]
    first = {"group": "1", "name": "first", "version": seen["version"]}
    assert client.post("/api/groups/rename", json=first).status_code == 200
    for path, content in (
        ("rename", {"group": "2", "name": "second"}),
        ("merge", {"groups": ["2", "3"]}),
        ("split", {"group": "0"}),
        ("undo", {}),
        ("redo", {}),
        ("judge", {"group": "0", "junk": True}),
    ):
        answer = client.post(f"/api/groups/{path}", json={**content, "version": seen["version"]})
        assert answer.status_code == 409 and "changed meanwhile" in answer.json()["detail"]
        now = answer.json()["now"]
        assert now == client.get("/api/groups").json()
        assert [one["name"] for one in now["groups"]] == ["0", "first", "2", "3"]
    assert client.post("/api/groups/undo", json={}).status_code == 422  # which state is it of?


def test_a_browser_that_is_behind_shows_what_others_did_and_keeps_what_was_typed(
    page: Page, errors: list[str], address: str, explorer: Explorer
) -> None:
    page.goto(address)
    cards = page.locator(".group")
    expect(cards.first).to_be_visible()
    largest = max(explorer.groups()["groups"], key=lambda one: one["size"])
    with Collections.locked(explorer.run.folder):
        theirs = Collections.read(explorer.run.folder, 4).renamed(int(largest["id"]), "theirs")
        theirs.write(explorer.run.folder)
    name = cards.first.get_by_role("textbox")
    name.fill("mine")
    name.press("Enter")
    said = page.locator("#said")
    expect(said).to_contain_text(f"group {largest['name']} is now theirs. Press Name again")
    expect(cards.first).to_have_class("group changed")
    expect(name).to_have_value("mine")
    name.press("Enter")
    expect(page.get_by_role("heading", name="Group mine")).to_be_visible()
    assert Collections.read(explorer.run.folder, 4).entries[int(largest["id"])].name == "mine"
    said.get_by_role("button", name="close the message").click()
    expect(said).to_be_hidden()
    errors.clear()  # the browser counts the refused request as one


def test_what_others_write_beside_an_explorer_is_not_lost(
    client: TestClient, explorer: Explorer
) -> None:
    run = explorer.run.folder
    version = client.get("/api/groups").json()["version"]
    content = {"group": "3", "name": "mine", "version": version}
    made = client.post("/api/groups/rename", json=content).json()
    assert made["undo"] == 1
    with Collections.locked(run):  # as `mcevae groups` does
        Collections.read(run, 4).merged([0, 1]).write(run)
    late = {"group": "1", "name": "late", "version": made["version"]}
    answer = client.post("/api/groups/rename", json=late)
    assert answer.status_code == 409
    now = answer.json()["now"]
    assert [one["name"] for one in now["groups"]] == ["0", "2", "mine"]
    assert now["undo"] == 0  # it would undo what the command did as well
    names = client.get("/api/table.csv").text
    assert "mine" in names and Collections.read(run, 4).entries[0].units == ("0", "1")
    (run / "groups.json").unlink()
    assert [one["id"] for one in client.get("/api/groups").json()["groups"]] == ["0", "1", "2", "3"]
