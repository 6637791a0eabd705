"""`make gpu-check`, tried on the CPU: it measures, records what fails, and goes on."""

import argparse
import json
import sys
from pathlib import Path

import gpu_check
import pytest
import torch


def test_the_check_measures_and_records_what_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    monkeypatch.setattr(
        gpu_check,
        "called",
        lambda command, _=None: said.append(command) or {"ok": "fit" in command},
    )
    monkeypatch.setattr(gpu_check, "chosen_device", lambda _: "cpu")
    flags = ["--presets", "paper", "--images", "100", "--steps", "1", "--tests", "none.py"]
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", *flags, "--results", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        gpu_check.main()
    assert "2 of 7 checks failed: tests none.py, tests tests/training" in str(ended.value.code)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["device"] == "cpu" and found["machine"]["torch"] == torch.__version__
    checks = found["checks"]
    assert checks["two processes"]["backend"] == "gloo"
    for precision in ("no", "bf16"):
        for part in ("step", "answers"):
            assert checks[f"{part} paper {precision}"]["images_per_second"] > 0
    assert [command[1] for command in said] == ["pytest", "pytest", "torch.distributed.run"]


def test_a_machine_without_a_gpu_is_told_so_and_errors_are_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device here; give --device cpu"):
        gpu_check.chosen_device("auto")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert gpu_check.two_processes("cuda") == {"skipped": "there is one device"}
    asked = argparse.Namespace(tests=[], presets=["none"], steps=1, images=100, full=False)
    monkeypatch.setattr(gpu_check, "two_processes", lambda _: {})
    found = gpu_check.check(asked, "cpu")
    assert found["step none no"]["error"].startswith("KeyError") and found["two processes"]["ok"]
