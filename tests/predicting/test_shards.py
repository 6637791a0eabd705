"""Shards hold every image once between them, whoever makes them, is killed, and starts again."""

import importlib.util
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mcevae.base.errors import UserError
from mcevae.cli import main
from mcevae.images.loading import load
from mcevae.images.sources.contract import Source
from mcevae.predicting import predictor as module
from mcevae.predicting.engines import Maker, Order, make_here, make_on_ray
from mcevae.predicting.shards import Shard
from mcevae.runs.confidence import Calibration
from mcevae.runs.run import TrainedRun
from tests.ranks import start


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """1,100 digits in a stack, which is three blocks, 40 as files, and a broken file."""
    pixels = load("mnist-mini").train.pixels[:1140, 0].numpy()
    folder = tmp_path / "new"
    folder.mkdir()
    np.save(folder / "a.npy", pixels[:1100])
    for i, image in enumerate(pixels[1100:]):
        Image.fromarray(image).save(folder / f"b{i:02}.png")
    (folder / "b07-broken.png").write_bytes(b"none")
    return folder


@pytest.fixture
def run(trained: Path, calibration: Calibration) -> Path:
    """A run that is as the command line leaves it."""
    calibration.write(trained)
    return trained


def whole(run: Path, source: Path | str, folder: Path) -> pa.Table:
    """The table that one process makes."""
    out = folder / "whole.parquet"
    make_here(Order(run=run, source=str(source), out=out), None)
    return parquet.read_table(out)


def union(folder: Path) -> pa.Table:
    """All shards as any reader of folders takes them, in the order of the source."""
    return parquet.read_table(folder).sort_by("id")


def alike(one: pa.Table, other: pa.Table, *, ids: bool = False) -> None:
    """The same rows in the same order; floats may differ by what the size of a batch does."""
    assert one.column_names == other.column_names and one.num_rows == other.num_rows
    for name in one.column_names:
        a, b = one[name].to_numpy(), other[name].to_numpy()
        if a.dtype.kind == "f":
            assert np.allclose(a, b, atol=1e-3, rtol=1e-4), name
        elif name != "id" or ids:
            assert (a == b).all(), name


@given(st.integers(1, 40), st.integers(0, 5000), st.integers(0, 5000))
def test_every_frame_and_every_row_is_of_one_shard(count: int, file: int, frame: int) -> None:
    every = [Shard(i, count) for i in range(count)]
    assert sum(shard.has(file, frame) for shard in every) == 1
    assert [row for shard in every for row in shard.rows(frame)] == list(range(frame))


@pytest.mark.parametrize("text", ["3/3", "-1/2", "1", "a/b", "1/2/3"])
def test_shards_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="give I/N"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 3, 60])
def test_shards_together_are_the_whole_table(
    run: Path, source: Path, tmp_path: Path, count: int
) -> None:
    """Also where some are empty: 60 shards of 42 files."""
    order = Order(run=run, source=str(source), out=tmp_path / "tables")
    maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
    made = [maker.make(Shard(i, count)) for i in range(count)]
    assert [fault.name for one in made for fault in one.faults] == ["b07-broken.png"]
    found = union(order.out)
    assert len(set(found["id"].to_pylist())) == found.num_rows == sum(one.rows for one in made)
    alike(found, whole(run, source, tmp_path))
    assert len(list(order.out.glob("part-*"))) == count


def test_shards_of_a_built_in_set_have_its_own_numbers(run: Path, tmp_path: Path) -> None:
    order = Order(run=run, source="mnist-mini", out=tmp_path / "tables", part="test")
    maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
    for i in range(3):
        maker.make(Shard(i, 3))
    one = Order(run=run, source="mnist-mini", out=tmp_path / "one.parquet", part="test")
    make_here(one, None)
    alike(union(order.out), parquet.read_table(one.out), ids=True)


def test_ids_do_not_depend_on_the_number_of_shards(run: Path, source: Path, tmp_path: Path) -> None:
    found = []
    for count in (2, 3):
        order = Order(run=run, source=str(source), out=tmp_path / f"of-{count}")
        maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
        for i in range(count):
            maker.make(Shard(i, count))
        found.append(union(order.out))
    alike(*found, ids=True)


def test_a_killed_shard_goes_on_after_its_last_whole_part(
    run: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "part_size", 100)
    order = Order(run=run, source=str(source), out=tmp_path / "tables")

    def killed(done: float, images: int) -> None:
        if images >= 300:
            raise KeyboardInterrupt

    maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
    with pytest.raises(KeyboardInterrupt):
        maker.make(Shard(0, 2), killed)
    assert not list(order.out.glob("part-*"))
    worked = []
    original = module.Predictor.rows
    monkeypatch.setattr(
        module.Predictor,
        "rows",
        lambda self, part, first, *rest: worked.append(first) or original(self, part, first, *rest),
    )
    first = maker.make(Shard(0, 2))
    assert worked == list(range(300, first.rows, 100))
    maker.make(Shard(1, 2))
    before = {path: path.stat().st_mtime_ns for path in order.out.iterdir()}
    again = maker.make(Shard(0, 2))
    assert again.before and again.rows == first.rows and "made earlier" in again.in_words()
    assert {path: path.stat().st_mtime_ns for path in order.out.iterdir()} == before
    alike(union(order.out), whole(run, source, tmp_path))


def test_a_finished_shard_of_images_that_were_replaced_unseen_is_refused(
    run: Path, source: Path, tmp_path: Path
) -> None:
    order = Order(run=run, source=str(source), out=tmp_path / "tables")
    maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
    maker.make(Shard(0, 2))
    path = source / "a.npy"
    state, pixels = path.stat(), np.load(path)
    np.save(path, pixels[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    again = Maker(order, TrainedRun.open(order.run, device="cpu"))
    with pytest.raises(UserError, match=r"already exists.*overwrite"):
        again.make(Shard(0, 2))


def test_another_number_of_shards_and_other_images_are_refused(
    run: Path, source: Path, tmp_path: Path
) -> None:
    order = Order(run=run, source=str(source), out=tmp_path / "tables")
    maker = Maker(order, TrainedRun.open(order.run, device="cpu"))
    maker.make(Shard(0, 2))
    with pytest.raises(UserError, match="of 2 shards, not 3"):
        maker.make(Shard(0, 3))
    (source / "b00.png").unlink()
    with pytest.raises(UserError, match="add overwrite"):
        maker.make(Shard(0, 2))
    anew = Maker(
        Order(run=run, source=str(source), out=order.out, overwrite=True),
        TrainedRun.open(run, device="cpu"),
    )
    for i in range(3):
        anew.make(Shard(i, 3))
    assert len(list(order.out.glob("part-*"))) == 3 and union(order.out).num_rows == 1139


def test_shards_need_a_folder_and_one_table_is_a_shard_of_one(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["predict", str(run), str(source), "--out"]
    for options in (["--shard", "0/2"], ["--ray", "2"]):
        with pytest.raises(SystemExit, match="2"):
            main([*given, str(tmp_path / "t.parquet"), *options])
        assert "give an --out without .parquet" in " ".join(capsys.readouterr().err.split())
    main([*given, str(tmp_path / "tables")])
    assert "part-00000-of-00001.parquet" in "".join(capsys.readouterr().out.split())


def test_ranks_write_a_shard_each_also_after_all_are_killed(run: Path, tmp_path: Path) -> None:
    """SIGKILL to everything once a part is there; the next command finishes."""
    stack = tmp_path / "stack.npy"
    pixels = load("mnist-mini").train.pixels[:, 0].numpy()
    np.save(stack, np.concatenate([pixels, pixels]))
    out = tmp_path / "tables"
    log, command = tmp_path / "said.txt", ("predict", str(run), str(stack), "--out", str(out))
    job = start(log, "mcevae.cli", *command)
    while not list(out.glob(".part-*/[0-9]*.part")):
        assert all(rank.exitcode is None for rank in job.ranks), job.ended()
        time.sleep(0.01)
    job.kill()
    assert job.ended()[0] == [-signal.SIGKILL] * 2
    log.unlink()
    codes, said = start(log, "mcevae.cli", *command).ended()
    assert codes == [0, 0], said
    found = union(out)
    assert found["id"].to_pylist() == list(range(2 * len(pixels)))
    assert said.count(" rows in ") == 2
    alike(found, whole(run, stack, tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs mcevae[ray], 240 MB")
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_makes_all_shards_and_does_not_double_what_is_there(
    run: Path, source: Path, tmp_path: Path
) -> None:
    import ray

    order = Order(run=run, source=str(source), out=tmp_path / "tables")
    Maker(order, TrainedRun.open(order.run, device="cpu")).make(Shard(1, 3))
    try:
        made = sorted(make_on_ray(order, 3), key=lambda one: one.table)
        assert [one.before for one in made] == [False, True, False]
        alike(union(order.out), whole(run, source, tmp_path))
        with pytest.raises(UserError, match="of 3 shards, not 2"):
            next(make_on_ray(order, 2))
        (source / "b00.png").unlink()  # which only the workers see
        with pytest.raises(UserError, match=r"part-0000\d-of-00003.parquet: already exists"):
            list(make_on_ray(order, 3))
    finally:
        ray.shutdown()
