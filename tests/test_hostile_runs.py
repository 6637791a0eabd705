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
    kinds = ("files", "saved models", "settings", "begun")  # a graph takes half a minute
    command = [sys.executable, ROOT / "benchmarks" / "hostile_runs.py", "--sample", "2"]
    done = subprocess.run(
        [*command, "--results", tmp_path, "--kinds", *kinds],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "hostile_runs.json").read_text())["rows"]
    openings = {row["kind"]: row["openings"] for row in rows}
    assert openings == {"files": 20, "saved models": 2, "settings": 20, "begun": 2}
    assert sum(row.get("refused", 0) for row in rows) > 0
    assert sum(row.get("answered", 0) for row in rows) > 0
