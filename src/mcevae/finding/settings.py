"""What people choose when things are found in frames."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from mcevae.base.errors import UserError

Background = Literal["slow", "plane", "constant"]
KEY = "mcevae.finding"
"""Under which a Parquet table says how its things were found."""


@dataclass(frozen=True, kw_only=True)
class FindConfig:
    """How things are found in large frames."""

    size: int | None = None
    """Longer side of the box around one thing, in pixels of the frames. If not given: that of the
    images that the run was trained on."""
    background: Background = "slow"
    """How the background of a frame varies. slow: over three sizes of a thing or more. plane: it
    falls off evenly. constant: it does not vary."""
    false_finds: float = 0.1
    """False finds that noise may give in each frame, as an expected number. Finds that noise
    explains more often are left out."""
    invert: bool = False
    """Exchange dark and light, if the contrast of the frames is the reverse of the training's."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 4:
            raise UserError(f"--size is {self.size}; use 4 pixels or more.")
        if not 0 < self.false_finds < 1e6:
            raise UserError(f"--false-finds is {self.false_finds:g}; use a number above 0.")

    @property
    def metadata(self) -> dict[str, str]:
        """What a table says of these settings."""
        return {KEY: json.dumps(asdict(self))}

    @classmethod
    def of_table(cls, metadata: Mapping[bytes, bytes] | None) -> "FindConfig":
        """The settings by which the things of a table were found; the usual ones if it has none."""
        try:
            return cls(**json.loads((metadata or {})[KEY.encode()]))
        except (KeyError, ValueError, TypeError):  # a CSV, or a table of another version
            return cls()
