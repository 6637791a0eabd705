"""A lock is one process's alone, and ends with it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcevae.base.errors import UserError
from mcevae.base.lock import locked
from mcevae.cli import main

HOLD = """
import sys, time
from pathlib import Path
from mcevae.base.lock import locked
with locked(Path(sys.argv[1]), "held"):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Within it, another process holds a lock; it is killed at the end."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.kill()


def test_a_kill_leaves_no_lock_behind(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".lock"
    with held(path), pytest.raises(UserError, match="busy"), locked(path, "busy"):
        pass
    assert path.exists()
    with locked(path, "busy"), locked(path, "busy"):  # again, by the same thread
        pass
    assert not path.exists() and path.parent.exists()
    with locked(tmp_path / "other" / ".lock", "busy"):
        pass
    assert not (tmp_path / "other").exists()


def test_a_second_training_into_a_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with held(run / ".lock"):
        for command in (["fit", "digits", "--out"], ["resume"]):
            with pytest.raises(SystemExit) as refused:
                main([*command, str(run)])
            assert refused.value.code == 2
            said = capsys.readouterr().err
            assert "another process is training there" in said or "settings.toml" in said
    assert [path.name for path in run.iterdir()] == [".lock"]


def test_many_take_turns(tmp_path: Path) -> None:
    path, inside, most = tmp_path / ".lock", [0], []

    def work() -> None:
        for _ in range(20):
            with locked(path, "busy", 60):
                inside[0] += 1
                most.append(inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_what_is_no_file_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "else")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / name, "busy"):
            pass
    assert not (tmp_path / "else").exists()
