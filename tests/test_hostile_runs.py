"""Hostile runs are opened with every command, and harm nothing: `benchmarks/hostile_runs.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured and limited on Linux only")
def test_hostile_runs_end_in_an_answer_or_a_sentence(tmp_path: Path) -> None:
    """A sample of the benchmark's runs, always the same one."""
    command = [sys.executable, ROOT / "benchmarks" / "hostile_runs.py", "--sample", "3"]
    done = subprocess.run(
        [*command, "--results", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "hostile_runs.json").read_text())["rows"]
    assert {row["kind"] for row in rows} == {"files", "settings"}
    assert all(row["answered"] > 0 and row["refused"] > 0 for row in rows)
