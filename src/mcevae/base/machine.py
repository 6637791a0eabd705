"""The machine: a description of it for measurements, and a setting of its memory."""

import ctypes
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's `mallopt`."""


def keep_memory() -> None:
    """Keep freed memory for the next step, and do not give it back to the system.

    Each training step frees and takes the same megabytes. The system clears every page that it
    gives, which costs a tenth of a step and more (docs/performance.md). This changes the whole
    process, so only programs should call it, not libraries. It works with glibc; elsewhere nothing
    changes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # the largest value that glibc accepts
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def fastest_precision() -> Literal["no", "bf16"]:
    """Precision in which networks learn fastest here: bf16 on a CPU with instructions for it.

    On such a CPU a step takes about 0.7 of the time (docs/performance.md). Without the instructions
    bfloat16 is slower than float32. On other devices nothing was measured, so float32 stays.
    """
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return "no"
    known: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return "bf16" if known().get("avx512_bf16") else "no"


def machine() -> dict[str, Any]:
    """Processor, cores, threads, accelerator and versions, as values for JSON."""
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
