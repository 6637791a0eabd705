"""Disks that are full or read-only, files that are altered or go: a sentence, and nothing lost."""

import errno
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import save_file

from mcevae.base import files
from mcevae.base.config import DataConfig
from mcevae.base.errors import UserError
from mcevae.base.files import write_text
from mcevae.cli import main
from mcevae.images.loading import load as load_images
from mcevae.images.readers.frames import Fault
from mcevae.images.readers.registry import frames_of
from mcevae.images.sources.contract import Source
from mcevae.images.sources.registry import open_source
from mcevae.images.splits import Splits
from mcevae.models.paper import PaperModel
from mcevae.predicting import predictor as module
from mcevae.predicting.predictor import Predictor
from mcevae.runs import checkpoint
from mcevae.runs.checkpoint import load, run_file
from mcevae.runs.confidence import Calibration
from mcevae.training.log import read_log
from mcevae.training.loop import fit, is_free
from tests.cli.test_cli import fails, fit_arguments
from tests.sizes import tiny
from tests.training.test_loop import interrupt_at

ANY = Calibration(temperature=1.0, misfits=tuple(float(i) for i in range(101)), n=100)
NOBODY = 2**22 + 1
"""More than any process's number."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made by the command line."""
    out = tmp_path_factory.mktemp("disk") / "run"
    main(fit_arguments(out))
    return out


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> None:
    """Leave no room on a disk."""
    with pytest.raises(OSError) as error, (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert error.value.errno == errno.ENOSPC


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Writing past so many bytes fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a run but TensorBoard's, which are written to all the time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "tensorboard" not in path.parts
    }


def test_training_on_a_full_disk(disk: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path(shutil.copytree(run, disk / "run"))
    before = contents(out)
    fill(disk)
    said = fails(capsys, "resume", str(out), "--epochs", "3")
    assert str(out) in said and "cannot be written" in said and "No space left" in said
    assert contents(out) == before
    (disk / "filler").unlink()
    main(["resume", str(out), "--epochs", "3"])
    assert len(read_log(out)) == 6


def test_training_where_a_checkpoint_does_not_fit(
    tmp_path: Path, small_data: Splits, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somewhere within the first write after a while: the old checkpoint is gone on from."""
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 11, signal.SIGINT)  # the first step of the second epoch
        assert not fit(tiny(), small_data, out)
    before = contents(out)
    with (
        no_file_longer_than(len(before["last.safetensors"]) // 2),
        pytest.raises(UserError, match=r"safetensors: cannot be written"),
    ):
        fit(tiny(), small_data, out, resume=True)
    after = contents(out)
    assert after["last.safetensors"] == before["last.safetensors"]
    load(run_file(out, "best"))
    assert not [name for name in after if name.endswith(".tmp")]
    fit(tiny(), small_data, out, resume=True)
    unbroken = load(run_file(trained, "last"))[0]
    assert all(load(run_file(out, "last"))[0][k].equal(v) for k, v in unbroken.items())


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_predicting_where_the_table_does_not_fit(
    run: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"table.{ending}"
    out.write_text("old")
    arguments = ["predict", str(run), "digits", "--part", "test", "--out", str(out), "--overwrite"]
    with no_file_longer_than(8192):
        said = fails(capsys, *arguments)
    assert "cannot be written" in said and out.read_text() == "old"
    main(arguments)
    assert out.stat().st_size > 8192


def test_predicting_on_a_full_disk(
    disk: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk / "table.parquet"
    out.write_text("old")
    fill(disk)
    for more in ([], ["--canonical", str(disk / "pictures")]):
        arguments = ["predict", str(run), "digits", "--out", str(out), "--overwrite", *more]
        assert "No space left" in fails(capsys, *arguments)
    assert out.read_text() == "old"


@pytest.fixture
def read_only(disk: Path, run: Path) -> Path:
    """A disk with a run on it that cannot be written to."""
    shutil.copytree(run, disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    return disk


def test_read_only_folders(read_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(read_only / "run")
    before = contents(read_only)
    table = str(read_only / "table.csv")
    for arguments in (
        fit_arguments(read_only / "another"),
        ["resume", run, "--epochs", "3"],
        ["evaluate", run],
        ["report", run],
        ["groups", run, "--merge", "0", "1"],
        ["predict", run, "digits", "--out", table],
        ["export", run, "--to", "embedding-atlas", "--out", str(read_only / "atlas")],
    ):
        said = fails(capsys, *arguments)
        assert str(read_only) in said and "Read-only file system" in said, arguments
    assert contents(read_only) == before


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EIO, errno.EDQUOT])
def test_disks_that_refuse(
    run: Path,
    tmp_path: Path,
    fault: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no disk can be mounted: the system says no when a file is brought to the disk."""
    out = Path(shutil.copytree(run, tmp_path / "run"))
    before = contents(out)

    def refuse(_: int) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "fsync", refuse)
    said = fails(capsys, "resume", str(out), "--epochs", "3")
    assert str(out) in said and f"cannot be written ({os.strerror(fault)})" in said
    said = fails(capsys, "predict", str(out), "digits", "--out", str(tmp_path / "table.csv"))
    assert os.strerror(fault) in said
    assert contents(out) == before and not (tmp_path / "table.csv").exists()


def test_no_byte_of_a_checkpoint_can_be_altered_unnoticed(tmp_path: Path, trained: Path) -> None:
    """Header and tensors, at its start, its end and all over: refused, or the same is read."""
    content = run_file(trained, "last").read_bytes()
    tensors, state = load(run_file(trained, "last"))
    length = 8 + int.from_bytes(content[:8], "little")
    path = tmp_path / "last.safetensors"
    header = [*range(8), *range(8, length, max(1, length // 150)), length - 1]
    body = [length, *range(length + 1, len(content), (len(content) - length) // 50), -1]
    for place in (*header, *body):
        altered = bytearray(content)
        altered[place] ^= 1
        path.write_bytes(altered)
        try:
            now, known = load(path)
        except UserError as error:
            assert str(path) in str(error) and "restore it from a copy" in str(error)
        else:
            assert place in header, f"byte {place} of the tensors"
            assert known == state and now.keys() == tensors.keys(), place
            assert all(now[key].equal(tensors[key]) for key in tensors), place
    for cut in (0, 4, length // 2, length, length + 1, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match="restore it from a copy"):
            load(path)


def test_resuming_from_an_altered_checkpoint_leaves_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    last = run_file(out, "last")
    altered = bytearray(last.read_bytes())
    altered[-100] ^= 64
    last.write_bytes(altered)
    before = contents(out)
    assert "was altered after it was written" in fails(capsys, "resume", str(out), "--epochs", "3")
    assert contents(out) == before


def test_checkpoints_from_before_there_were_fingerprints_load(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    save_file({"a": torch.ones(3)}, path, {"mcevae": '{"format": 1, "n": 1}'})
    tensors, state = load(path)
    assert tensors["a"].tolist() == [1, 1, 1] and state["n"] == 1
    checkpoint.save(path, tensors, {"n": 2})
    assert load(path)[1]["n"] == 2


def test_a_log_that_is_none_is_named(trained: Path, tmp_path: Path) -> None:
    for text in ("{}", "[1]", '{"epoch": 0', "\x00"):
        (tmp_path / "metrics.jsonl").write_text(text)
        with pytest.raises(UserError, match=r"metrics\.jsonl: the log is damaged"):
            read_log(tmp_path)


def test_a_run_that_was_killed_before_its_first_checkpoint_begins(
    tmp_path: Path, small_data: Splits, trained: Path
) -> None:
    out = tmp_path / "run"
    write_text(out / "settings.toml", tiny().to_toml())
    (out / f".last.safetensors.{NOBODY}.tmp").write_bytes(b"half")
    fit(tiny(), small_data, out, resume=True)
    unbroken = load(run_file(trained, "last"))[0]
    assert all(load(run_file(out, "last"))[0][k].equal(v) for k, v in unbroken.items())
    run_file(out, "last").unlink()
    with pytest.raises(UserError, match="no such checkpoint"):  # of a run that came further
        fit(tiny(), small_data, out, resume=True)


def test_what_killed_writers_left_is_no_run_and_goes(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / f".settings.toml.{NOBODY}.tmp").write_text("half")
    (out / "scenes").mkdir()
    (out / "scenes" / f".identity.{NOBODY}.tmp").write_text("half")
    assert is_free(out)
    (out / "mine").mkdir()
    assert not is_free(out)
    (out / "mine").rmdir()
    main(fit_arguments(out))
    assert not list(out.glob(".*"))
    dead, alive = (out / f".a.txt.{pid}.tmp" for pid in (NOBODY, os.getppid()))
    other = out / f".b.txt.{NOBODY}.tmp"
    for path in (dead, alive, other):
        path.write_text("half")
    assert [files.is_stale(path) for path in (dead, alive, other, out)] == [1, 0, 1, 0]
    write_text(out / "a.txt", "whole")
    assert [path.exists() for path in (dead, alive, other)] == [False, True, True]


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """Four stacks of 5 digits."""
    folder = tmp_path / "new"
    folder.mkdir()
    for i, stack in enumerate(
        load_images("mnist-mini").train.pixels[:20, 0].numpy().reshape(4, 5, 28, 28)
    ):
        np.save(folder / f"{i}.npy", stack)
    return folder


@pytest.fixture
def predictor(model: PaperModel, monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """In parts of 5."""
    monkeypatch.setattr(Source, "part_size", 5)
    return Predictor(model, DataConfig(), (1, 28, 28), ANY, identity="one")


def test_a_file_that_goes_while_images_are_predicted_is_named(
    predictor: Predictor, stacks: Path, tmp_path: Path
) -> None:
    out = tmp_path / "table.parquet"
    working = predictor(open_source(str(stacks)), "all", out)
    next(working)
    (stacks / "2.npy").unlink()
    faults = [fault for *_, found in working for fault in found]
    assert [(fault.name, fault.reason) for fault in faults] == [("2.npy", "is not there")]
    assert parquet.read_table(out)["file"].to_pylist() == [
        f"{i}.npy#{j}" for i in (0, 1, 3) for j in range(5)
    ]
    assert (tmp_path / "table.skipped.csv").read_text().splitlines()[1:] == ["2.npy,is not there"]


def test_a_file_that_goes_while_images_are_read_is_named(stacks: Path) -> None:
    def track(paths: list) -> Iterator:
        for path in paths:
            (stacks / "3.npy").unlink(missing_ok=True)
            yield path

    images = load_images(str(stacks), track=track)
    assert len(images.train) == 15 and [fault.name for fault in images.faults] == ["3.npy"]


def test_a_stack_that_shrinks_while_it_is_read_ends_nothing(
    predictor: Predictor, tmp_path: Path
) -> None:
    """A look at the lost part of a mapped file would end the process without a word."""
    stack, out = tmp_path / "stack.npy", tmp_path / "table.csv"
    np.save(stack, load_images("mnist-mini").train.pixels[:200, 0].numpy())
    working = predictor(open_source(str(stack)), "all", out)
    next(working)
    os.truncate(stack, 10_000)
    with pytest.raises(UserError, match="was changed while it was read"):
        list(working)
    assert not out.exists()
    found = list(frames_of(stack, "stack.npy"))
    assert isinstance(found[-1], Fault)


@pytest.mark.parametrize("when", ["before it is read", "after it was read"])
def test_one_table_is_not_made_of_two_states_of_a_source(
    predictor: Predictor, stacks: Path, tmp_path: Path, when: str
) -> None:
    out = tmp_path / "table.parquet"
    list(predictor(open_source(str(stacks)), "all", out))
    old = out.read_bytes()
    working = predictor(open_source(str(stacks)), "all", out)
    next(working)
    changed = stacks / ("3.npy" if when == "before it is read" else "0.npy")
    np.save(changed, np.zeros((5, 28, 28), np.uint8))
    with pytest.raises(UserError, match=r"npy was changed while it was read; give the command"):
        list(working)
    assert out.read_bytes() == old
    list(predictor(open_source(str(stacks)), "all", out))
    assert parquet.read_table(out).num_rows == 20


def test_parts_that_a_disk_damaged_are_made_anew(
    predictor: Predictor, stacks: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "table.parquet"
    list(predictor(open_source(str(stacks)), "all", whole))
    for place in (0, 20, 2000, -20, -1):
        stopped = predictor(open_source(str(stacks)), "all", out)
        next(stopped), next(stopped), next(stopped)
        stopped.close()
        part = tmp_path / ".table.parquet.parts" / "000001.part"
        altered = bytearray(part.read_bytes())
        altered[place] ^= 255
        part.write_bytes(altered)
        assert predictor.has_begun(open_source(str(stacks)), "all", out)
        list(predictor(open_source(str(stacks)), "all", out))
        assert parquet.read_table(out).equals(parquet.read_table(whole))
        out.unlink()


def test_a_prediction_that_was_to_overwrite_goes_on_without_being_told_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As does one that was killed after its table was written: the parts say that it was meant."""
    out = tmp_path / "table.csv"
    arguments = ["predict", str(run), "digits", "--out", str(out)]
    main(arguments)
    whole = out.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tables", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main([*arguments, "--overwrite"])
    assert out.read_bytes() == whole
    main(arguments)
    assert out.read_bytes() == whole and not (tmp_path / ".table.csv.parts").exists()
    with pytest.raises(SystemExit):
        main(arguments)
