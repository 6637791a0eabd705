"""What the page of finds is told, and what it changes: without a browser."""

import io
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.finding.corrections import corrections_of, read_corrections
from mcevae.finding.frames import Large, Scale
from mcevae.finding.places import Places
from mcevae.images.readers.frames import Unreadable
from mcevae.images.readers.reading import Reading
from mcevae.images.readers.views import View
from mcevae.pages.finds.album import Album
from mcevae.pages.finds.board import Board
from mcevae.pages.finds.correcting import Corrector, Stale
from mcevae.pages.finds.tiles import Window, levels_of, values_of
from mcevae.run import Run
from mcevae.runs.infer import write_tables
from tests.finding.test_find import PLACES, run, templates  # noqa: F401  fixtures
from tests.pages.finds.conftest import FRAMES, rows


def seen(board: Board, frame: int = 0) -> list[int]:
    return [thing["id"] for thing in board.frame(frame)["things"]]


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content))).astype(float)


def test_a_frame_has_its_things_its_size_and_the_paths_of_its_tracks(board: Board) -> None:
    about = board.about()
    assert about["files"] == ["film.npy"]
    assert about["frames"] == [[0, number] for number in range(FRAMES)]
    assert about["groups"][:4] == ["0", "1", "2", "3"]
    told = board.frame(1, None)
    assert (told["width"], told["height"], told["levels"]) == (128, 128, 1)
    assert [(one["x"], one["y"]) for one in told["things"]] == [*map(tuple, PLACES)]
    gaps = [one["found"] for one in told["things"]].count(False)
    assert gaps == board.finds.tracked
    assert sum(told["counts"]) == FRAMES * len(PLACES) - board.finds.tracked
    lengths = {len(one["points"]) for one in told["paths"]}
    assert lengths == ({FRAMES} if board.finds.tracked else set())
    assert {len(one["points"]) for one in board.frame(3, 2)["paths"]} <= {3}
    with pytest.raises(IndexError):
        board.frame(FRAMES)


def test_a_thing_is_added_where_it_lies_and_has_its_pose(
    board: Board, corrector: Corrector, table: Path
) -> None:
    state = corrector.delete([seen(board)[0]], False, board.state()["version"])
    made = corrector.add(0, PLACES[0][0] + 2.0, PLACES[0][1] - 2.0, "0", state["version"])
    new = board.finds.row(made["added"])
    assert np.hypot(new["x"] - PLACES[0][0], new["y"] - PLACES[0][1]) < 1.5
    assert (new["cluster"], new["probability"], new["found"]) == (0, 1.0, True)
    assert new["rotation_deg"] is not None and new["box_width"] > 5
    assert seen(board)[-1] == made["added"]
    places = Places.read(table)
    assert places.rows["corrected"].to_pylist()[-1] == "added"
    if board.finds.tracked:
        assert new["track"] == len(PLACES) and new["time"] == 0


def test_groups_of_things_and_of_tracks_are_changed(board: Board, corrector: Corrector) -> None:
    first = seen(board)[0]
    state = corrector.regroup([first], False, "1", board.state()["version"])
    row = board.finds.row(first)
    assert (row["group"], row["cluster"]) == (1, 1) and row["rotation_deg"] not in (None, 0.0)
    with pytest.raises(ValueError, match="in group 1 already"):
        corrector.regroup([first], False, "1", state["version"])
    if not board.finds.tracked:
        with pytest.raises(ValueError, match="is in no track"):
            corrector.regroup([first], True, "2", state["version"])
        return
    state = corrector.regroup([first], True, "2", state["version"])
    whole = [board.finds.row(i) for i in board.finds.in_track(0)]
    assert [one["group"] for one in whole] == [2] * FRAMES
    assert [one["rotation_deg"] for one in whole] == [None] * FRAMES
    state = corrector.delete([first], True, state["version"])
    assert not board.finds.in_track(0) and len(seen(board, 2)) == len(PLACES) - 1


def test_a_random_sequence_is_undone_and_redone_also_after_a_restart(
    board: Board,
    corrector: Corrector,
    table: Path,
    run: Run,  # noqa: F811
    source: Path,
) -> None:
    rng, before = random.Random(0), table.read_bytes()
    states = [[board.frame(i)["things"] for i in range(FRAMES)]]
    for _ in range(12):
        version, frame = board.state()["version"], rng.randrange(FRAMES)
        ids = seen(board, frame)
        if (do := rng.choice(["add", "delete", "group"])) == "add" or not ids:
            corrector.add(frame, rng.uniform(20, 100), rng.uniform(20, 100), "2", version)
        elif do == "delete":
            corrector.delete([rng.choice(ids)], board.finds.tracked, version)
        else:
            one = rng.choice(ids)
            other = str((board.finds.row(one)["group"] + 1) % 4)
            corrector.regroup([one], False, other, version)
        states.append([board.frame(i)["things"] for i in range(FRAMES)])
    again = Board(run, table, Album(str(source), run.settings.data))
    for back, wanted in ((True, states[-2::-1]), (False, states[1:])):
        for state in wanted:
            Corrector(again).step(back, again.state()["version"])
            assert [again.frame(i)["things"] for i in range(FRAMES)] == state
    assert table.read_bytes() == before
    assert [board.frame(i)["things"] for i in range(FRAMES)] == states[-1]  # it reads the file


def test_changes_of_older_corrections_and_of_what_is_not_there_are_refused(
    board: Board, corrector: Corrector, table: Path
) -> None:
    version = board.state()["version"]
    with pytest.raises(ValueError, match="no group 'none'"):
        corrector.add(0, 5, 5, "none", version)
    with pytest.raises(ValueError, match="no thing 999"):
        corrector.delete([999], False, version)
    with pytest.raises(ValueError, match="choose a place in it"):
        corrector.add(0, 500, 5, "0", version)
    assert not corrections_of(table).exists()
    corrector.delete([seen(board)[0]], False, version)
    with pytest.raises(Stale):
        corrector.delete([seen(board)[0]], False, version)
    assert read_corrections(table).done == 1


def test_a_residual_has_no_things_that_are_found_and_all_that_are_not(
    board: Board, corrector: Corrector
) -> None:
    window = Window(level=0, row=0, column=0)

    def loud(x: float, y: float) -> float:
        rest = pixels(board.tile(0, window, (0, 1000), True))
        return float(np.abs(rest[int(y) - 10 : int(y) + 10, int(x) - 10 : int(x) + 10] - 128).max())

    there = [loud(*place) for place in PLACES]
    corrector.delete([seen(board)[2]], False, board.state()["version"])
    now = [loud(*place) for place in PLACES]
    assert now[2] > 2 * there[2] and now[2] > 60
    assert np.abs(np.delete(np.array(now) - there, 2)).max() < 20


def test_a_tile_is_the_mean_of_the_frame_and_large_frames_are_never_read_whole(
    run: Run,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    whole = rng.random((1500, 2100)).astype(np.float32)
    most: list[int] = []

    def read(rows: slice, columns: slice) -> np.ndarray:
        most.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return whole[rows, columns]

    frame = Large(file="a", number=0, view=View(shape=whole.shape, read=read), reading=Reading())
    monkeypatch.setattr("mcevae.pages.finds.tiles.AT_ONCE", 2**17)
    scale = Scale(recipe=run.recipe, levels=[(0.0, 1.0)])
    assert levels_of(frame) == 4
    for level, row, column in ((0, 2, 4), (1, 1, 2), (2, 0, 1), (3, 0, 0)):
        got = values_of(frame, scale, Window(level=level, row=row, column=column))[0]
        reach, step = 512 << level, 1 << level
        part = whole[row * reach : (row + 1) * reach, column * reach : (column + 1) * reach]
        wanted = torch.nn.functional.avg_pool2d(
            torch.from_numpy(part)[None], step, ceil_mode=True, count_include_pad=False
        )[0]
        assert torch.allclose(got, wanted, atol=1e-5)
    assert max(most) <= 2**17
    monkeypatch.setattr("mcevae.pages.finds.tiles.MOST_READ", 2**18)
    most.clear()
    got = values_of(frame, scale, Window(level=3, row=0, column=0))
    assert got.shape[1:] == (188, 263) and sum(most) < 0.6 * whole.size


def test_films_are_gone_through_in_any_order_with_few_files_open(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for i in range(6):
        Image.fromarray(np.full((20, 30), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "stack.npy", np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((9, 8)))
    album = Album(str(tmp_path), run.settings.data)
    assert [(one.file, one.number) for one in album.entries] == [
        *((f"{i}.png", 0) for i in range(6)),
        *(("stack.npy", i) for i in range(3)),
    ]
    monkeypatch.setattr("mcevae.pages.finds.album.MOST_OPEN", 2)
    monkeypatch.setattr("mcevae.pages.finds.album.MOST_HELD", 1300)
    order = [0, 5, 8, 6, 3, 0, 8, 7, 2, 2, 1, 0]
    for i in order:
        value = float(album.frame(i).view.read(slice(0, 2), slice(0, 2)).mean())
        assert value == (10 * i if i < 6 else i - 6)
        assert len(album._open) <= 2 and album._held <= 1300
    (tmp_path / "4.png").write_bytes(b"nothing")
    with pytest.raises(Unreadable):
        album.frame(4)


def test_tables_of_other_frames_and_bad_tables_are_refused(
    run: Run,  # noqa: F811
    tmp_path: Path,
    source: Path,
    tracked: bool,
) -> None:
    album, path = Album(str(source), run.settings.data), tmp_path / "t.parquet"
    good = rows(tracked)
    names = ["other.npy" if one else None for one in good["file"].to_pylist()]
    for wrong, told in (
        (good.set_column(0, "file", [names]), "other.npy, which is not among the frames"),
        (good.drop_columns(["box_x"]), "has no column 'box_x'"),
        (good.set_column(good.schema.names.index("x"), "x", [["a"] * good.num_rows]), "no place"),
    ):
        write_tables([wrong], path)
        with pytest.raises(UserError, match=told):
            Board(run, path, album)


STRANGE = (
    ("add", {"frame": 0, "x": 1e999, "y": 0, "group": "0"}),
    ("add", {"frame": -1, "x": 1, "y": 0, "group": "0"}),
    ("add", {"frame": 10**9, "x": 1, "y": 0, "group": "0"}),
    ("add", {"frame": 0, "x": "a", "y": 0, "group": "0"}),
    ("add", {"frame": 0, "x": 5, "y": 5, "group": "x" * 1000}),
    ("delete", {"ids": []}),
    ("delete", {"ids": [-1]}),
    ("delete", {"ids": [2**60]}),
    ("delete", {"ids": [0] * 20_000}),
    ("delete", {"ids": "all"}),
    ("group", {"ids": [0], "group": "../../etc"}),
    ("undo", {}),
    ("redo", {}),
)


def test_hostile_requests_change_nothing_and_are_told_why(
    client: TestClient, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = client.get("/api/frames").json()["version"]
    for path, content in STRANGE:
        text = str({**content, "version": version}).replace("'", '"').replace("inf", "1e999")
        answer = client.post(
            f"/api/finds/{path}", content=text, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in (404, 422), (path, content, answer.text)
        assert len(answer.json()["detail"]) > 10
    evil = {"Origin": "http://evil.example"}
    body = {"ids": [0], "version": version}
    assert client.post("/api/finds/delete", json=body, headers=evil).status_code == 403
    assert client.post("/api/finds/delete", json={"ids": [0], "version": "x"}).status_code == 409
    assert client.post("/api/finds/delete", content=b"a" * (2**20 + 1)).status_code == 413
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    for tile in (
        "level=0&row=1&column=0",
        "level=30&row=0&column=0",
        "level=-1&row=0&column=0",
        "level=0&row=0&column=99999999999",
        "level=0&row=0&column=0&black=900&white=100",
        "level=0&row=0&column=0&white=5000",
        "level=x&row=0&column=0",
    ):
        assert client.get(f"/api/frames/0/picture.png?{tile}").status_code in (404, 422), tile
    for step in ("..", "..%2f..", "%2fetc%2fpasswd", "a%00b", "table.parquet", "film.npy"):
        for route in ("/static/{}", "/api/frames/{}", "/api/frames/0/{}.png", "/{}"):
            answer = client.get(route.format(step))
            assert answer.status_code in (200, 404, 422) and b"root:" not in answer.content
            assert b"PAR1" not in answer.content and b"NUMPY" not in answer.content
    assert not corrections_of(table).exists()


def test_a_frame_that_is_damaged_meanwhile_is_told_by_its_name(
    run: Run,  # noqa: F811
    tmp_path: Path,
    source: Path,
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(frames / "a.png")
    table = tmp_path / "t.parquet"
    own = rows(False)[: len(PLACES)]
    named = own.set_column(0, "file", [["a.png"] * len(PLACES)])
    write_tables([named], table)
    board = Board(run, table, Album(str(frames), run.settings.data))
    (frames / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match=r"a\.png "):
        board.frame(0)
    assert pq.read_table(table).equals(named)


def test_the_command_line_writes_the_page_and_says_what_is_wrong(
    run: Run,  # noqa: F811
    source: Path,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = ["--finds", str(table), "--frames", str(source)]
    main(["report", str(run.folder), *own])
    assert "Open" in capsys.readouterr().out and table.with_suffix(".html").exists()
    other = tmp_path / "other.npy"
    np.save(other, np.zeros((1, 90, 90), np.float32))
    for command, told in (
        (["serve", str(run.folder), "--finds", str(table)], "give --frames as well"),
        (["serve", str(run.folder), "--size", "40"], "give --finds as well"),
        (["report", str(run.folder), *own[:3], str(other)], "not among the frames"),
        (["serve", str(run.folder), *own, "--size", "1", "--port", "0"], "use 4 pixels or more"),
        (["convert", str(table), "--to", "table", "--out", str(table)], "is the table"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(command)
        assert told in capsys.readouterr().err
