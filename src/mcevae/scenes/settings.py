"""What people choose when a run is made from frames without boxes."""

from dataclasses import dataclass

from mcevae.base.errors import UserError

MOST_SEARCHES = 6


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """How groups are learned from frames of many things, without boxes."""

    searches: int = 2
    """How many times the frames are searched with what was learned before the last training, 1 to
    6. A search that explains no more than the one before is the last."""
    thing_size: int | None = None
    """Side of the box around one thing in pixels of the frames, if it is not --size: crops are then
    made as large as --size."""

    def __post_init__(self) -> None:
        if not 1 <= self.searches <= MOST_SEARCHES:
            raise UserError(f"--searches is {self.searches}; use 1 to {MOST_SEARCHES}.")
        if self.thing_size is not None and not 8 <= self.thing_size <= 10_000:
            raise UserError(f"--thing_size is {self.thing_size}; use 8 to 10000 pixels.")
