"""What people choose when things are followed through a film."""

from dataclasses import dataclass
from typing import Literal

from mcevae.base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """How things are followed through the frames of a film."""

    reach: float | None = None
    """How far a thing may be from where it is expected in the next frame, in pixels of the frames.
    At first it is expected where it was; then, where its speed takes it. If not given: half of the
    size of a thing."""
    gap: int = 15
    """Frames in a row in which a thing may not be found, and still be the same."""
    least: int = 3
    """Tracks with fewer finds are left out: they are mostly false finds."""
    smooth: float = 2.0
    """Frames over which place and pose are smoothed (the standard deviation of the weights)."""
    kinds: int | Literal["auto"] | None = None
    """Sort the tracks into so many kinds by the forms of their paths, wherever these begin, however
    they are turned, and however large they are. auto: find the number. If not given: they are not
    sorted."""
    handed: bool = False
    """A path and its mirror image are different kinds. Without this they are one."""

    def __post_init__(self) -> None:
        if self.reach is not None and not 0 < self.reach < 1e6:
            raise UserError(f"--reach is {self.reach:g}; use a number of pixels above 0.")
        if not 0 <= self.gap <= 10_000:
            raise UserError(f"--gap is {self.gap}; use 0 frames or more.")
        if self.least < 1:
            raise UserError(f"--least is {self.least}; use 1 find or more.")
        if not 0.5 <= self.smooth <= 1000:
            raise UserError(f"--smooth is {self.smooth:g}; use 0.5 frames or more.")
        if isinstance(self.kinds, int) and self.kinds < 2:
            raise UserError(f"--kinds is {self.kinds}; use 2 or more, or auto.")
