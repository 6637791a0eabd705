"""Which way is up in a canonical frame, as people set it."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mcevae.geometry.groups import SO2, reflect


@dataclass(frozen=True, kw_only=True)
class Upright:
    """How a frame is turned: g = R(degrees) F^flipped, from the frame that the model found.

    Attributes:
        degrees: clockwise on the screen; kept above -180, up to 180, to a millionth.
        flipped: whether left and right are exchanged before that.
    """

    degrees: float = 0.0
    flipped: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.degrees):
            raise ValueError(f"a frame cannot be turned by {self.degrees} degrees; give a number")
        turn = round(math.remainder(self.degrees, 360), 6)
        object.__setattr__(self, "degrees", 180.0 if turn == -180 else turn + 0.0)  # no -0

    @property
    def element(self) -> Float[Tensor, "3 3"]:
        """g, which moves what the model draws."""
        angle = torch.tensor([math.radians(self.degrees)])
        return reflect(SO2().exp(angle), torch.tensor(self.flipped))

    def turned(self, degrees: float) -> "Upright":
        """Return R(degrees) g."""
        return Upright(degrees=self.degrees + degrees, flipped=self.flipped)

    def mirrored(self) -> "Upright":
        """Return F g: what is drawn now, with left and right exchanged."""
        return Upright(degrees=-self.degrees, flipped=not self.flipped)

    def in_words(self) -> str:
        """Describe it in a few words; empty if nothing is turned."""
        turned = f"{self.degrees:g}°" if self.degrees else ""
        return ", ".join(filter(None, ["mirrored" if self.flipped else "", turned]))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Upright":
        """Read it from JSON values.

        Raises:
            Exception: one of the types in `DAMAGE`: the values do not describe a turn.
        """
        return cls(degrees=float(values["degrees"]), flipped=bool(values["flipped"]))


AS_FOUND = Upright()
"""A frame that nobody has turned."""
