"""The number of this process among several that torchrun started."""

import os


def place() -> tuple[int, int]:
    """Rank of this process, and the number of processes; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
