"""The score of a round: a lower bound of the log-likelihood of all frames, against no things.

docs/scenes.md derives it.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mcevae.finding.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What the things of all frames explain, and what it costs to say which they are and where.

    Attributes:
        evidence: of all frames.
        things: how many of each cluster were found.
        turns: how many turns, scales and mirror images a thing may have at each pixel.
    """

    evidence: Evidence
    things: tuple[int, ...]
    turns: int

    @property
    def count(self) -> int:
        """How many things were found."""
        return sum(self.things)

    @property
    def cost(self) -> float:
        """Nats of the prior: a Poisson process over pixels, turns and clusters, rates as found."""
        n, cells = self.count, self.evidence.pixels * self.turns
        if not n or not cells:
            return 0.0
        of = np.array([one for one in self.things if one], float)
        return n * (1 + math.log(cells / n)) - float((of * np.log(of / n)).sum())

    @property
    def nats(self) -> float:
        """The bound, all frames together."""
        return self.evidence.gain - self.cost

    @property
    def per_pixel(self) -> float:
        """The bound, nats a pixel; rounds are compared by it."""
        return self.nats / max(self.evidence.pixels, 1)

    def in_words(self) -> str:
        """Say it to people: 3,921 things explain 63 % of what stands out in the frames."""
        things = "1 thing explains" if self.count == 1 else f"{self.count:,} things explain"
        share = math.floor(100 * self.evidence.share)
        return (
            f"{things} {share} % of what stands out in the frames ({self.per_pixel:.3f} nats a "
            "pixel above the background)"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values, with the figures that people read."""
        figures = {"explained": self.evidence.share, "nats_per_pixel": self.per_pixel}
        return {**asdict(self), "things": list(self.things), **figures}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Bound":
        """Read what `to_dict` gives."""
        return cls(
            evidence=Evidence(**values["evidence"]),
            things=tuple(values["things"]),
            turns=values["turns"],
        )
