"""What the explorer owes hostile clients: refusals, bounds, and answers to everybody else."""

import asyncio
import io
import json
import re
import socket
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mcevae.pages import guard, listen
from mcevae.pages.explorer import Explorer
from mcevae.pages.guard import HEADERS, LOOK, MOST_BYTES
from mcevae.pages.serve import application
from tests.conftest import served

HOST = {"Host": "127.0.0.1"}


def png_of(explorer: Explorer, image: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(explorer.gallery.pixels[image, 0].numpy()).save(buffer, "png")
    return buffer.getvalue()


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_can_ask_nothing(
    client: TestClient, explorer: Explorer, headers: dict[str, str]
) -> None:
    for path in ("/api/groups", "/api/images", "/api/canonical.zip", "/api/images/0/strip.png"):
        assert client.get(path, headers=headers).status_code == 403
    content = {"groups": ["0", "1"], "version": ""}
    merge = client.post("/api/groups/merge", json=content, headers=headers)
    assert merge.status_code == 403 and not (explorer.run.folder / "groups.json").exists()


def test_the_page_itself_may_be_linked_to(client: TestClient) -> None:
    follow = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Origin": "http://127.0.0.1"}
    assert client.get("/", headers=follow).status_code == 200
    assert client.post("/", headers=follow).status_code == 403
    assert client.get("/api/groups", headers=own).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1]"])
def test_other_names_of_host_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 400


def test_every_answer_has_the_policy(client: TestClient) -> None:
    answers = [
        client.get("/"),
        client.get("/api/groups"),
        client.get("/nowhere"),
        client.get("/api/images/9999/strip.png"),
        client.get("/", headers={"Origin": "null"}),
        client.post("/api/draw", content=b"{"),
    ]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "access-control-allow-origin" not in answer.headers


# Paths


STEPS = (
    "..",
    "..%2f..",
    "%2e%2e",
    "..%5c..",
    "%2fetc%2fpasswd",
    "....//",
    "a%00b",
    "groups.json",
)


@pytest.mark.parametrize(
    "route",
    [
        "/static/{}",
        "/static/{}/page.css",
        "/figures/{}.png",
        "/figures/{}%2fcurves.png",
        "/api/table.{}",
        "/api/images/{}/strip.png",
        "/api/images/{}/latents",
        "/{}",
    ],
)
def test_no_route_leads_out_of_what_is_served(client: TestClient, route: str) -> None:
    for step in STEPS:
        answer = client.get(route.format(step))
        if answer.text != client.get("/").text:  # where a client itself takes the steps
            assert answer.status_code in (404, 422), answer.url
            assert b"root:" not in answer.content and b"units" not in answer.content


def test_names_in_archives_lead_nowhere(client: TestClient) -> None:
    with zipfile.ZipFile(io.BytesIO(client.get("/api/canonical.zip").content)) as archive:
        for name in archive.namelist():
            assert not name.startswith("/") and ".." not in Path(name).parts


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b'{"cluster": NaN, "z": [], "pose": []}',
        b'{"cluster": 0, "z": [Infinity], "pose": []}',
        b'{"cluster": 0, "z": [1e300, 0, 0], "pose": [0, 0, 0]}',
        b'{"cluster": 0, "z": [0, 0, 0], "pose": [1e39, 0, 0]}',
        b'{"cluster": ' + b"9" * 5000 + b', "z": [], "pose": []}',
        b'{"cluster": "\\ud800", "z": "\\ud800", "pose": []}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"null",
        b"",
    ],
)
def test_odd_bodies_are_refused_in_words(client: TestClient, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    for path in ("/api/draw", "/api/groups/rename", "/api/groups/merge", "/api/groups/split"):
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code in (400, 422) and isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    "name", ["x" * 300, "a.\0png", "a." + "x" * 290, "", "..", "list.txt", "/"]
)
def test_odd_names_of_files_are_refused(client: TestClient, explorer: Explorer, name: str) -> None:
    answer = client.post(LOOK, params={"name": name}, content=png_of(explorer, 0))
    assert answer.status_code == 422 and "is not a known type of file" in answer.json()["detail"]


def test_bad_files_are_told_by_their_own_names_to_runs_that_stop_at_them_too(
    explorer: Explorer, client: TestClient
) -> None:
    explorer.run.settings = explorer.run.settings.changed(data={"on_error": "stop"})
    answer = client.post(LOOK + "?name=a.png", content=b"no picture")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "a.png is not an image, or a damaged one."


def test_what_people_can_mend_is_told_in_its_own_sentence(
    explorer: Explorer, client: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    content = {"groups": ["0", "1"], "version": explorer.collections.version}
    explorer.run.folder = tmp_path / "file"  # so that groups cannot be written
    answer = client.post("/api/groups/merge", json=content)
    assert answer.status_code == 422
    assert re.search(r"groups\.json.*: cannot be written \(.+\)\.$", answer.json()["detail"])


def test_uploads_are_bounded_one_by_one_and_together(
    client: TestClient, explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"Content-Length": str(MOST_BYTES + 1)}
    assert client.post(LOOK + "?name=a.png", content=b"", headers=told).status_code == 413
    assert client.post(LOOK + "?name=a.png", content=iter([b"x"])).status_code == 411
    smuggled = {"Content-Length": "1", "Transfer-Encoding": "chunked"}
    assert client.post("/api/draw", content=iter([b"x"]), headers=smuggled).status_code == 411
    monkeypatch.setattr(guard, "MOST_HELD", 10)
    answer = client.post(LOOK + "?name=a.png", content=png_of(explorer, 0))
    assert answer.status_code == 503 and "try again" in answer.json()["detail"]
    assert client.get("/api/groups").status_code == 200


# A real server


def connected(place: tuple[str, int], text: str) -> socket.socket:
    """A connection on which some bytes of a request were sent."""
    connection = socket.create_connection(place, timeout=30)
    connection.sendall(text.encode())
    return connection


def test_slow_clients_block_no_one_and_are_cut_off(app: Any) -> None:
    part = "POST /api/look?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nx"
    with served(app, patience=3.0) as place:
        slow = [connected(place, text) for text in ("", "GET / HT", part) for _ in range(30)]
        address = f"http://127.0.0.1:{place[1]}"
        assert httpx.get(f"{address}/api/groups").status_code == 200
        for connection in slow:
            connection.settimeout(0.2)
        open_ones = list(slow)
        deadline = time.monotonic() + 60  # far beyond their time, for machines that are slow too
        while open_ones and time.monotonic() < deadline:
            open_ones = [one for one in open_ones if not ended(one)]
        assert not open_ones
        assert httpx.get(f"{address}/api/groups").status_code == 200


def test_connections_are_bounded(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "CONNECTIONS", 5)
    with served(app, patience=60.0) as (host, port):
        address = f"http://{host}:{port}/api/groups"
        idle = [connected((host, port), "") for _ in range(5)]
        assert httpx.get(address).status_code == 503
        for connection in idle:
            connection.close()
        with httpx.Client(transport=httpx.HTTPTransport(retries=3)) as client:
            answers = (client.get(address).status_code for _ in range(100))
            assert 200 in answers  # as soon as they are gone


def ended(connection: socket.socket) -> bool:
    """Send one byte more; whether the server has ended the connection."""
    try:
        connection.sendall(b"x")
        over = connection.recv(1000) == b""
    except TimeoutError:
        return False
    except OSError:
        over = True
    if over:
        connection.close()
    return over


def test_uploads_that_are_too_large_are_refused_before_they_are_taken(app: Any) -> None:
    ask = f"POST {LOOK}?name=a.png HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    kinds = {"413": f"Content-Length: {10**12}", "411": "Transfer-Encoding: chunked"}
    with served(app) as place:
        for status, header in kinds.items():
            with connected(place, f"{ask}{header}\r\n\r\n") as connection:
                assert status in connection.recv(1000).decode().splitlines()[0]
        with connected(place, "GET / HTTP/1.1\r\nX: " + "x" * 200_000) as connection:
            assert "400" in connection.recv(1000).decode().splitlines()[0]


def test_two_hundred_requests_at_once_are_all_answered_right(
    address: str, explorer: Explorer
) -> None:
    version = explorer.collections.version

    async def ask() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:
            asked = []
            for i in range(50):
                asked += [
                    client.get(f"/api/images/{i}/strip.png"),
                    client.get(f"/api/images/{i}/latents"),
                    client.post(LOOK + f"?name={i}.png", content=png_of(explorer, i)),
                    client.post(
                        "/api/groups/rename",
                        json={"group": str(i % 2), "name": f"name {i}", "version": version},
                    ),
                ]
            return await asyncio.gather(*asked)

    answers = asyncio.run(ask())
    renamed = [answer.status_code for answer in answers[3::4]]
    assert sorted(renamed) == [200] + [409] * 49  # all of them have seen the first version
    del answers[3::4]
    assert [answer.status_code for answer in answers] == [200] * 150
    for i in range(50):
        strip, latents, look = answers[3 * i : 3 * i + 3]
        assert strip.content == explorer.strip(i)
        for key, value in explorer.latents(i).items():
            assert latents.json()[key] == pytest.approx(value)
        assert look.json()["name"] == f"{i}.png"
        assert look.json()["z"] == pytest.approx(latents.json()["z"], abs=1e-5)
    kept = json.loads((explorer.run.folder / "groups.json").read_text())
    i = renamed.index(200)
    assert kept["groups"][i % 2]["name"] == f"name {i}"


def test_what_fails_inside_is_not_told(explorer: Explorer, small_data: Any) -> None:
    app = application(explorer, small_data, {})
    explorer.images = None  # pyright: ignore[reportAttributeAccessIssue]
    client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    answer = client.get("/api/images")
    assert answer.status_code == 500 and answer.text == "Internal Server Error"
