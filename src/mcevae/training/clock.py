"""The time that a training takes: all of it, from its begin to its end."""

import time
from collections.abc import Callable


class Clock:
    """Measures a training, with first poses, clusters, validation and saving.

    Attributes:
        before: seconds of the run before this process took it up.

    Args:
        now: tells the time in seconds; only differences count.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now, self.started, self.before = now, now(), 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the run so far."""
        return self.before + self.now() - self.started
