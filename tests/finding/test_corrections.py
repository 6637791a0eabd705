"""Corrections of a table: kept beside it, undone and redone, and honoured by convert."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.finding.corrections import (
    MARK,
    Change,
    Corrections,
    corrections_of,
    read_corrections,
    write_corrections,
)
from mcevae.finding.places import Places
from tests.exporting.test_marks import table

NEW = {
    "file": "a/one.png",
    "frame": 0,
    "x": 3.0,
    "y": 4.0,
    "group": "new",
    "probability": 1.0,
    "box_x": 1.0,
    "box_y": 2.0,
    "box_width": 4.0,
    "box_height": 4.0,
}


def corrected(path: Path, *changes: Change) -> Corrections:
    made = read_corrections(path)
    for change in changes:
        made = made.then(change)
    write_corrections(path, made)
    return made


def random_change(rng: random.Random, ids: list[int]) -> Change:
    do = rng.choice(["add", "delete", "group"])
    if do == "add":
        return Change(do="add", values=NEW | {"x": rng.random()})
    some = tuple(sorted(rng.sample(ids, 2)))
    return Change(do=do, ids=some, values={"group": rng.choice("abc")} if do == "group" else {})


@pytest.mark.parametrize("seed", range(5))
def test_undoing_all_of_a_random_sequence_gives_the_table_and_redoing_it_the_end(
    tmp_path: Path, seed: int
) -> None:
    path = table(tmp_path / "finds.parquet")
    rows, rng = pq.read_table(path), random.Random(seed)
    states, now = [], read_corrections(path)
    for _ in range(30):
        ids = [*set(range(5)) - now.holding(5).deleted, *now.holding(5).added]
        if len(ids) < 2:
            break
        states.append(now.holding(5).rows(rows))
        now = now.then(random_change(rng, ids))
    end = now.holding(5).rows(rows)
    for state in reversed(states):
        now = now.stepped(back=True)
        assert now.holding(5).rows(rows).equals(state)
    assert now.holding(5).rows(rows).drop_columns([MARK]).equals(rows)
    with pytest.raises(ValueError, match="no change to undo"):
        now.stepped(back=True)
    while now.done < len(now.changes):
        now = now.stepped(back=False)
    assert now.holding(5).rows(rows).equals(end)


def test_what_is_undone_is_forgotten_by_the_next_change_and_all_is_kept_in_the_file(
    tmp_path: Path,
) -> None:
    path = table(tmp_path / "finds.csv")
    made = corrected(path, Change(do="delete", ids=(0,)), Change(do="add", values=NEW))
    write_corrections(path, made.stepped(back=True))
    known = read_corrections(path)
    assert known == made.stepped(back=True) and known.version != made.version
    assert known.stepped(back=False) == made
    assert known.then(Change(do="delete", ids=(1,))).changes[1].ids == (1,)
    assert not list(tmp_path.glob(".*"))


def test_corrections_change_the_places_but_not_the_table(tmp_path: Path) -> None:
    path = table(tmp_path / "finds.parquet")
    before = path.read_bytes()
    values = {"group": "bird", "rotation_deg": None}
    corrected(
        path,
        Change(do="delete", ids=(0,)),
        Change(do="group", ids=(1,), values=values),
        Change(do="add", values=NEW),
        Change(do="group", ids=(7,), values={"group": "newer"}),
    )
    places = Places.read(path)
    assert path.read_bytes() == before
    assert places["x"].tolist() == [30.0, 5.5, 8.5, 40.25, 3.0]
    assert places.rows["group"].to_pylist() == ["bird", "fish", "key", "a 'b'\nc", "newer"]
    assert places.rows[MARK].to_pylist() == ["group", "no", "no", "no", "added"]
    assert np.isnan(places["rotation_deg"][[0, 4]]).all()


def test_convert_writes_corrected_tables_and_unknown_angles_as_relion_does(tmp_path: Path) -> None:
    path = table(tmp_path / "finds.parquet")
    corrected(path, Change(do="delete", ids=(0, 2, 3, 4)), Change(do="add", values=NEW))
    main(["convert", str(path), "--to", "table", "--out", str(tmp_path / "corrected.csv")])
    made = Places.read(tmp_path / "corrected.csv")
    assert made["x"].tolist() == [30.0, 3.0]
    main(["convert", str(path), "--to", "star", "--out", str(tmp_path / "star")])
    lines = (tmp_path / "star" / "a__one.star").read_text().splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == ["-90.000000", "-999.000000"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        "[" * 10_000,
        '{"format":1,"table":"T","changes":[],"done":1}',
        '{"format":1,"table":"T","changes":[{"do":"rm","ids":[],"values":{}}],"done":0}',
        '{"format":1,"table":"T","changes":[{"do":"add","ids":[-1],"values":{}}],"done":0}',
        '{"format":1,"table":"T","changes":[{"do":"add","ids":[],"values":{"x":[]}}],"done":0}',
        '{"format":1,"table":"T","changes":[{"do":"add","ids":[],"values":{"x":"word"}}],"done":1}',
        '{"format":1,"table":"T","changes":[{"do":"group","ids":[99],"values":{"x":1}}],"done":1}',
    ],
)
def test_damaged_corrections_are_refused_in_one_sentence(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path / "finds.parquet")
    own = read_corrections(path).table
    corrections_of(path).write_text(text.replace('"T"', json.dumps(own)))
    with pytest.raises(SystemExit, match="2"):
        main(["convert", str(path), "--to", "napari", "--out", str(tmp_path / "out.csv")])
    said = capsys.readouterr().err
    assert "corrections.json" in said and said.count("\n") == 1 and "Traceback" not in said


def test_corrections_of_another_table_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "finds.parquet")
    corrected(path, Change(do="delete", ids=(0,)))
    pq.write_table(pq.read_table(path)[1:], path)
    with pytest.raises(UserError, match="corrects another table"):
        Places.read(path)
    with pytest.raises(pa.ArrowInvalid):
        Corrections(table="").then(Change(do="add", values=NEW | {"x": "word"})).holding(5).rows(
            pq.read_table(path)
        )
