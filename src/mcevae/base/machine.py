"""The machine: what figures were measured on, and how its memory is used."""

import ctypes
import os
import platform
from pathlib import Path
from typing import Any

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt`."""


def keep_memory() -> None:
    """Keep what is freed for the next step, in place of giving it back to the system.

    Steps free and take the same megabytes again and again, and the system clears every page that
    it gives, which costs a tenth of a step and more (docs/performance.md). For programs of their
    own, since it concerns the whole process. Only glibc is asked; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the most that it takes
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def machine() -> dict[str, Any]:
    """Processor, cores, threads, accelerator and versions, as JSON values."""
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
