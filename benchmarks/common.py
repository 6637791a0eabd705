"""What every benchmark does: describe the machine, write its results."""

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from mcevae.files import write_text

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_results(name: str, content: dict[str, Any], command: str | None = None) -> Path:
    """Write results/NAME.json with the machine and the command that made it, this one if unsaid."""
    command = command or " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    path = RESULTS / f"{name}.json"
    document = {"command": command, "machine": machine(), **content}
    write_text(path, json.dumps(document, indent=1) + "\n")
    return path
