"""Commands are killed at random moments, and nothing is lost: `benchmarks/kills.py`."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_is_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """The benchmark checks after every kill, and compares all that is made with unbroken runs."""
    command = [sys.executable, ROOT / "benchmarks" / "kills.py", "--kills", "1"]
    done = subprocess.run(
        [*command, "--results", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "kills.json").read_text())
    assert {one["kills"] for one in found["commands"].values()} == {1} and found["kills"] == 7
    compared = {name: one["same as unbroken"] for name, one in found["commands"].items()}
    for name, one in compared.items():
        assert one["runs" if name.startswith("fit") else "tables"] > 0
