"""Which of several processes this is, as torchrun tells."""

import os


def place() -> tuple[int, int]:
    """Rank of this process and count of them, as torchrun tells; 0 of 1 without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
